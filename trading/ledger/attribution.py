"""The profit of an execution by parts, from its rows."""

from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Any

from django.db.models import Sum

from trading.domain import attribution
from trading.domain.attribution import EdgeStory, LegFill, Parts
from trading.domain.execution_state import Purpose
from trading.domain.ledger import Account, settlement
from trading.domain.market import Side
from trading.domain.money import ZERO
from trading.models import Execution, Fill, FundingPayment, LedgerLine

Marks = Mapping[tuple[str, str], Decimal]


def parts(execution: Execution, *, marks: Marks, rates: Mapping[str, Decimal] | None = None) -> Parts:
    """See `attribution.parts`. rates: quote per unit of another fee currency."""
    symbols = {leg.symbol for leg in execution.legs.all()}
    quotes = {settlement(symbol) for symbol in symbols}
    if len(quotes) != 1:
        raise ValueError(f"{execution}: legs settled in {sorted(quotes)}; accepted: one currency")
    funding = FundingPayment.objects.filter(execution=execution).aggregate(Sum("amount"))["amount__sum"]
    rounding = LedgerLine.objects.filter(entry__execution=execution, account=Account.ROUNDING)
    return attribution.parts(
        fills_of(execution),
        marks=marks,
        quote=quotes.pop(),
        rates=rates or {},
        funding=funding or ZERO,
        rounding=-(rounding.aggregate(Sum("amount"))["amount__sum"] or ZERO),
    )


def as_dict(execution: Execution, *, marks: Marks) -> dict[str, Any]:
    """`attribution` and `edge_bps`, JSON-ready. A dry run earns nothing: null."""
    found = None if execution.dry_run else parts(execution, marks=marks)
    told = edges(execution)
    split = {f.name: getattr(found, f.name) for f in fields(Parts)} if found else {}
    return {
        "attribution": {**split, "net": found.net} if found else None,
        "edge_bps": {f.name: getattr(told, f.name) for f in fields(EdgeStory)},
    }


def edges(execution: Execution) -> EdgeStory:
    """Net edge when asked and at send, and what the opening fills captured."""
    at_send = (execution.plan.get("edge") or {}) if isinstance(execution.plan, dict) else {}
    bps = [Decimal(value) for name, value in at_send.items() if name.endswith("_bps")]
    return EdgeStory(
        seen=_seen(execution),
        at_send=sum(bps, ZERO) if bps else None,
        captured=attribution.captured_bps(fills_of(execution)),
    )


def _seen(execution: Execution) -> Decimal | None:
    """What the approvers were shown; None without a request of its own."""
    if execution.approval is None:
        return None
    shown: list[dict[str, Any]] = execution.approval.diff
    found = (row["after"] for row in shown if row["field"] == "net edge when asked")
    text = next(found, None)
    return Decimal(str(text).removesuffix(" bps")) if text else None


def fills_of(execution: Execution) -> list[LegFill]:
    rows = Fill.objects.filter(order__leg__execution=execution).select_related("order__leg")
    return [
        LegFill(
            venue=row.venue,
            symbol=row.symbol,
            purpose=Purpose(row.order.purpose),
            leg_side=Side(row.order.leg.side),
            plan_price=row.order.leg.plan_price,
            side=Side(row.side),
            qty=row.qty,
            price=row.price,
            fee=row.fee,
            fee_currency=row.fee_currency,
        )
        for row in rows.order_by("at", "id")
    ]
