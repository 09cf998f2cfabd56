"""Reads for the faces: rows in, JSON-ready dicts out. Decimals stay Decimal; the renderer writes strings."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from django.utils import timezone

from trading.domain import pnl
from trading.domain.execution_state import FINAL, Purpose
from trading.domain.market import Side
from trading.domain.order_state import TERMINAL
from trading.execution import times
from trading.models import (
    Execution,
    Fill,
    Leg,
    OrderIntent,
    Position,
    ReconciliationBreak,
    ReconciliationState,
)
from trading.venues.interface import VenuePosition

ZERO = Decimal(0)
Marks = Mapping[tuple[str, str], Decimal]


def execution(row: Execution, *, marks: Marks) -> dict[str, Any]:
    """One execution as spec 6.1 shapes it: plan, legs, transitions, PnL."""
    return {
        "id": str(row.pk),
        "state": row.state,
        "symbol": row.symbol,
        "policy": row.policy,
        "dry_run": row.dry_run,
        "closing": row.closing,
        "reason": row.reason,
        "requested_by": row.requested_by.get_username() if row.requested_by else None,
        "approval": str(row.approval_id) if row.approval_id else None,
        "config_version": row.config_version,
        "fence": row.fence,
        "created_at": row.created_at,
        "plan": row.plan,
        "legs": [leg(each) for each in row.legs.all()],
        "transitions": [
            {"state": t.after, "from": t.before, "at": t.at, "detail": t.detail}
            for t in row.transitions.all()
        ],
        "pnl": execution_pnl(row, marks=marks),
        "naked": nakedness(row, marks=marks),
        "times": times.of(row).as_dict(),
    }


def nakedness(row: Execution, *, marks: Marks) -> dict[str, Any]:
    """What is unhedged now: signed base coin (long above 0), its value and its loss per 1 % against it in
    quote currency (null without a mark), since when, and when the machine looks again by itself."""
    legs = [leg(each) for each in row.legs.all()]
    delta = sum((Side(each["side"]).sign * each["open_qty"] for each in legs), ZERO)
    mark = next((m for each in legs if (m := marks.get((each["venue"], each["symbol"])))), None)
    value = abs(delta) * mark if mark is not None else None
    return {
        "delta": delta,
        "value": value,
        "loss_per_percent": value / 100 if value is not None else None,
        "since": row.naked_since,
        "people_called": row.naked_told,
        "ordered": row.ordered or None,
        "ordered_max_loss": row.ordered_max_loss,
        "residual_owner": row.residual_owner.get_username() if row.residual_owner else None,
        "next_look_at": row.next_at,
    }


def leg(row: Leg) -> dict[str, Any]:
    """A leg with its orders. `filled`, `avg_price`, `fee` and `client_order_id` are of the opening orders."""
    orders = list(row.orders.all())
    opening = [each for each in orders if Purpose(each.purpose).opens]
    filled = sum((each.filled for each in opening), ZERO)
    quote = sum((each.quote_filled for each in opening), ZERO)
    return {
        "venue": row.venue,
        "symbol": row.symbol,
        "side": row.side,
        "qty": row.target,
        "filled": filled,
        "open_qty": filled - sum((o.filled for o in orders if not Purpose(o.purpose).opens), ZERO),
        "avg_price": quote / filled if filled else None,
        "fee": sum((each.fee for each in orders), ZERO),
        "state": opening[-1].state if opening else None,
        "client_order_id": opening[-1].client_order_id if opening else None,
        "orders": [order(each) for each in orders],
    }


def order(row: OrderIntent) -> dict[str, Any]:
    return {
        "client_order_id": row.client_order_id,
        "venue_order_id": row.venue_order_id,
        "venue": row.venue,
        "symbol": row.symbol,
        "purpose": row.purpose,
        "side": row.side,
        "qty": row.qty,
        "price": row.price,
        "time_in_force": row.time_in_force,
        "post_only": row.post_only,
        "reduce_only": row.reduce_only,
        "state": row.state,
        "filled": row.filled,
        "avg_price": row.quote_filled / row.filled if row.filled else None,
        "fee": row.fee,
        "refusal": row.refusal,
        "observed": row.observed,
        "written_at": row.written_at,
        "sent_at": row.sent_at,
        "acked_at": row.acked_at,
        "done_at": row.done_at,
    }


def fill(row: Fill) -> dict[str, Any]:
    return {
        "venue": row.venue,
        "symbol": row.symbol,
        "trade_id": row.trade_id,
        "client_order_id": row.order.client_order_id,
        "execution_id": str(row.order.leg.execution_id),
        "side": row.side,
        "qty": row.qty,
        "price": row.price,
        "fee": row.fee,
        "fee_currency": row.fee_currency,
        "maker": row.maker,
        "at": row.at,
    }


def execution_pnl(row: Execution, *, marks: Marks) -> dict[str, Any]:
    """Realised by closed quantity, unrealised at each leg's own mark; null where a mark is unknown.

    From the fills of this execution alone: another pair on the same instrument does not touch it.
    """
    held: dict[tuple[str, str], pnl.Position] = defaultdict(pnl.Position)
    if row.dry_run:
        return {"dry_run": True, "realised": None, "unrealised": None, "fees": None, "net": None}
    for each in Fill.objects.filter(order__leg__execution=row).order_by("at", "id"):
        key = (each.venue, each.symbol)
        held[key] = pnl.apply_fill(
            held[key], side=Side(each.side), qty=each.qty, price=each.price, fee=each.fee
        )
    result = pnl.execution_pnl(pnl.LegResult(position, marks.get(key)) for key, position in held.items())
    return {
        "realised": result.realised,
        "unrealised": result.unrealised,
        "fees": result.fees,
        "net": result.net,
    }


def positions(
    rows: Iterable[Position], venues: Mapping[str, Iterable[VenuePosition] | None], marks: Marks
) -> list[dict[str, Any]]:
    """Ours beside the venue's, by (venue, symbol). A venue that did not answer shows null, never 0."""
    ours = {(row.venue, row.symbol): row for row in rows}
    theirs = {(p.venue, p.symbol): p for found in venues.values() for p in found or ()}
    silent = {venue for venue, found in venues.items() if found is None}
    lines = []
    for key in sorted(ours.keys() | theirs.keys()):
        row, seen = ours.get(key), theirs.get(key)
        mark = seen.mark_price if seen else marks.get(key)
        held = pnl.Position(row.net, row.cost, row.realised, row.fees) if row else pnl.Position()
        venue_net = None if key[0] in silent else (seen.net if seen else ZERO)
        lines.append(
            {
                "venue": key[0],
                "symbol": key[1],
                "net": held.net,
                "avg_entry": held.avg_entry,
                "mark_price": mark,
                "notional_usdt": abs(held.net) * mark if mark else None,
                "realised_pnl": held.realised,
                "unrealised_pnl": held.unrealised(mark) if mark else (ZERO if not held.net else None),
                "fees": held.fees,
                "venue_net": venue_net,
                "venue_entry": seen.entry_price if seen else None,
                "matches": None if venue_net is None else venue_net == held.net,
            }
        )
    return lines


def unfinished() -> int:
    """Executions that are neither flat for good nor a mere plan."""
    return Execution.objects.filter(dry_run=False).exclude(state__in=sorted(FINAL)).count()


def orders_in_doubt() -> int:
    return OrderIntent.objects.exclude(state__in=sorted(TERMINAL)).filter(state="UNKNOWN").count()


def reconciliation() -> dict[str, Any]:
    """When each venue was compared with our books, and what does not agree; seconds count from now."""
    now = timezone.now()
    return {
        "venues": [
            {
                "venue": row.venue,
                "compared_at": row.done_at,
                "age_sec": round((now - row.done_at).total_seconds(), 1) if row.done_at else None,
                "error": row.error or None,
                "took_ms": row.took_ms,
            }
            for row in ReconciliationState.objects.order_by("venue")
        ],
        "breaks": [
            {
                "id": str(row.pk),
                "venue": row.venue,
                "kind": row.kind,
                "symbol": row.symbol or None,
                "key": row.key,
                "amount": row.amount,
                "detail": row.detail,
                "age_sec": round((now - row.opened_at).total_seconds(), 1),
                "accepted": row.accepted_at is not None,
                "held": row.held_at is not None,
            }
            for row in ReconciliationBreak.objects.filter(closed_at=None)
        ],
    }
