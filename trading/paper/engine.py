"""One venue: price-time matching over synthetic and own orders, and the account behind them.

Deterministic: no clock, no IO, no randomness; `now_ms` comes in, `changes` says what a journal must write.
The venues differ only in `Rules`. Own orders rest beside the synthetic ladder, take from it and are taken
by it when the market moves through them; what own orders take grows back within `REFILL_MS`.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import TypeVar

from trading.paper.account import Account, after_fill
from trading.paper.instruments import Instrument
from trading.paper.market import FUNDING_MS, STEP_MS, Ladder, Levels, Market
from trading.paper.orders import (
    ZERO,
    Bill,
    Changes,
    Ended,
    Fill,
    Forced,
    NewOrder,
    Order,
    Reason,
    Refused,
    Side,
    Status,
    TimeInForce,
)

T = TypeVar("T")

REFILL_MS = 3_000
KEPT = 10_000  # closed orders, fills and bills that are still answered for
CENT_OF_CENT = Decimal("0.00000001")


@dataclass(frozen=True, slots=True)
class Rules:
    """How a venue differs. Fees are fractions of the notional, positive is charged."""

    maker_fee: Decimal
    taker_fee: Decimal
    refuses_at_once: bool  # post-only and FOK: refused in the answer, or accepted and then canceled
    client_id_reusable: bool  # unique among open orders only, or among recent ones too


class Engine:
    def __init__(
        self, venue: str, rules: Rules, instruments: Iterable[Instrument], market: Market, *, now_ms: int
    ) -> None:
        self.venue, self.rules, self.market = venue, rules, market
        bases = set(market.bases())
        self.instruments: dict[str, Instrument] = {i.base: i for i in instruments if i.base in bases}
        self.account = Account()
        self.orders: dict[int, Order] = {}
        self.live: dict[int, Order] = {}
        self.by_client_id: dict[str, int] = {}
        self.fills: dict[int, Fill] = {}
        self.bills: dict[int, Bill] = {}
        self.last_id = self.last_fill_id = self.last_bill_id = 0
        self.now_ms = self.funded_ms = now_ms
        self.hedge_mode = False  # kept and shown; orders are for one-way mode only
        self.dead_man: dict[str, int] = {}  # base, or "" for all -> when to cancel
        self.changes = Changes()
        self.revision = 0  # grows with everything that a book shows and the ladder does not
        self._hidden_until: dict[int, int] = {}  # order id -> when queries find it
        self._taken: dict[tuple[str, Side], dict[int, tuple[Decimal, int]]] = {}

    # -- time --

    def advance(self, now_ms: int) -> None:
        """What the venue does by itself until `now_ms`: funding, dead-man switch, resting orders."""
        while (instant := (self.funded_ms // FUNDING_MS + 1) * FUNDING_MS) <= now_ms:
            self._expire_dead_men(instant)
            self._fund(instant)
        self._expire_dead_men(now_ms)
        moved = now_ms // STEP_MS != self.now_ms // STEP_MS
        self.now_ms = max(self.now_ms, now_ms)
        if moved and self.live:
            self.match_resting()
        self.liquidate_if_broke()

    def _expire_dead_men(self, now_ms: int) -> None:
        due = [base for base, at_ms in self.dead_man.items() if at_ms <= now_ms]
        for base in due:
            at_ms = self.dead_man.pop(base)
            self.changes.account = True
            for order in [o for o in self.live.values() if base in ("", o.base)]:
                self._end(order, Ended.DEAD_MAN, at_ms)

    def _fund(self, instant: int) -> None:
        for base, position in self.account.positions.items():
            if not position.net:
                continue
            mark = self.market.ladder(self.venue, self.instruments[base], instant).mark
            rate = self.market.funding_rate(self.venue, base, instant)
            amount = -(position.net * mark * rate).quantize(CENT_OF_CENT)
            self.account.funding += amount
            self._book_bill("funding", base, amount, at_ms=instant, qty=position.net, price=mark)
        self.funded_ms = instant
        self.changes.account = True

    # -- books --

    def ladder(self, base: str) -> Ladder:
        return self.market.ladder(self.venue, self.instruments[base], self.now_ms)

    def mark(self, base: str) -> Decimal:
        return self.ladder(base).mark

    def marks(self) -> dict[str, Decimal]:
        return {base: self.mark(base) for base, p in self.account.positions.items() if p.net}

    def untouched(self, base: str) -> bool:
        """True when the ladder is the whole book: a rendered one may be shown again."""
        return not any(o.base == base for o in self.live.values()) and not any(
            self._taken_now(base, side) for side in Side
        )

    def book(self, base: str) -> tuple[Levels, Levels]:
        """Bids and asks, own resting orders included, best first."""
        return self._side(base, Side.BUY), self._side(base, Side.SELL)

    def _side(self, base: str, side: Side) -> Levels:
        levels: dict[Decimal, Decimal] = {p: q for _, p, q in self._synthetic(base, side)}
        for order in self.live.values():
            if order.base == base and order.side is side and order.price is not None:
                levels[order.price] = levels.get(order.price, ZERO) + order.left
        return tuple(sorted(levels.items(), reverse=side is Side.BUY))

    def _synthetic(self, base: str, side: Side) -> Iterator[tuple[int, Decimal, Decimal]]:
        """(level, price, quantity still there) of the market's own liquidity, best first."""
        ladder = self.ladder(base)
        taken = self._taken_now(base, side)
        for level, (price, qty) in enumerate(ladder.bids if side is Side.BUY else ladder.asks):
            there = qty - taken[level] if level in taken else qty
            if there > 0:
                yield level, price, there

    def _taken_now(self, base: str, side: Side) -> dict[int, Decimal]:
        """What own orders took and the market has not yet put back, by level."""
        known = self._taken.get((base, side))
        if not known:
            return {}
        lot, found = self.instruments[base].lot, {}
        for level, (qty, at_ms) in list(known.items()):
            missing_ms = REFILL_MS - (self.now_ms - at_ms)
            if missing_ms <= 0:
                del known[level]
                continue
            found[level] = _to_lot(qty * missing_ms / REFILL_MS, lot, ROUND_UP)
        return found

    def _take(self, base: str, side: Side, level: int, qty: Decimal) -> None:
        before = self._taken_now(base, side).get(level, ZERO)
        self._taken.setdefault((base, side), {})[level] = (before + qty, self.now_ms)

    # -- orders --

    def place(self, new: NewOrder, *, fill_at_most: Decimal | None = None) -> Order:
        """Accept and match. `fill_at_most` (a fraction of the quantity) is a fault: less is taken at once.

        Raises:
            Refused: and nothing has changed.
        """
        self._check(new)
        would_take = self._would_take(new)
        if new.time_in_force is TimeInForce.POST_ONLY and would_take and self.rules.refuses_at_once:
            raise Refused(Reason.POST_ONLY)
        short = new.time_in_force is TimeInForce.FOK and self._reachable(new) < new.qty
        if short and self.rules.refuses_at_once:
            raise Refused(Reason.FOK)
        order = self._accept(new)
        if new.time_in_force is TimeInForce.POST_ONLY and would_take:
            self._end(order, Ended.POST_ONLY, self.now_ms)
        elif short:
            self._end(order, Ended.FOK, self.now_ms)
        else:
            self._match(order, fill_at_most)
        return order

    def _check(self, new: NewOrder) -> None:
        instrument = self.instruments[new.base]
        self._check_filters(new, instrument)
        known = self.by_client_id.get(new.client_order_id)
        if known is not None and (known in self.live or not self.rules.client_id_reusable):
            raise Refused(Reason.DUPLICATE, new.client_order_id)
        position = self.account.position(new.base)
        if new.reduce_only and position.net * new.side.sign >= 0:
            raise Refused(Reason.REDUCE_ONLY)
        if not new.reduce_only:
            self._check_margin(new)

    def _check_filters(self, new: NewOrder, instrument: Instrument) -> None:
        maximum = instrument.max_market_qty if new.price is None else instrument.max_qty
        if _decimals(new.qty) > instrument.qty_decimals:
            raise Refused(Reason.QTY_DECIMALS)
        if new.qty < instrument.min_qty:
            raise Refused(Reason.MIN_QTY)
        if new.qty > maximum:
            raise Refused(Reason.MAX_QTY)
        if new.qty % instrument.lot:
            raise Refused(Reason.LOT)
        if new.price is not None:
            self._check_price(new.side, new.price, instrument)
        price = new.price if new.price is not None else self.mark(new.base)
        if not new.reduce_only and new.qty * price < instrument.min_notional:
            raise Refused(Reason.MIN_NOTIONAL, str(instrument.min_notional))

    def _check_price(self, side: Side, price: Decimal, instrument: Instrument) -> None:
        if price <= 0 or _decimals(price) > instrument.price_decimals:
            raise Refused(Reason.PRICE_DECIMALS)
        if price % instrument.tick:
            raise Refused(Reason.TICK)
        mark = self.mark(instrument.base)
        if side is Side.BUY and price > mark * (1 + instrument.band):
            raise Refused(Reason.PRICE_HIGH, str(_to_lot(mark * (1 + instrument.band), instrument.tick)))
        if side is Side.SELL and price < mark * (1 - instrument.band):
            raise Refused(Reason.PRICE_LOW, str(_to_lot(mark * (1 - instrument.band), instrument.tick)))

    def _check_margin(self, new: NewOrder) -> None:
        before, after = self._exposure(new.base), self._exposure(new.base, new)
        if after <= before:
            return
        price = new.price if new.price is not None else self.mark(new.base)
        needed = self.account.margin(new.base, after - before, price) + new.qty * price * self.rules.taker_fee
        if needed > self.available():
            raise Refused(Reason.MARGIN, f"{needed:.2f}")

    def _exposure(self, base: str, new: NewOrder | None = None) -> Decimal:
        """The larger |position| that the orders of one side could lead to, base coin."""
        net = self.account.position(base).net
        ends = {
            side: net
            + sum((o.left * side.sign for o in self._working(base, side) if not o.reduce_only), ZERO)
            for side in Side
        }
        if new is not None:
            ends[new.side] += new.qty * new.side.sign
        return max(abs(net), *(abs(end) for end in ends.values()))

    def _working(self, base: str, side: Side) -> Iterator[Order]:
        return (o for o in self.live.values() if o.base == base and o.side is side)

    def used_margin(self) -> Decimal:
        """Initial margin of positions and working orders at the mark, USDT."""
        bases = {b for b, p in self.account.positions.items() if p.net} | {o.base for o in self.live.values()}
        return sum((self.account.margin(base, self._exposure(base), self.mark(base)) for base in bases), ZERO)

    def equity(self) -> Decimal:
        return self.account.wallet + self.account.unrealised(self.marks())

    def available(self) -> Decimal:
        return max(ZERO, self.equity() - self.used_margin())

    def _would_take(self, new: NewOrder) -> bool:
        best = next(iter(self._side(new.base, new.side.opposite)), None)
        return best is not None and _reaches(new.side, new.price, best[0])

    def _reachable(self, new: NewOrder) -> Decimal:
        levels = self._synthetic(new.base, new.side.opposite)
        there = sum((qty for _, price, qty in levels if _reaches(new.side, new.price, price)), ZERO)
        return min(there, abs(self.account.position(new.base).net)) if new.reduce_only else there

    def _accept(self, new: NewOrder) -> Order:
        self.last_id += 1
        order = Order(
            id=self.last_id,
            client_order_id=new.client_order_id,
            base=new.base,
            side=new.side,
            qty=new.qty,
            price=new.price,
            time_in_force=new.time_in_force,
            reduce_only=new.reduce_only,
            created_ms=self.now_ms,
            updated_ms=self.now_ms,
            tag=new.tag,
        )
        self.orders[order.id] = self.live[order.id] = self.changes.orders[order.id] = order
        self.by_client_id[order.client_order_id] = order.id
        _forget_oldest(self.orders, self._forget_order)
        return order

    def _forget_order(self, order: Order) -> bool:
        """Drop a closed order from memory; False keeps a live one."""
        if order.live:
            return False
        if self.by_client_id.get(order.client_order_id) == order.id:
            del self.by_client_id[order.client_order_id]
        return True

    def _match(self, order: Order, fill_at_most: Decimal | None) -> None:
        lot = self.instruments[order.base].lot
        want = order.qty if fill_at_most is None else _to_lot(order.qty * fill_at_most, lot)
        if order.reduce_only:
            want = min(want, abs(self.account.position(order.base).net))
        for level, price, there in list(self._synthetic(order.base, order.side.opposite)):
            if want <= 0 or not _reaches(order.side, order.price, price):
                break
            self._cancel_own_before(order, price)
            qty = min(want, there)
            self._take(order.base, order.side.opposite, level, qty)
            self._fill(order, qty, price, maker=False)
            want -= qty
        if order.live and want > 0:
            self._cancel_own_before(order, order.price)
        if order.live and (order.price is None or order.time_in_force in (TimeInForce.IOC, TimeInForce.FOK)):
            self._end(order, Ended.IOC, self.now_ms)
        elif order.live:
            self.revision += 1

    def _cancel_own_before(self, taker: Order, price: Decimal | None) -> None:
        """Self-trade prevention as the venues have it by default: the resting order goes."""
        for own in list(self._working(taker.base, taker.side.opposite)):
            if own.price is not None and _reaches(taker.side, price, own.price):
                self._end(own, Ended.SELF_TRADE, self.now_ms)

    def match_resting(self) -> None:
        """The market has moved: own resting orders that it now crosses are filled at their own price."""
        for side in Side:
            resting = [o for o in self.live.values() if o.side is side and o.price is not None]
            for order in sorted(resting, key=lambda o: (-o.side.sign * (o.price or ZERO), o.id)):
                self._match_maker(order)

    def _match_maker(self, order: Order) -> None:
        for level, price, there in list(self._synthetic(order.base, order.side.opposite)):
            if not order.live or not _reaches(order.side, order.price, price):
                return
            qty = min(order.left, there)
            if order.reduce_only:
                net = self.account.position(order.base).net
                qty = min(qty, abs(net)) if net * order.side.sign < 0 else ZERO
                if not qty:
                    self._end(order, Ended.REDUCE_ONLY, self.now_ms)
                    return
            self._take(order.base, order.side.opposite, level, qty)
            self._fill(order, qty, order.price or price, maker=True)

    def _fill(self, order: Order, qty: Decimal, price: Decimal, *, maker: bool) -> None:
        account, rate = self.account, self.rules.maker_fee if maker else self.rules.taker_fee
        fee = (qty * price * rate).quantize(CENT_OF_CENT)
        position, realised = after_fill(
            account.position(order.base), qty * order.side.sign, price, now_ms=self.now_ms
        )
        realised = realised.quantize(CENT_OF_CENT)
        account.positions[order.base] = position
        account.fees_paid += fee
        account.realised += realised
        self.last_fill_id += 1
        fill = Fill(
            id=self.last_fill_id,
            order_id=order.id,
            client_order_id=order.client_order_id,
            base=order.base,
            side=order.side,
            qty=qty,
            price=price,
            fee=fee,
            realised=realised,
            maker=maker,
            at_ms=self.now_ms,
            tag=order.tag,
        )
        self._keep_fill(order, fill)
        self._book_bill(
            "trade",
            order.base,
            realised - fee,
            at_ms=self.now_ms,
            qty=qty * order.side.sign,
            price=price,
            fill=fill,
        )

    def _keep_fill(self, order: Order, fill: Fill) -> None:
        self.fills[fill.id] = fill
        _forget_oldest(self.fills)
        self.changes.fills.append(fill)
        self.changes.orders[order.id] = order
        order.filled += fill.qty
        order.cost += fill.qty * fill.price
        order.fee += fill.fee
        order.realised += fill.realised
        order.last_fill, order.updated_ms = fill.id, fill.at_ms
        if order.left == 0:
            order.status = Status.FILLED
            self.live.pop(order.id, None)
        self.revision += 1

    def _book_bill(
        self,
        kind: str,
        base: str,
        amount: Decimal,
        *,
        at_ms: int,
        qty: Decimal,
        price: Decimal,
        fill: Fill | None = None,
    ) -> None:
        self.account.wallet += amount
        self.last_bill_id += 1
        bill = Bill(
            id=self.last_bill_id,
            kind=kind,
            base=base,
            amount=amount,
            fee=fill.fee if fill else ZERO,
            realised=fill.realised if fill else ZERO,
            wallet=self.account.wallet,
            qty=qty,
            price=price,
            fill_id=fill.id if fill else 0,
            order_id=fill.order_id if fill else 0,
            at_ms=at_ms,
        )
        self.bills[bill.id] = bill
        _forget_oldest(self.bills)
        self.changes.bills.append(bill)
        self.changes.account = True

    # -- the venue's own orders --

    def maintenance(self) -> Decimal:
        """Margin below which the account is liquidated, USDT at the mark."""
        rates = ((base, mark, self.instruments[base].maintenance_rate) for base, mark in self.marks().items())
        return sum((abs(self.account.position(b).net) * mark * rate for b, mark, rate in rates), ZERO)

    def liquidate_if_broke(self) -> None:
        """Cross margin: when equity does not cover maintenance, orders go first and then every position."""
        if not any(position.net for position in self.account.positions.values()):
            return
        if self.equity() >= self.maintenance():
            return
        for order in list(self.live.values()):
            self._end(order, Ended.LIQUIDATED, self.now_ms)
        for base in list(self.marks()):
            self.force_close(base, abs(self.account.position(base).net), Forced.LIQUIDATION)

    def force_close(self, base: str, qty: Decimal, why: Forced) -> Order:
        """Close so much of a position at the mark, on the tick, without asking its owner.

        Raises:
            Refused: REDUCE_ONLY where less than `qty` is held, or it is not on the lot.
        """
        net, instrument = self.account.position(base).net, self.instruments[base]
        if not ZERO < qty <= abs(net) or qty % instrument.lot:
            raise Refused(Reason.REDUCE_ONLY, str(qty))
        price = _to_lot(self.mark(base), instrument.tick, ROUND_DOWN if net > 0 else ROUND_UP)
        new = NewOrder(
            base=base,
            side=Side.SELL if net > 0 else Side.BUY,
            qty=qty,
            price=price,
            time_in_force=TimeInForce.IOC,
            reduce_only=True,
            client_order_id=f"{why.value}{self.now_ms}{self.last_id + 1}",
        )
        order = self._accept(new)
        self._fill(order, qty, price, maker=False)
        return order

    # -- cancel, find --

    def _end(self, order: Order, why: Ended, at_ms: int) -> None:
        order.status, order.ended, order.updated_ms = Status.CANCELED, why, at_ms
        self.live.pop(order.id, None)
        self.changes.orders[order.id] = order
        self.revision += 1

    def find(self, base: str, *, order_id: int | None = None, client_order_id: str = "") -> Order:
        """By the venue's id, else by ours. Raises Refused UNKNOWN_ORDER."""
        wanted = order_id if order_id is not None else self.by_client_id.get(client_order_id, 0)
        order = self.orders.get(wanted)
        if order is None or order.base != base or not self.shows(order.id):
            raise Refused(Reason.UNKNOWN_ORDER)
        return order

    def cancel(self, order: Order) -> Order:
        """Raises Refused ALREADY_FILLED or ALREADY_CANCELED."""
        if not order.live:
            filled = order.status is Status.FILLED
            raise Refused(Reason.ALREADY_FILLED if filled else Reason.ALREADY_CANCELED)
        self._end(order, Ended.USER, self.now_ms)
        return order

    def working(self, base: str | None = None) -> list[Order]:
        return [o for o in self.live.values() if base in (None, o.base) and self.shows(o.id)]

    def hide(self, order_id: int, until_ms: int) -> None:
        """A fault: queries and cancels do not find it yet."""
        self._hidden_until[order_id] = until_ms

    def shows(self, order_id: int) -> bool:
        return self._hidden_until.get(order_id, 0) <= self.now_ms

    def shown_orders(self) -> list[Order]:
        """What a listing may say, oldest first."""
        return [o for o in self.orders.values() if self.shows(o.id)]

    def shown_fills(self) -> list[Fill]:
        return [f for f in self.fills.values() if self.shows(f.order_id)]

    # -- settings --

    def set_leverage(self, base: str, leverage: int) -> None:
        if not 1 <= leverage <= self.instruments[base].max_leverage:
            raise Refused(Reason.LEVERAGE)
        before = self.account.leverage_of(base)
        self.account.leverage[base] = leverage
        if leverage < before and self.equity() < self.used_margin():
            self.account.leverage[base] = before
            raise Refused(Reason.MARGIN)
        self.changes.account = True

    def set_hedge_mode(self, hedge_mode: bool) -> None:
        """Raises Refused NO_CHANGE, or HAS_POSITION while anything is open."""
        if hedge_mode == self.hedge_mode:
            raise Refused(Reason.NO_CHANGE)
        if self.live or any(position.net for position in self.account.positions.values()):
            raise Refused(Reason.HAS_POSITION)
        self.hedge_mode = hedge_mode
        self.changes.account = True

    def arm_dead_man(self, base: str, timeout_ms: int) -> None:
        """Cancel the orders of `base` ("" is all) in `timeout_ms` unless told again; 0 disarms."""
        if timeout_ms:
            self.dead_man[base] = self.now_ms + timeout_ms
        else:
            self.dead_man.pop(base, None)
        self.changes.account = True

    def drain(self) -> Changes:
        changes, self.changes = self.changes, Changes()
        return changes


def _reaches(side: Side, limit: Decimal | None, price: Decimal) -> bool:
    return limit is None or (limit - price) * side.sign >= 0


def _to_lot(qty: Decimal, lot: Decimal, rounding: str = ROUND_DOWN) -> Decimal:
    return (qty / lot).quantize(Decimal(1), rounding=rounding) * lot


def _decimals(value: Decimal) -> int:
    return max(0, -int(value.normalize().as_tuple().exponent))


def _forget_oldest(rows: dict[int, T], may_go: Callable[[T], bool] | None = None) -> None:
    """Memory stays bounded; what is dropped here stays in the journal."""
    if len(rows) > KEPT:
        oldest = next(iter(rows))
        if may_go is None or may_go(rows[oldest]):
            del rows[oldest]
