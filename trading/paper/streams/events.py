"""What one step of the venue means to who owns the orders: one event per fill, one per end."""

from collections import defaultdict
from dataclasses import dataclass, replace

from trading.paper.orders import Changes, Fill, Order, Status


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """`order` as it was right after it; `fill` None: accepted, or ended."""

    order: Order
    fill: Fill | None


def order_events(changes: Changes) -> list[OrderEvent]:
    """In the order in which they happened, per order."""
    fills: defaultdict[int, list[Fill]] = defaultdict(list)
    for fill in changes.fills:
        fills[fill.order_id].append(fill)
    events = []
    for order in changes.orders.values():
        events += _filled(order, fills[order.id])
        if not fills[order.id] or order.status is Status.CANCELED:
            events.append(OrderEvent(replace(order), None))
    return events


def _filled(order: Order, fills: list[Fill]) -> list[OrderEvent]:
    """The order's sums as they grew, from what they are now."""
    before = replace(
        order,
        filled=order.filled - sum(f.qty for f in fills),
        cost=order.cost - sum(f.qty * f.price for f in fills),
        fee=order.fee - sum(f.fee for f in fills),
        realised=order.realised - sum(f.realised for f in fills),
        status=Status.LIVE,
        ended=None,
    )
    events = []
    for fill in fills:
        before = replace(
            before,
            filled=before.filled + fill.qty,
            cost=before.cost + fill.qty * fill.price,
            fee=before.fee + fill.fee,
            realised=before.realised + fill.realised,
            last_fill=fill.id,
            updated_ms=fill.at_ms,
        )
        if not before.left:
            before = replace(before, status=Status.FILLED)
        events.append(OrderEvent(before, fill))
    return events
