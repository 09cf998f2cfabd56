"""`trading.accept_break`: two people say that a difference between books and venue is as it should be."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.utils import timezone

from ops import desk
from ops.actions.base import Action, Context, Danger, Outcome, Refusal, Status
from ops.actions.inputs import arg
from ops.actions.registry import register
from trading.domain.canonical import decimal_text as text
from trading.domain.reconcile import BreakKind
from trading.ledger import posting
from trading.models import ReconciliationBreak
from trading.reconciliation.service import source_of


@dataclass(frozen=True, kw_only=True)
class AcceptBreakInput:
    break_id: UUID = arg(help="The break, as GET /api/reconciliation lists it")
    amount: Decimal = arg(help="Its amount as it was looked at: another one is not accepted by this")


@register
class AcceptBreak(Action[AcceptBreakInput]):
    name = "trading.accept_break"
    title = "Accept a break"
    help = "Two people live with a difference, at exactly this amount. Money is booked as an adjustment."
    danger = Danger.INCREASES
    Input = AcceptBreakInput
    listed = False

    def target(self, data: AcceptBreakInput) -> str:
        return str(data.break_id)

    def check(self, ctx: Context[AcceptBreakInput]) -> Outcome | None:
        row = self._row(ctx.input.break_id)
        if row.amount != ctx.input.amount:
            detail = f"the break is of {text(row.amount)} now, not {text(ctx.input.amount)}: look at it again"
            raise Refusal("break.moved", detail, status=409)
        return None

    def _row(self, pk: UUID, *, lock: bool = False) -> ReconciliationBreak:
        rows = ReconciliationBreak.objects.select_for_update() if lock else ReconciliationBreak.objects.all()
        row = rows.filter(pk=pk).first()
        if row is None:
            raise Refusal("break.unknown", f"no break {pk}", status=404)
        if row.closed_at is not None or row.accepted_at is not None:
            raise Refusal("break.not_open", f"break {pk} is closed or accepted already", status=409)
        return row

    def diff(self, ctx: Context[AcceptBreakInput]) -> list[dict[str, Any]]:
        row = self._row(ctx.input.break_id)
        return [{"field": f"{row}: {row.detail}", "before": text(row.amount), "after": "accepted"}]

    def execute(self, ctx: Context[AcceptBreakInput]) -> Outcome:
        row = self._row(ctx.input.break_id, lock=True)
        row.accepted_at, row.accepted_why = timezone.now(), ctx.reason
        row.save(update_fields=["accepted_at", "accepted_why"])
        if row.kind == BreakKind.MONEY:
            posting.post_adjustment(
                row.data["source"],
                venue=row.venue,
                currency=row.data["currency"],
                amount=row.amount,
                at=datetime.fromisoformat(row.data["since"]),
                detail=ctx.reason,
            )
        desk.resolve_cause(source_of(row), why=f"accepted: {ctx.reason}")
        body = {"break_id": str(row.pk), "kind": row.kind}
        return Outcome(Status.EXECUTED, body, after={**body, "venue": row.venue, "amount": row.amount})
