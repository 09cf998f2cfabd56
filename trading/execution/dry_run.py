"""DRY_RUN: the same machine, the same rows, but every order is filled on paper at its own price.

No venue is asked and no `Fill` is written: positions, ledger and reconciliation never see these orders.
"""

from concurrent.futures import Future

from django.utils import timezone

from trading.execution.fills import Heard, Said
from trading.models import Attempt, OrderIntent
from trading.venues.interface import OrderReport, OrderStatus


def answer(order: OrderIntent) -> "Future[Heard]":
    """An answer as a venue would give it, complete fill at the limit price."""
    order.filled, order.quote_filled = order.qty, order.qty * order.price
    order.save(update_fields=["filled", "quote_filled"])
    report = OrderReport(
        venue=order.venue,
        symbol=order.symbol,
        client_order_id=order.client_order_id,
        venue_order_id="dry-run",
        side=None,
        qty=order.qty,
        filled=order.qty,
        average_price=order.price,
        status=OrderStatus.FILLED,
    )
    done: Future[Heard] = Future()
    done.set_result(Heard((Said(Attempt.Kind.SUBMIT, timezone.now(), 0),), report))
    return done
