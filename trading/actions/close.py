"""`trading.close`: out of one execution, in every mode, by one person."""

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from ops.actions.base import Action, Context, Danger, Outcome, Refusal, Status
from ops.actions.inputs import arg
from ops.actions.registry import register
from trading.execution import closing
from trading.models import Execution


@dataclass(frozen=True, kw_only=True)
class CloseInput:
    execution_id: UUID = arg(help="The execution to close")
    qty: Decimal | None = arg(help="Base coin to take out of both legs; empty: all of it", default=None)
    force: bool = arg(
        help="Close the leg whose venue answers even while the other's does not: naked until it does",
        default=False,
    )


@register
class Close(Action[CloseInput]):
    name = "trading.close"
    title = "Close an execution"
    help = "Reduce-only orders on both legs until both are flat. Works in HOLD and SAFE_MODE."
    danger = Danger.REDUCES
    locks_desk = False  # a stop waits for nobody
    Input = CloseInput
    reason_required = False
    stops = True

    def target(self, data: CloseInput) -> str:
        return str(data.execution_id)

    def check(self, ctx: Context[CloseInput]) -> Outcome | None:
        if not Execution.objects.filter(pk=ctx.input.execution_id).exists():
            raise Refusal("execution.unknown", f"no execution {ctx.input.execution_id}", status=404)
        if ctx.input.qty is not None and ctx.input.qty <= 0:
            raise Refusal("qty.invalid", f"qty {ctx.input.qty}: accepted: above 0", status=422)
        return None

    def execute(self, ctx: Context[CloseInput]) -> Outcome:
        leave = Decimal(0)
        if ctx.input.qty is not None:
            row = Execution.objects.select_for_update().get(pk=ctx.input.execution_id)
            leave = closing.leave_after(row, ctx.input.qty)
        row = closing.ask_to_close(ctx.input.execution_id, leave=leave, force=ctx.input.force)
        body = {"execution_id": str(row.pk), "location": f"/api/ui/executions/{row.pk}"}
        return Outcome(Status.ACCEPTED, body, after={"leave": leave})
