"""What a venue holds as a position, when it does not tell what became of an order (spec 4.6.3).

Never booked: a fill is what the venue states as a fill. It only says how much has to be hedged meanwhile.
"""

from collections.abc import Iterable
from decimal import Decimal

import structlog
from django.db import transaction
from django.utils import timezone

from trading.domain.market import Side
from trading.domain.order_state import OrderState
from trading.models import OrderIntent, Position
from trading.venues import get_hub
from trading.venues.interface import VenueError

log = structlog.get_logger()


def observe(ids: Iterable[int]) -> None:
    """Write beside each order in doubt what of it the venue's own position shows."""
    for order in OrderIntent.objects.filter(pk__in=list(ids)):
        net: Decimal | None = None
        try:
            held = get_hub().fact("positions", order.venue, max_age_ms=0).value
        except VenueError as silent:
            log.warning("observe.silent", order=order.client_order_id, venue=order.venue, code=silent.code)
        else:
            net = sum((p.net for p in held if p.symbol == order.symbol), Decimal(0))
        _write(order.pk, net)


def _write(order_id: int, venue_net: Decimal | None) -> None:
    with transaction.atomic(durable=True):
        order = OrderIntent.objects.select_for_update().get(pk=order_id)
        if order.state != OrderState.UNKNOWN:
            return
        filled = None if venue_net is None else _filled(order, venue_net)
        OrderIntent.objects.filter(pk=order.pk).update(observed=filled, observed_at=timezone.now())
    log.info("order.observed", order=order.client_order_id, filled=str(filled))


def _filled(order: OrderIntent, venue_net: Decimal) -> Decimal | None:
    """What the venue holds beyond our books, if this order explains it; None: it cannot tell. Nothing else
    is in doubt on that instrument (the database sees to it), but an order may rest there."""
    resting = OrderIntent.objects.filter(
        venue=order.venue, symbol=order.symbol, state__in=[OrderState.ACKED, OrderState.PARTIAL]
    )
    own = Position.objects.filter(venue=order.venue, symbol=order.symbol).values_list("net", flat=True)
    extra = (venue_net - (own.first() or Decimal(0))) * Side(order.side).sign
    if resting.exists() or not 0 <= extra <= order.qty - order.filled:
        return None
    return order.filled + extra
