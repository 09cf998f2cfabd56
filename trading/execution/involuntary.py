"""Fills that no order of ours asked for: liquidation, ADL, settlement (spec 4.6.7).

The venue has closed a leg by itself. The fill becomes an order row of its own, written as filled, on the
executions that held the position, oldest first; the machine then finds their legs unequal and takes the other
one out. Recorded once, however often it is told.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import structlog
from django.db import transaction
from django.utils import timezone

from ops.incidents.service import alarm
from trading import desk_config
from trading.domain.canonical import decimal_text as text
from trading.domain.execution_state import FINAL, Purpose
from trading.domain.market import TimeInForce
from trading.domain.order_state import CLIENT_ORDER_ID_MAX, OrderState
from trading.domain.pnl import COST_QUANTUM
from trading.execution.fills import record_fill
from trading.execution.machine import leg_views
from trading.execution.nudge import nudge
from trading.models import Execution, Fill, Leg, OrderIntent
from trading.venues.interface import FillReport

log = structlog.get_logger()


def record(fill: FillReport) -> Decimal:
    """Book a venue's own fill against the legs that it closes, and wake their executions.

    Returns:
        What of it no open leg explains, base coin: not ours to touch, a break for reconciliation.
    """
    with transaction.atomic(durable=True):
        if Fill.objects.filter(venue=fill.venue, symbol=fill.symbol, trade_id=fill.trade_id).exists():
            return Decimal(0)
        left, parts = fill.qty, []
        for leg, open_qty in _open_legs(fill):
            if part := min(left, open_qty):
                parts.append((leg, part))
                left -= part
        for (leg, _), portion in zip(parts, _portions(fill, [part for _, part in parts]), strict=True):
            _book(leg, portion)
        if parts:
            _call_people(fill, fill.qty - left, [leg.execution for leg, _ in parts])
    return left


def _open_legs(fill: FillReport) -> Iterator[tuple[Leg, Decimal]]:
    """Legs that this fill reduces, oldest execution first, their executions locked."""
    holding = Execution.objects.filter(
        dry_run=False, legs__venue=fill.venue, legs__symbol=fill.symbol, legs__side=fill.side.opposite
    ).exclude(state__in=sorted(FINAL))
    for execution in holding.order_by("created_at").select_for_update():
        for view in leg_views(execution):
            leg = execution.legs.get(index=view.index)
            if (leg.venue, leg.symbol, leg.side) == (fill.venue, fill.symbol, fill.side.opposite):
                leg.execution = execution
                yield leg, view.open_qty


def _portions(fill: FillReport, parts: list[Decimal]) -> Iterator[FillReport]:
    """The trade cut up. Its own id goes to the first, so that the same news is known again; the fee of these
    parts is shared by quantity, the last digits with the last one."""
    total = sum(parts, Decimal(0))
    left = fee = fill.fee if total == fill.qty else (fill.fee * total / fill.qty).quantize(COST_QUANTUM)
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        share = left if last else (fee * part / total).quantize(COST_QUANTUM)
        left -= share
        trade_id = f"{fill.trade_id}/{number}" if number else fill.trade_id
        yield replace(fill, qty=part, trade_id=trade_id, fee=share)


def _book(leg: Leg, fill: FillReport) -> None:
    execution = leg.execution
    attempt = 1 + max((o.attempt for o in leg.orders.all()), default=0)
    order = OrderIntent.objects.create(
        leg=leg,
        attempt=attempt,
        purpose=Purpose.FORCED,
        client_order_id=_code(leg, attempt),
        venue=leg.venue,
        symbol=leg.symbol,
        side=fill.side,
        qty=fill.qty,
        price=fill.price,
        time_in_force=TimeInForce.IOC,
        reduce_only=True,
        state=OrderState.FILLED,
        venue_order_id=fill.venue_order_id,
        fence=execution.fence,
        config_version=execution.config_version,
        written_at=fill.at,
        sent_at=fill.at,
        acked_at=fill.at,
        done_at=fill.at,
    )
    record_fill(order, fill)
    order.save()
    Execution.objects.filter(pk=execution.pk).update(next_at=timezone.now())
    nudge("trading.drive", execution.pk)
    log.warning("fill.forced", execution=str(execution.pk), venue=fill.venue, qty=str(fill.qty))


def _code(leg: Leg, attempt: int) -> str:
    """An id that our own orders never have, the same for the same (leg, attempt)."""
    prefix = desk_config.active().trading.execution.order_prefix
    digest = hashlib.sha256(f"{leg.pk}:{attempt}".encode()).hexdigest()
    return f"{prefix}forced{digest}"[:CLIENT_ORDER_ID_MAX]


def _call_people(fill: FillReport, qty: Decimal, closed: list[Execution]) -> None:
    """Last in the transaction: from here on the audit head is locked."""
    what = (
        f"{fill.venue} closed {text(qty)} {fill.symbol} ({fill.side} at {text(fill.price)}) "
        f"of {len(closed)} execution(s) by itself"
    )
    data = {"trade_id": fill.trade_id, "executions": [str(e.pk) for e in closed]}
    alarm("execution.forced", f"execution.forced:{closed[0].pk}", what, data)
