"""`trading.close`: out of one execution, in every mode, by one person."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from ops.actions.base import Action, Context, Danger, Outcome, Refusal, Status
from ops.actions.inputs import arg
from ops.actions.registry import register
from trading.domain.market import Book
from trading.domain.money import BPS
from trading.execution import closing, exit_bound, quoting
from trading.models import Execution, Leg

ZERO = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class CloseInput:
    execution_id: UUID = arg(help="The execution to close")
    qty: Decimal | None = arg(help="Base coin to take out of both legs; empty: all of it", default=None)
    min_exit_bps: Decimal | None = arg(
        help="Least that the exit must bring after fees, in bps (below 0: the most it may cost); "
        "empty: close at any price",
        default=None,
    )
    max_cost: Decimal | None = arg(
        help="The same bound as an amount: the most that leaving may cost, fees included, in USDT",
        default=None,
    )
    force: bool = arg(
        help="Close the leg whose venue answers even while the other's does not: naked until it does",
        default=False,
    )

    @property
    def bounded(self) -> bool:
        return self.min_exit_bps is not None or self.max_cost is not None


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

    def prepare(self, ctx: Context[CloseInput]) -> Mapping[tuple[str, str], Book]:
        """Both books, only where a bound has to be judged: a plain close waits for nothing."""
        if not ctx.input.bounded:
            return {}
        legs = Leg.objects.filter(execution=ctx.input.execution_id)
        return quoting.quotes(tuple(legs.values_list("venue", "symbol")))

    def check(self, ctx: Context[CloseInput]) -> Outcome | None:
        data = ctx.input
        if not Execution.objects.filter(pk=data.execution_id).exists():
            raise Refusal("execution.unknown", f"no execution {data.execution_id}", status=404)
        if data.qty is not None and data.qty <= 0:
            raise Refusal("qty.invalid", f"qty {data.qty}: accepted: above 0", status=422)
        if data.max_cost is not None and (data.max_cost < 0 or data.min_exit_bps is not None):
            raise Refusal(
                "bound.invalid",
                "accepted: min_exit_bps, or max_cost of 0 USDT or more, not both",
                status=422,
            )
        if data.bounded and data.force:
            raise Refusal("bound.invalid", "force closes at any price: no bound goes with it", status=422)
        return None

    def execute(self, ctx: Context[CloseInput]) -> Outcome:
        data = ctx.input
        row = Execution.objects.select_for_update().get(pk=data.execution_id)
        leave = ZERO if data.qty is None else closing.leave_after(row, data.qty)
        exit_now, least = self._judged(ctx, row, leave)
        row = closing.ask_to_close(row.pk, leave=leave, force=data.force, min_exit_bps=least)
        body: dict[str, Any] = {"execution_id": str(row.pk), "location": f"/api/ui/executions/{row.pk}"}
        if exit_now is not None:
            body |= {"exit_bps": exit_now.bps, "exit_result": exit_now.result}
        return Outcome(Status.ACCEPTED, body, after={"leave": leave, "min_exit_bps": least})

    def _judged(
        self, ctx: Context[CloseInput], row: Execution, leave: Decimal
    ) -> tuple[exit_bound.Exit | None, Decimal | None]:
        """The exit as both books have it, and the bound in bps.

        Raises:
            Refusal: `close.too_dear` with both figures, `book.depth` where no price can be told.
        """
        data = ctx.input
        if not data.bounded:
            return None, None
        legs = {leg.index: leg for leg in row.legs.prefetch_related("orders")}
        qty = closing.open_quantity(row) - leave
        found = exit_bound.exit_now(row, legs, qty, ctx.evidence) if qty > 0 else None
        if found is None:
            raise Refusal("book.depth", f"no price for {qty} on both venues now", status=409)
        least = data.min_exit_bps
        if data.max_cost is not None:
            least = -data.max_cost * BPS / found.value
        assert least is not None
        if found.bps < least:
            raise Refusal(
                "close.too_dear",
                f"closing now brings {found.bps:f} bps ({found.result:.2f} USDT); "
                f"the bound is {least:.4f} bps ({least * found.value / BPS:.2f} USDT)",
                status=409,
            )
        return found, least
