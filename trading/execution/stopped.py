"""The last look before an order is claimed while the desk is stopped (spec 3.3): rows in, verdict out.

The core writes nothing but hedges, reversals and closes then; this does not take its word for it.
"""

from collections.abc import Mapping
from decimal import Decimal

from django.db.models import F, QuerySet, Sum

from ops import desk
from risk.domain.gate import InstrumentState
from risk.domain.hold import Begun, Stop, may_pass
from trading.domain.market import Side
from trading.domain.order_state import TERMINAL
from trading.models import Leg, OrderIntent, Position

ZERO = Decimal(0)
#: Source of the causes that the kill switch raises.
KILL = "kill"


def not_allowed(
    ids: tuple[int, ...], legs: Mapping[int, Leg], *, runs: bool, reduce_only: bool
) -> tuple[int, ...]:
    """Those of `ids` that would neither reduce nor hedge. The desk's row is held: nobody resumes now."""
    stop = _stop(legs, runs=runs, reduce_only=reduce_only)
    if stop is None:
        return ()
    orders = OrderIntent.objects.filter(pk__in=ids)
    return tuple(
        order.pk
        for order in orders
        if may_pass(
            _signed(order, order.qty),
            instrument(order.venue, order.symbol, beside=order.pk),
            begun=_begun(order, legs),
            stop=stop,
        )
        is None
    )


def _stop(legs: Mapping[int, Leg], *, runs: bool, reduce_only: bool) -> Stop | None:
    """Under the kill switch nothing is hedged by buying more: only what reduces goes out."""
    scopes = {desk.DESK}
    scopes |= {("venue", leg.venue) for leg in legs.values()}
    scopes |= {("instrument", f"{leg.venue}:{leg.symbol}") for leg in legs.values()}
    if any((cause.scope_type, cause.scope_key) in scopes for cause in desk.causes().filter(source=KILL)):
        return Stop.KILL
    if not runs:
        return Stop.HOLD
    return Stop.REDUCE_ONLY if reduce_only else None


def _signed(order: OrderIntent, qty: Decimal) -> Decimal:
    return qty * Side(order.side).sign


def instrument(venue: str, symbol: str, *, beside: int | None = None) -> InstrumentState:
    """Our net and what works on a (venue, symbol), of all executions, without the order `beside`."""
    net = Position.objects.filter(venue=venue, symbol=symbol).values_list("net", flat=True).first()
    working = _working().filter(venue=venue, symbol=symbol).exclude(pk=beside or 0)
    by_side = dict(working.values_list("side").annotate(left=Sum(F("qty") - F("filled"))))
    return InstrumentState(
        net=net or ZERO,
        working_buy=by_side.get(Side.BUY.value) or ZERO,
        working_sell=by_side.get(Side.SELL.value) or ZERO,
    )


def _begun(order: OrderIntent, legs: Mapping[int, Leg]) -> Begun:
    """Everything this execution has bought and sold, and what of it still works beside this order."""
    delta = ZERO
    for leg in legs.values():
        for other in leg.orders.all():
            at_work = other.sent_at is not None and other.state not in TERMINAL and other.pk != order.pk
            delta += _signed(other, other.qty if at_work else other.filled)
    return Begun(delta)


def _working() -> "QuerySet[OrderIntent]":
    return OrderIntent.objects.filter(sent_at__isnull=False).exclude(state__in=sorted(TERMINAL))
