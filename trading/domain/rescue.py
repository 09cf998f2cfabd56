"""Proceed or reverse: what each way out of a naked leg would lose now, and which to take (spec 4.6.5).

A budget picks between the two and never "stay naked": where completing costs more than it allows, or cannot
be priced, the filled leg is reversed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from trading.domain.market import Level, Side
from trading.domain.money import BPS, ZERO


class Rescue(StrEnum):
    PROCEED = "proceed"  # complete the missing leg
    REVERSE = "reverse"  # out of the excess of the other leg
    NONE = "none"  # nothing is open


@dataclass(frozen=True, slots=True)
class Ways:
    """Expected loss of each way out from now on, quote currency; a gain is negative. None: no price for all
    of the quantity. budget: the largest loss that proceeding may have; worst: the price of the missing leg
    at which it has it."""

    proceed: Decimal | None
    reverse: Decimal | None
    budget: Decimal
    worst: Decimal

    def choice(self, *, ordered: Rescue | None = None) -> Rescue:
        """ordered: what a person asked for; proceeding stays within the budget all the same."""
        if self.proceed is None or self.proceed > self.budget or ordered is Rescue.REVERSE:
            return Rescue.REVERSE
        cheaper = self.reverse is None or self.proceed < self.reverse
        return Rescue.PROCEED if cheaper or ordered is Rescue.PROCEED else Rescue.REVERSE


@dataclass(frozen=True, slots=True)
class Filled:
    """The longer leg. side: its opening side; entry: average price, quote per coin; qty: the excess, base
    coin; levels: what an order out of it would take, best first; taker: fraction of notional."""

    side: Side
    entry: Decimal
    qty: Decimal
    levels: Sequence[Level]
    taker: Decimal


@dataclass(frozen=True, slots=True)
class Missing:
    """The shorter leg: what an order of its opening side for `qty` base coin would take."""

    side: Side
    qty: Decimal
    levels: Sequence[Level]
    taker: Decimal


def ways_out(filled: Filled, missing: Missing, *, exit_bps: Decimal, budget: Decimal) -> Ways:
    """exit_bps: expected spread paid on leaving the completed pair, of the long leg's notional (spec 4.4)."""
    price = average_price(missing.levels, missing.qty)
    slope, offset = _proceeding(filled, missing, exit_bps)
    return Ways(
        proceed=None if price is None else missing.qty * (slope * price + offset),
        reverse=_reversing(filled),
        budget=budget,
        worst=(budget / missing.qty - offset) / slope,
    )


def _reversing(filled: Filled) -> Decimal | None:
    out = average_price(filled.levels, filled.qty)
    if out is None:
        return None
    return filled.qty * (filled.side.sign * (filled.entry - out) + out * filled.taker)


def _proceeding(filled: Filled, missing: Missing, exit_bps: Decimal) -> tuple[Decimal, Decimal]:
    """Loss per coin of completing at price p, as slope · p + offset. Against being flat: the basis locked in,
    less what leaving the pair is expected to cost, both legs' closing fees included. What was paid to enter
    the filled leg is gone either way."""
    fees, exit_share = 2 * missing.taker, exit_bps / BPS
    if missing.side is Side.BUY:
        return 1 + exit_share + fees, filled.entry * (filled.taker - 1)
    return fees - 1, filled.entry * (1 + exit_share + filled.taker)


def average_price(levels: Sequence[Level], qty: Decimal) -> Decimal | None:
    """Of walking the book for `qty` > 0 base coin; None when it is not deep enough."""
    left, cost = qty, ZERO
    for level in levels:
        taken = min(left, level.qty)
        left, cost = left - taken, cost + taken * level.price
        if not left:
            return cost / qty
    return None
