"""Asking an execution to close. Stopping is always possible: no HOLD, gate or leader here."""

from decimal import Decimal
from uuid import UUID

from django.utils import timezone

from ops.actions.base import Refusal
from trading.domain.execution_state import ACTIVE, CLOSABLE, FINAL, ExecutionState
from trading.domain.money import common_step, floor_to
from trading.execution.nudge import nudge
from trading.models import Execution


class NotClosable(Refusal):
    """Nothing is open, or the machine is still at work on it."""


def open_quantity(execution: Execution) -> Decimal:
    """Hedged base quantity: the smaller of the two legs' open quantities."""
    from trading.execution.machine import leg_views

    return min(view.open_qty for view in leg_views(execution))


def leave_after(execution: Execution, qty: Decimal) -> Decimal:
    """What stays open on both legs when `qty` base coin is taken out: down to a quantity that both venues can
    trade, for the rest of a lot on one leg alone would be naked.

    Raises:
        NotClosable: `qty.invalid`, naming the smallest that is accepted.
    """
    step = common_step(*(leg.lot.normalize() for leg in execution.legs.all()))
    held = open_quantity(execution)
    if qty >= held:
        return Decimal(0)
    taken = floor_to(qty, step)
    if taken <= 0:
        raise NotClosable("qty.invalid", f"qty {qty}: accepted: {step} or more, the lot of both", status=422)
    return held - taken


def ask_to_close(
    execution_id: UUID,
    *,
    leave: Decimal = Decimal(0),
    force: bool = False,
    min_exit_bps: Decimal | None = None,
) -> Execution:
    """Mark the (locked) execution as closing down to `leave` on both legs, and wake a worker on commit.

    force: take out the leg whose venue answers, also when the other's does not: it is naked then.
    min_exit_bps: stop, hedged as it stands, where the exit would bring less; None: whatever it costs.

    Raises:
        NotClosable: `execution.not_closable`, naming its state.
    """
    execution = Execution.objects.select_for_update().get(pk=execution_id)
    state = ExecutionState(execution.state)
    if state in FINAL or (leave and state not in CLOSABLE and not execution.closing):
        accepted = CLOSABLE if leave else CLOSABLE | ACTIVE
        raise NotClosable(
            "execution.not_closable",
            f"execution {execution_id} is {state}; a close {'of a part ' if leave else ''}is accepted in "
            f"{', '.join(sorted(accepted))}",
            status=409,
        )
    execution.closing = True
    execution.closing_to = leave
    execution.close_forced = force
    execution.close_min_exit_bps = min_exit_bps
    execution.next_at = timezone.now()
    execution.save()
    nudge("trading.drive", execution.pk)
    return execution
