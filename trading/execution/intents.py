"""Writing order intents: the deterministic id, the price inside its collar, the flags the venue allows."""

from decimal import Decimal

from django.utils import timezone

from trading.config import ExecutionConfig
from trading.domain.execution_state import Purpose, Write
from trading.domain.market import Book, Side, TimeInForce
from trading.domain.money import BPS, ceil_to, floor_to
from trading.domain.order_state import OrderState, client_order_id
from trading.execution import stopped
from trading.models import Execution, Leg, OrderIntent
from trading.venues.interface import NewOrder


def write_opening(
    execution: Execution,
    leg: Leg,
    *,
    price: Decimal,
    tif: TimeInForce,
    post_only: bool,
    config: ExecutionConfig,
) -> OrderIntent:
    """The first order of a leg, at the plan's own limit price."""
    order = _intent(execution, leg, Purpose.OPEN, Side(leg.side), leg.target, 1, price, config)
    order.time_in_force, order.post_only = tif, post_only
    order.save(force_insert=True)
    return order


def write_repair(
    execution: Execution, leg: Leg, write: Write, book: Book, config: ExecutionConfig, *, fence: int
) -> OrderIntent:
    """A hedge, a reversal or a close: IOC, priced off a fresh book, with a collar that widens each round.
    fence: of the term that writes it, which need not be the one that opened."""
    price = collared(book, write.side, leg.tick, write.round_no, config)
    if write.worst is not None:
        price = _within(price, write.worst, write.side, leg.tick)
    order = _intent(execution, leg, write.purpose, write.side, write.qty, write.attempt, price, config)
    order.fence = fence
    order.reduce_only = not write.purpose.opens and _reduces(leg, write.side, write.qty)
    order.save(force_insert=True)
    return order


def collared(book: Book, side: Side, tick: Decimal, round_no: int, config: ExecutionConfig) -> Decimal:
    """Limit price: the touch, worsened by at most min(repair_collar · (round + 1), flatten_max) bps.

    Never better than the touch: a collar narrower than one tick would give an order that cannot fill.
    """
    touch = book.opposite(side)[0].price
    bps = min(config.repair_collar_bps * (round_no + 1), config.flatten_max_bps)
    limit = touch * (1 + side.sign * bps / BPS)
    if side is Side.BUY:
        return max(floor_to(limit, tick), touch)
    return min(ceil_to(limit, tick), touch)


def _within(price: Decimal, worst: Decimal, side: Side, tick: Decimal) -> Decimal:
    if side is Side.BUY:
        return min(price, floor_to(worst, tick))
    return max(price, ceil_to(worst, tick))


def _intent(
    execution: Execution,
    leg: Leg,
    purpose: Purpose,
    side: Side,
    qty: Decimal,
    attempt: int,
    price: Decimal,
    config: ExecutionConfig,
) -> OrderIntent:
    return OrderIntent(
        leg=leg,
        attempt=attempt,
        purpose=purpose,
        client_order_id=client_order_id(
            prefix=config.order_prefix, execution=execution.pk.int, leg=leg.index, attempt=attempt
        ),
        venue=leg.venue,
        symbol=leg.symbol,
        side=side,
        qty=qty,
        price=price,
        time_in_force=TimeInForce.IOC,
        state=OrderState.INTENT_WRITTEN,
        fence=execution.fence,
        config_version=execution.config_version,
        written_at=timezone.now(),
    )


def _reduces(leg: Leg, side: Side, qty: Decimal) -> bool:
    """`reduce_only` only where our own net on that instrument, less what is already on its way to reduce it,
    allows it: two executions may offset there, and a venue refuses what would not reduce."""
    return stopped.instrument(leg.venue, leg.symbol).reduced_by(qty * side.sign)


def as_new_order(order: OrderIntent) -> NewOrder:
    return NewOrder(
        symbol=order.symbol,
        side=Side(order.side),
        qty=order.qty,
        price=order.price,
        client_order_id=order.client_order_id,
        time_in_force=TimeInForce(order.time_in_force),
        post_only=order.post_only,
        reduce_only=order.reduce_only,
    )
