"""What may still go out when nothing new may open (spec 3.3). Judged by quantity: no flag is believed.

In HOLD and under REDUCE_ONLY an order passes if, counting what works and is in flight, it reduces |net| of
its instrument without flipping it. In HOLD also one that hedges or rescues an execution already begun. Under
the kill switch only the first. Cancels are no orders and always pass.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from risk.domain.gate import InstrumentState


class Stop(StrEnum):
    """What stands in the way of opening, the stricter last."""

    HOLD = "hold"
    REDUCE_ONLY = "reduce_only"
    KILL = "kill"


class Pass(StrEnum):
    REDUCES = "reduces"
    HEDGES = "hedges"


@dataclass(frozen=True, slots=True)
class Begun:
    """An execution under way. base_delta: signed base coin over both legs, its own working orders counted."""

    base_delta: Decimal

    def hedged_by(self, qty: Decimal) -> bool:
        """Lowers |base delta| by at most all of it: never changes its sign."""
        return qty * self.base_delta < 0 and abs(qty) <= abs(self.base_delta)


def may_pass(qty: Decimal, instrument: InstrumentState, *, begun: Begun | None, stop: Stop) -> Pass | None:
    """Why an order of signed base `qty` (a buy above 0) may go out all the same; None: it may not."""
    if instrument.reduced_by(qty):
        return Pass.REDUCES
    if stop is Stop.HOLD and begun is not None and begun.hedged_by(qty):
        return Pass.HEDGES
    return None
