"""Closing two legs in matched slices: as much of both as both books take within the collar (spec 4.7).

One leg closed whole and the other in part would leave the pair naked between two rounds.
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from trading.config import ExecutionConfig
from trading.domain.execution_state import Purpose, Write
from trading.domain.market import Book
from trading.domain.money import ZERO, common_step, floor_to
from trading.execution.intents import collared
from trading.models import Leg


def matched(
    writes: tuple[Write, ...],
    legs: Mapping[int, Leg],
    quotes: Mapping[tuple[str, str], Book],
    config: ExecutionConfig,
) -> tuple[Write, ...]:
    """The closing orders of an equal pair, cut to one quantity that both books can take; anything else, and
    what no slice that both venues accept would fit into, as it is."""
    if len(writes) != 2 or any(w.purpose is not Purpose.CLOSE for w in writes):
        return writes
    if writes[0].qty != writes[1].qty:
        return writes
    step = common_step(*(legs[w.leg].lot.normalize() for w in writes))
    within = min(_depth(w, legs[w.leg], quotes, config) for w in writes)
    qty = floor_to(min(within, writes[0].qty), step)
    if qty < max(legs[w.leg].min_qty for w in writes):
        return writes
    return tuple(replace(w, qty=qty) for w in writes)


def _depth(
    write: Write, leg: Leg, quotes: Mapping[tuple[str, str], Book], config: ExecutionConfig
) -> Decimal:
    book = quotes[leg.venue, leg.symbol]
    limit = collared(book, write.side, leg.tick, write.round_no, config)
    reached = (lv.qty for lv in book.opposite(write.side) if (limit - lv.price) * write.side.sign >= 0)
    return sum(reached, ZERO)
