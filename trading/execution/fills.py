"""What a venue says of an order becomes rows here, in one transaction per order and nowhere else.

Assume every function runs concurrently with itself: the answer of a call that timed out may arrive while a
resolver reads the same order. The order row is locked first; a fill that is already there is not counted
again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import structlog
from django.db import transaction
from django.utils import timezone

from risk import reservations
from trading.domain import pnl
from trading.domain.execution_state import Purpose
from trading.domain.market import Side
from trading.domain.order_state import OrderState, may_move
from trading.ledger.posting import post_fill
from trading.ledger.rounding import settle
from trading.models import Attempt, Fill, OrderIntent, Position
from trading.venues.interface import FillReport, OrderReport, OrderStatus, VenueError, Verdict

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Said:
    """One exchange with a venue: what was asked, when, how long it took, and the answer or the failure."""

    kind: Attempt.Kind
    at: datetime
    took_ms: int
    error: VenueError | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """Everything one visit to a venue brought back about one order; nothing `said`: told unasked."""

    said: tuple[Said, ...]
    report: OrderReport | None = None
    fills: tuple[FillReport, ...] = ()

    def error(self, kind: Attempt.Kind) -> VenueError | None:
        return next((s.error for s in self.said if s.kind is kind and s.error), None)


def record(order_id: int, heard: Heard, *, acceptance_window: timedelta) -> OrderState:
    """Write what was heard: attempts, new fills with their effect on the position, and the order's new state.

    acceptance_window: how long after sending the venue may still accept; absence counts only after it.
    """
    with transaction.atomic(durable=True):
        order = OrderIntent.objects.select_for_update().select_related("leg").get(pk=order_id)
        _write_attempts(order, heard.said)
        for fill in heard.fills:
            record_fill(order, fill)
        state = _next_state(order, heard, acceptance_window)
        _move(order, state, heard)
        return state


def _write_attempts(order: OrderIntent, said: Iterable[Said]) -> None:
    Attempt.objects.bulk_create(
        Attempt(
            order=order,
            kind=s.kind,
            at=s.at,
            took_ms=s.took_ms,
            outcome=s.error.verdict if s.error else "ok",
            code=_text(s.error.code, 64) if s.error else "",
            detail=_text(s.error.detail, 500) if s.error else "",
        )
        for s in said
    )


def _text(heard: str, length: int) -> str:
    """What a venue's proxy sends may hold anything; PostgreSQL takes no NUL."""
    return heard.replace("\x00", "\ufffd")[:length]


def record_fill(order: OrderIntent, fill: FillReport) -> None:
    """Once per (venue, symbol, trade id): position, order sums and reservation move with it or not at all."""
    row, new = Fill.objects.get_or_create(
        venue=order.venue,
        symbol=order.symbol,
        trade_id=fill.trade_id,
        defaults={
            "order": order,
            "side": fill.side,
            "qty": fill.qty,
            "price": fill.price,
            "fee": fill.fee,
            "fee_currency": fill.fee_currency,
            "maker": fill.maker,
            "at": fill.at,
        },
    )
    if not new:
        return
    order.filled += fill.qty
    order.quote_filled += fill.qty * fill.price
    order.fee += fill.fee
    moved = apply_to_position(order.venue, order.symbol, fill.side, fill.qty, fill.price, fill.fee)
    post_fill(row, *moved, execution_id=order.leg.execution_id)
    settle(row.venue, row.symbol, row.trade_id)  # the statement may have been first
    if Purpose(order.purpose).opens:
        reservations.consume(order.leg.execution_id, order.leg.index, fill.qty)


def apply_to_position(
    venue: str, symbol: str, side: Side, qty: Decimal, price: Decimal, fee: Decimal
) -> tuple[pnl.Position, pnl.Position]:
    """Move the (venue, instrument) position by one fill, under its row lock. Before and after it."""
    Position.objects.bulk_create([Position(venue=venue, symbol=symbol)], ignore_conflicts=True)
    row = Position.objects.select_for_update().get(venue=venue, symbol=symbol)
    before = pnl.Position(net=row.net, cost=row.cost, realised=row.realised, fees=row.fees)
    after = pnl.apply_fill(before, side=side, qty=qty, price=price, fee=fee)
    row.net, row.cost, row.realised, row.fees = after.net, after.cost, after.realised, after.fees
    row.save()
    return before, after


def _next_state(order: OrderIntent, heard: Heard, window: timedelta) -> OrderState:
    """The venue's word, read strictly: terminal only when its fills are all here."""
    now = OrderState(order.state)
    if now.terminal:
        return now
    if heard.report is not None:
        return _from_report(order, heard.report)
    refusal = heard.error(Attempt.Kind.SUBMIT)
    if refusal is not None:
        return OrderState.REJECTED_DEFINITE if refusal.verdict.definite else OrderState.UNKNOWN
    if now is OrderState.UNKNOWN and _absent(order, window):
        return OrderState.RESOLVED_ABSENT
    return now


def _from_report(order: OrderIntent, report: OrderReport) -> OrderState:
    if report.status is not None and report.status.terminal and report.filled == order.filled:
        if order.filled == order.qty:
            return OrderState.FILLED
        rejected = report.status is OrderStatus.REJECTED and not order.filled
        return OrderState.REJECTED_DEFINITE if rejected else OrderState.CANCELED
    return OrderState.PARTIAL if order.filled else OrderState.ACKED


def _absent(order: OrderIntent, window: timedelta) -> bool:
    """Two authoritative "no such order" answers, both given after the venue could still have accepted it.

    A query that errors counts for nothing: six live orders were once dropped during a DNS outage.
    """
    if order.sent_at is None:
        return False
    late = order.attempts.filter(
        kind=Attempt.Kind.QUERY, outcome=Verdict.NOT_FOUND, at__gt=order.sent_at + window
    )
    return late.count() >= 2


def _heard_at(heard: Heard, now: datetime) -> datetime:
    """When the first answer was here; what a venue tells unasked is here now."""
    return heard.said[0].at + timedelta(milliseconds=heard.said[0].took_ms) if heard.said else now


def _move(order: OrderIntent, state: OrderState, heard: Heard) -> None:
    now = timezone.now()
    if heard.report is not None:
        order.venue_order_id = heard.report.venue_order_id or order.venue_order_id
        order.acked_at = order.acked_at or _heard_at(heard, now)
    if any(s.kind is Attempt.Kind.QUERY for s in heard.said):
        order.read_at = now
    refusal = heard.error(Attempt.Kind.SUBMIT)
    if refusal is not None and not order.refusal:
        order.refusal = _text(f"{refusal.code}: {refusal.detail}", 200)
    before = OrderState(order.state)
    if state is not before and may_move(before, state):
        order.state = state
        if state.terminal:
            order.done_at = now
    order.save()
