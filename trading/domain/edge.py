"""What a pair pays (spec 4.4): both books walked to depth for one base quantity, every cost named.

Everything is worked out in quote currency, exactly, and turned into basis points once, at the end. The
denominator is the long leg's entry notional *at the touch* (quantity x best ask): depth cost is a part of its
own, so the parts of two sizes compare.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal

from trading.domain.market import Book, FeeTier, Funding, Instrument, Level, Side
from trading.domain.money import BPS, ZERO

BPS_QUANTUM = Decimal("1e-8")


class InsufficientDepthError(ValueError):
    """A book that cannot fill the quantity: there is no price for it, so there is no edge."""

    code = "book.depth"

    def __init__(self, book: Book, side: Side, *, wanted: Decimal, available: Decimal) -> None:
        super().__init__(f"{book.venue} {book.symbol}: {side} {wanted} wanted, {available} in the book")
        self.venue, self.symbol, self.side = book.venue, book.symbol, side
        self.wanted, self.available = wanted, available


@dataclass(frozen=True, slots=True)
class Walk:
    """What taking the levels would give. cost: quote currency. `filled` below what was asked: a thin book."""

    filled: Decimal
    cost: Decimal
    worst_price: Decimal

    @property
    def avg_price(self) -> Decimal:
        """Quote per coin, 0 when nothing was filled. For show: sums go through `cost`, which is exact."""
        return self.cost / self.filled if self.filled else ZERO


@dataclass(frozen=True, slots=True)
class LegMarket:
    """All that pricing one leg needs: filters, book, our own fee tier and the funding to come."""

    instrument: Instrument
    book: Book
    fees: FeeTier
    funding: Funding


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What nobody can read from a book. expected_hold: entry to expected exit."""

    latency_allowance_bps: Decimal
    expected_hold: timedelta


@dataclass(frozen=True, slots=True)
class Edge:
    """Signed contributions in bps of `notional`, costs negative: they add up to `net_bps` to the last digit.

    notional: quote currency, long leg's entry at the touch. net_quote: the same sum, unrounded.
    """

    long_venue: str
    short_venue: str
    qty: Decimal
    notional: Decimal
    net_quote: Decimal
    entry_spread_bps: Decimal
    exit_spread_bps: Decimal
    fees_bps: Decimal
    slippage_in_bps: Decimal
    slippage_out_bps: Decimal
    latency_bps: Decimal
    funding_bps: Decimal

    @property
    def gross_bps(self) -> Decimal:
        return self.entry_spread_bps

    @property
    def net_bps(self) -> Decimal:
        return sum(self.parts().values(), ZERO)

    def parts(self) -> dict[str, Decimal]:
        """The contributions by name, in the order of spec 4.4."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name.endswith("_bps")}


def walk(levels: Sequence[Level], qty: Decimal) -> Walk:
    """Take `qty` (base coin) from `levels`, best first. Never raises: look at `filled`."""
    filled = cost = worst = ZERO
    for level in levels:
        part = min(level.qty, qty - filled)
        if part <= 0:
            continue
        filled += part
        cost += part * level.price
        worst = level.price
        if filled == qty:
            break
    return Walk(filled=filled, cost=cost, worst_price=worst)


def take(book: Book, side: Side, qty: Decimal) -> Walk:
    """`walk` for an aggressive order of `side`; InsufficientDepthError unless all of `qty` is there."""
    result = walk(book.opposite(side), qty)
    if qty <= 0 or result.filled < qty:
        raise InsufficientDepthError(book, side, wanted=qty, available=result.filled)
    return result


def touch(book: Book, side: Side) -> Decimal:
    """Best price an aggressive order of `side` meets; raises InsufficientDepthError on an empty side."""
    levels = book.opposite(side)
    if not levels:
        raise InsufficientDepthError(book, side, wanted=ZERO, available=ZERO)
    return levels[0].price


def gross(long: Book, short: Book) -> Decimal:
    """Entry spread at the touch, quote per coin: sold on `short` at its bid, bought on `long` at its ask.

    gross(A, B) + gross(B, A) = -(spread A + spread B), exactly: whoever goes round pays both spreads.
    """
    return touch(short, Side.SELL) - touch(long, Side.BUY)


def exit_basis_bps(long: Book, short: Book) -> Decimal:
    """What leaving at the touch costs now, in bps of the long leg's ask: the sample of the exit estimator."""
    cost = touch(short, Side.BUY) - touch(long, Side.SELL)
    return (cost * BPS / touch(long, Side.BUY)).quantize(BPS_QUANTUM)


def funding_times(funding: Funding, *, now: datetime, until: datetime) -> int:
    """How many funding instants of this venue fall in (now, until]; a `next_at` gone by rolls forward."""
    interval = timedelta(hours=funding.interval_hours)

    def passed(at: datetime) -> int:
        return 0 if at < funding.next_at else (at - funding.next_at) // interval + 1

    return max(passed(until) - passed(now), 0)


def funding_amount(funding: Funding, side: Side, qty: Decimal, *, now: datetime, until: datetime) -> Decimal:
    """Quote currency received (negative: paid) on `qty`: -side x rate x mark notional at each instant.

    Later instants are taken at the rate known now: no venue publishes more than the next one.
    """
    return -side.sign * funding.rate * funding.mark_price * qty * funding_times(funding, now=now, until=until)


def pair_edge(
    long: LegMarket,
    short: LegMarket,
    *,
    qty: Decimal,
    exit_spread_bps: Decimal,
    assumptions: Assumptions,
    now: datetime,
    makers: Collection[Side] = (),
) -> Edge:
    """Net edge of buying `qty` (base coin) on `long` and selling it on `short` (spec 4.4).

    exit_spread_bps: expected cost of leaving at the touch (see `exit_basis_bps`). makers: the legs that
    rest, at the maker fee; the better price of a resting order is not counted before it has been filled.
    Depth out is estimated on the books of now. Raises InsufficientDepthError when one of the four walks
    cannot fill `qty`.
    """
    buy_in, sell_in = take(long.book, Side.BUY, qty), take(short.book, Side.SELL, qty)
    sell_out, buy_out = take(long.book, Side.SELL, qty), take(short.book, Side.BUY, qty)
    notional = touch(long.book, Side.BUY) * qty
    long_in = long.fees.maker if Side.BUY in makers else long.fees.taker
    short_in = short.fees.maker if Side.SELL in makers else short.fees.taker
    until = now + assumptions.expected_hold
    parts = {
        "entry_spread_bps": gross(long.book, short.book) * qty,
        "exit_spread_bps": -exit_spread_bps * notional / BPS,
        "fees_bps": -(
            long_in * buy_in.cost
            + short_in * sell_in.cost
            + long.fees.taker * sell_out.cost
            + short.fees.taker * buy_out.cost
        ),
        "slippage_in_bps": notional - buy_in.cost + sell_in.cost - touch(short.book, Side.SELL) * qty,
        "slippage_out_bps": (
            sell_out.cost
            - touch(long.book, Side.SELL) * qty
            + touch(short.book, Side.BUY) * qty
            - buy_out.cost
        ),
        "latency_bps": -assumptions.latency_allowance_bps * notional / BPS,
        "funding_bps": funding_amount(long.funding, Side.BUY, qty, now=now, until=until)
        + funding_amount(short.funding, Side.SELL, qty, now=now, until=until),
    }
    return Edge(
        long_venue=long.book.venue,
        short_venue=short.book.venue,
        qty=qty,
        notional=notional,
        net_quote=sum(parts.values(), ZERO),
        **_in_bps(parts, notional),
    )


def _in_bps(parts: Mapping[str, Decimal], notional: Decimal) -> dict[str, Decimal]:
    """Quote to bps, rounded down on the *running total*: the parts then add up to the net exactly, and it
    is rounded once, against us, so it keeps the order of the exact figures."""
    total, before, result = ZERO, ZERO, {}
    for name, quote in parts.items():
        total += quote
        here = (total * BPS / notional).quantize(BPS_QUANTUM, ROUND_FLOOR)
        result[name] = here - before
        before = here
    return result
