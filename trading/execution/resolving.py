"""What people state, by evidence, of an order that its venue is silent about becomes its end (spec 4.6.9)."""

from django.utils import timezone

from trading.domain.order_state import OrderState
from trading.execution.fills import record_fill
from trading.execution.nudge import nudge
from trading.models import Execution, OrderIntent
from trading.venues.interface import FillReport


def settle(order: OrderIntent, fill: FillReport | None) -> OrderState:
    """End the (locked) order in doubt: filled as stated, the rest of it dead; None: the venue never had it.
    Its execution is woken."""
    if fill is None:
        state = OrderState.CANCELED if order.filled else OrderState.RESOLVED_ABSENT
    else:
        record_fill(order, fill)
        state = OrderState.FILLED if order.filled == order.qty else OrderState.CANCELED
    order.state, order.done_at = state, timezone.now()
    order.save()
    Execution.objects.filter(pk=order.leg.execution_id).update(next_at=timezone.now())
    nudge("trading.drive", order.leg.execution_id)
    return state
