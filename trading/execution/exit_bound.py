"""What a close would bring now, and the bound a person put on it (spec 4.7: `min_exit_bps | max_cost`).

The exit counts as sold − bought − fees of the closing orders: bps of the dearer leg, or quote currency, below
0 when closing costs. The bound is judged when the close is asked for and again before each slice; each order
may then still fill worse by its collar, no more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from trading.domain.closing import exit_bps
from trading.domain.edge import InsufficientDepthError, take
from trading.domain.execution_state import Purpose, Write
from trading.domain.market import Book, Side
from trading.domain.money import BPS
from trading.execution.appraisal import taker
from trading.models import Execution, Leg

Quotes = Mapping[tuple[str, str], Book]


@dataclass(frozen=True, slots=True)
class Exit:
    """bps: of `value`, the dearer leg's, quote currency."""

    bps: Decimal
    value: Decimal

    @property
    def result(self) -> Decimal:
        return self.bps * self.value / BPS


def exit_now(execution: Execution, legs: Mapping[int, Leg], qty: Decimal, quotes: Quotes) -> Exit | None:
    """`qty` base coin out of both legs at these books; None where one cannot take it, or is not known."""
    try:
        walks = [
            take(quotes[leg.venue, leg.symbol], Side(leg.side).opposite, qty)
            for leg in (legs[0], legs[1])  # the long leg is sold
        ]
    except (KeyError, InsufficientDepthError):
        return None
    fees = sum((taker(execution, index) * walk.cost for index, walk in enumerate(walks)), Decimal(0))
    return Exit(exit_bps(*walks, fees=fees), max(walk.cost for walk in walks))


def broken(
    execution: Execution, legs: Mapping[int, Leg], writes: tuple[Write, ...], quotes: Quotes
) -> str | None:
    """Why these closing orders of a hedged pair must not go out, or None. A single leg's excess always may:
    it is naked."""
    least = execution.close_min_exit_bps
    hedged = len(writes) == 2 and all(w.purpose is Purpose.CLOSE for w in writes)
    if least is None or not hedged:
        return None
    found = exit_now(execution, legs, min(w.qty for w in writes), quotes)
    if found is not None and found.bps >= least:
        return None
    gives = f"gives {found.bps:f} bps" if found else "has no price for this quantity"
    return f"close stopped: the exit {gives}, the bound is {least.normalize():f} bps"
