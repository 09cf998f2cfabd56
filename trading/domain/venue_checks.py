"""System checks of one venue: could an order go out there, and could its answer be trusted (spec 4.5)."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from trading.domain.market import Book, Funding, Instrument
from trading.domain.money import ZERO
from trading.domain.plan import Intent, Plan, PlanLeg


class CheckClass(StrEnum):
    SYSTEM = "system"
    OPPORTUNITY = "opportunity"
    MODE = "mode"


@dataclass(frozen=True, slots=True)
class Check:
    """One line for the operator. age_ms: of the data it rests on, None where it has no age.

    blocking False: red is shown, and does not count (a reduction that needs no such thing).
    """

    name: str
    cls: CheckClass
    ok: bool
    detail: str
    age_ms: int | None = None
    blocking: bool = True

    @property
    def passes(self) -> bool:
        return self.ok or not self.blocking


@dataclass(frozen=True, slots=True)
class AccountSetup:
    """Position mode, margin mode and leverage, as the venue reports them or as the config asks for them."""

    position_mode: str
    margin_mode: str
    leverage: int | None


@dataclass(frozen=True, slots=True)
class VenueState:
    """What is known of one venue and instrument; None: not known, which is never green.

    clock_offset_ms: venue less ours. continuous: the book's sequence has no unhealed gap. free_balance:
    settlement currency. dead_man_armed: None where the plan needs none. seen_at: when the account data
    were read.
    """

    venue: str
    reachable: bool
    seen_at: datetime
    clock_offset_ms: int | None
    book: Book | None
    continuous: bool
    funding: Funding | None
    instrument: Instrument | None
    free_balance: Decimal | None
    setup: AccountSetup | None
    wanted: AccountSetup
    can_trade: bool | None
    can_withdraw: bool | None
    maintenance: bool
    dead_man_armed: bool | None = None


@dataclass(frozen=True, slots=True)
class Thresholds:
    """max_account_age_ms: of balance, setup and permissions. margin_buffer: fraction on top of margin and
    fees.

    funding_quiet: no opening this shortly before a funding instant of either venue (0: no such window).
    """

    max_clock_offset_ms: int
    max_book_age_ms: int
    max_account_age_ms: int
    margin_buffer: Decimal
    funding_quiet: timedelta


def system_checks(
    state: VenueState, thresholds: Thresholds, *, intent: Intent, plan: Plan | None, now: datetime
) -> tuple[Check, ...]:
    """One venue's system checks; without a plan, those that need none (leaving HOLD). Names end in the
    venue."""
    leg = next((leg for leg in plan.legs if leg.venue == state.venue), None) if plan else None
    age = max(_ms(now - state.seen_at), 0)
    reducing = intent is Intent.CLOSE
    checks = [
        _check("connectivity", state.reachable, "up" if state.reachable else "not reachable", age),
        _check("maintenance", not state.maintenance, "closed" if state.maintenance else "open", age),
        _filters(state, leg),
        replace(_permissions(state, age), blocking=not reducing),
        replace(_clock(state, thresholds, age), blocking=not reducing),
        replace(_book(state, thresholds, now), blocking=not reducing),
        replace(_account_age(age, thresholds), blocking=not reducing),
        # Unknown does not keep an exit in; known to be wrong does: there reduce-only means something else.
        replace(_position_mode(state, age), blocking=not reducing or state.setup is not None),
        replace(_setup(state, age), blocking=not reducing),
    ]
    if leg and not reducing:
        checks.append(_balance(state, leg, thresholds, age))
    if state.dead_man_armed is not None:
        armed = state.dead_man_armed
        dead_man = _check("dead_man", armed, "armed with the order" if armed else "the venue has none", age)
        checks.append(replace(dead_man, blocking=not reducing))
    idle = leg is not None and not leg.qty  # a flat leg: nothing goes there
    return tuple(
        replace(check, name=f"{check.name}.{state.venue}", blocking=check.blocking and not idle)
        for check in checks
    )


def _check(name: str, ok: bool, detail: str, age_ms: int | None) -> Check:
    return Check(name=name, cls=CheckClass.SYSTEM, ok=ok, detail=detail, age_ms=age_ms)


def _ms(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)


def _account_age(age: int, thresholds: Thresholds) -> Check:
    most = thresholds.max_account_age_ms
    return _check("account_age", age <= most, f"{age} ms, at most {most}", age)


def _clock(state: VenueState, thresholds: Thresholds, age: int) -> Check:
    if state.clock_offset_ms is None:
        return _check("clock", False, "not measured", None)
    ok = abs(state.clock_offset_ms) <= thresholds.max_clock_offset_ms
    return _check(
        "clock", ok, f"{state.clock_offset_ms} ms off, at most {thresholds.max_clock_offset_ms}", age
    )


def _book(state: VenueState, thresholds: Thresholds, now: datetime) -> Check:
    """Fresh, continuous, with both sides, and not crossed. A book from the future is not fresh either."""
    book = state.book
    if book is None:
        return _check("book", False, "none", None)
    age = _ms(now - book.received_at)
    if not book.bids or not book.asks:
        return _check("book", False, "a side is empty", age)
    if book.bids[0].price >= book.asks[0].price:
        return _check("book", False, f"crossed: {book.bids[0].price} bid, {book.asks[0].price} asked", age)
    if not state.continuous:
        return _check("book", False, "a gap in its sequence", age)
    fresh = -thresholds.max_clock_offset_ms <= age <= thresholds.max_book_age_ms
    return _check("book", fresh, f"{age} ms old, at most {thresholds.max_book_age_ms}", age)


def _filters(state: VenueState, leg: PlanLeg | None) -> Check:
    """The instrument is there, and the leg is on its grids."""
    instrument = state.instrument
    if instrument is None:
        return _check("filters", False, "the venue does not list the instrument", None)
    if leg is None or not leg.qty:
        return _check("filters", True, f"lot {instrument.lot}, tick {instrument.tick}", None)
    faults = [
        text
        for broken, text in (
            (leg.qty % instrument.lot, f"quantity {leg.qty} is not a multiple of {instrument.lot}"),
            (leg.qty < instrument.min_qty, f"quantity {leg.qty} is below {instrument.min_qty}"),
            (leg.qty > instrument.max_qty, f"quantity {leg.qty} is above {instrument.max_qty}"),
            (
                leg.limit_price % instrument.tick,
                f"price {leg.limit_price} is off the grid of {instrument.tick}",
            ),
            (
                not leg.reduce_only and leg.qty * leg.limit_price < instrument.min_notional,
                f"notional {leg.qty * leg.limit_price} is below {instrument.min_notional}",
            ),
        )
        if broken
    ]
    return _check("filters", not faults, "; ".join(faults) or "within the venue's filters", None)


def _permissions(state: VenueState, age: int) -> Check:
    """A key that can withdraw is refused, and so is one of which nobody knows (spec 4.1)."""
    if state.can_trade is None or state.can_withdraw is None:
        return _check("permissions", False, "the key's permissions are not known", None)
    if state.can_withdraw:
        return _check("permissions", False, "the key can withdraw: use one that cannot", age)
    return _check("permissions", state.can_trade, "trades" if state.can_trade else "cannot trade", age)


def _position_mode(state: VenueState, age: int) -> Check:
    if state.setup is None:
        return _check("position_mode", False, "not known", None)
    is_now, wanted = state.setup.position_mode, state.wanted.position_mode
    return _check("position_mode", is_now == wanted, f"{is_now}, configured {wanted}", age)


def _setup(state: VenueState, age: int) -> Check:
    if state.setup is None:
        return _check("setup", False, "margin mode and leverage are not known", None)
    is_now = (state.setup.margin_mode, state.setup.leverage)
    wanted = (state.wanted.margin_mode, state.wanted.leverage)
    return _check(
        "setup", is_now == wanted, f"{is_now[0]} x{is_now[1]}, configured {wanted[0]} x{wanted[1]}", age
    )


def _balance(state: VenueState, leg: PlanLeg, thresholds: Thresholds, age: int) -> Check:
    """Margin at the account's leverage plus the fee, with the buffer on top, out of the free balance."""
    if state.free_balance is None or state.setup is None or not state.setup.leverage:
        return _check("balance", False, "balance or leverage is not known", None)
    margin = leg.qty * max(leg.limit_price, leg.est_price) / state.setup.leverage
    needed = (margin + max(leg.est_fee, ZERO)) * (1 + thresholds.margin_buffer)
    return _check(
        "balance", state.free_balance >= needed, f"{state.free_balance:f} free, {needed:.2f} needed", age
    )
