"""`risk.clear_guard`: one person sets a tripped guard to OK, with a reason, when its cause is gone (§7)."""

from dataclasses import dataclass
from typing import Any

from ops.actions.base import Action, Context, Danger, Outcome, Refusal, Status
from ops.actions.inputs import arg
from ops.actions.registry import register
from risk import guards
from risk.domain.guards import why_not_clear
from risk.models import GuardState


@dataclass(frozen=True, kw_only=True)
class ClearGuardInput:
    guard: str = arg(help="The guard's name, as GET /api/ui/status/components lists it")
    scope: str = arg(help="The venue, where it is a venue's; empty: the desk", default="")


@register
class ClearGuard(Action[ClearGuardInput]):
    """It opens nothing by itself: the HOLD stays until `ops.resume`, which is two people's."""

    name = "risk.clear_guard"
    title = "Set a guard to OK"
    help = "After its cause is gone; the HOLD that it raised stays until a resume."
    danger = Danger.NEUTRAL
    Input = ClearGuardInput

    def target(self, data: ClearGuardInput) -> str:
        return guards.label(data.guard, data.scope)

    def prepare(self, ctx: Context[ClearGuardInput]) -> Any:
        """A last look, so that a cause that came back a moment ago counts."""
        guards.evaluate(ctx.input.guard)

    def check(self, ctx: Context[ClearGuardInput]) -> Outcome | None:
        row = self._row(ctx.input)
        if why := why_not_clear(guards.guarded(row)):
            raise Refusal("guard.not_clearable", f"{self.target(ctx.input)}: {why}", status=409)
        return None

    def _row(self, data: ClearGuardInput) -> GuardState:
        row = GuardState.objects.select_for_update().filter(name=data.guard, scope=data.scope).first()
        if row is None:
            known = ", ".join(sorted(guards.names()))
            raise Refusal("guard.unknown", f"no guard {self.target(data)}; accepted: {known}", status=404)
        return row

    def diff(self, ctx: Context[ClearGuardInput]) -> list[dict[str, Any]]:
        row = self._row(ctx.input)
        return [{"field": self.target(ctx.input), "before": f"{row.level}: {row.summary}", "after": "OK"}]

    def execute(self, ctx: Context[ClearGuardInput]) -> Outcome:
        row = self._row(ctx.input)
        before = {"level": row.level, "summary": row.summary}
        guards.clear(row, by=ctx.actor.row, reason=ctx.reason)
        body = {"guard": row.name, "scope": row.scope or None, "level": row.level}
        return Outcome(Status.EXECUTED, body, after={**body, "before": before})
