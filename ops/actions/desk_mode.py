"""HOLD, resume, SAFE_MODE: the three verbs of the desk's own state."""

from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from ops import checklist, desk
from ops.actions.base import Action, Context, Danger, Outcome, Refusal, Status
from ops.actions.inputs import arg
from ops.actions.registry import register
from ops.models import DeskState, HoldCause, Mode


@register
class Hold(Action[Any]):
    """One person, one step, always possible, in every mode."""

    name = "ops.hold"
    title = "HOLD"
    help = "Stop opening new risk at once. Cancels, hedges, closes and flattens go on working."
    danger = Danger.REDUCES
    reason_required = False

    def before(self, ctx: Context[Any]) -> dict[str, Any]:
        return {"mode": desk.get_state().mode}

    def diff(self, ctx: Context[Any]) -> list[dict[str, Any]]:
        return [{"field": "mode", "before": desk.get_state().mode, "after": "HOLD"}]

    def execute(self, ctx: Context[Any]) -> Outcome:
        state = desk.lock()
        desk.add_cause(state, source="operator", reason=ctx.reason, actor=ctx.actor.user)
        return _mode(state)


@register
class Resume(Action[Any]):
    """Leave HOLD: only with a green checklist, and with another person's agreement."""

    name = "ops.resume"
    title = "Resume (leave HOLD)"
    help = "Close every cause and go to RUN. Needs a green checklist and approval by another person."
    danger = Danger.INCREASES

    def prepare(self, ctx: Context[Any]) -> dict[str, Any]:
        return checklist.prepare()

    def check(self, ctx: Context[Any]) -> Outcome | None:
        if desk.get_state().mode == Mode.RUN and not list(desk.causes()):
            raise Refusal("resume.not_in_hold", "the desk is not in HOLD")
        lines = checklist.evaluate(ctx.evidence)
        missing = [line for line in lines if not line["ok"]]
        if missing:
            names = ", ".join(line["name"] for line in missing)
            raise Refusal("resume.not_ready", f"not ready: {names}", status=409, errors=missing)
        return None

    def before(self, ctx: Context[Any]) -> dict[str, Any]:
        return {"mode": desk.get_state().mode, "causes": sorted(str(c.pk) for c in desk.causes())}

    def diff(self, ctx: Context[Any]) -> list[dict[str, Any]]:
        closed = [
            {"field": f"cause {c.source}", "before": f"{c.state}: {c.reason}", "after": "closed"}
            for c in desk.causes()
        ]
        return [{"field": "mode", "before": desk.get_state().mode, "after": "RUN"}, *closed]

    def execute(self, ctx: Context[Any]) -> Outcome:
        now = timezone.now()
        causes = HoldCause.objects.exclude(state=HoldCause.State.CLOSED)
        causes.filter(resolved_at=None).update(resolved_at=now)
        causes.update(state=HoldCause.State.CLOSED, closed_at=now)
        state = desk.lock()
        desk.change(state, mode=Mode.RUN, approval=ctx.approval)
        return _mode(state)


def _mode(state: DeskState) -> Outcome:
    body = {"mode": state.mode, "version": state.version}
    return Outcome(Status.EXECUTED, {"result": body}, after=body)


@dataclass(frozen=True, kw_only=True)
class SafeModeInput:
    enabled: bool = arg(help="true: executions are dry-run plans and nothing is sent; false: they are real")


@register
class SafeMode(Action[SafeModeInput]):
    """On is one person at once; off is two people."""

    name = "ops.safe_mode"
    title = "SAFE_MODE"
    help = "Switch SAFE_MODE. Switching it off makes executions real and needs approval by another person."
    danger = Danger.INCREASES
    Input = SafeModeInput
    reason_required = False

    def risk(self, data: SafeModeInput) -> Danger:
        return Danger.REDUCES if data.enabled else Danger.INCREASES

    def check(self, ctx: Context[SafeModeInput]) -> Outcome | None:
        if desk.get_state().safe_mode == ctx.input.enabled:
            word = "on" if ctx.input.enabled else "off"
            raise Refusal("safe_mode.unchanged", f"SAFE_MODE is {word} already")
        if not ctx.input.enabled and not ctx.reason.strip():
            raise Refusal("reason.required", "switching SAFE_MODE off needs a reason", status=422)
        return None

    def before(self, ctx: Context[SafeModeInput]) -> dict[str, Any]:
        return {"safe_mode": desk.get_state().safe_mode}

    def diff(self, ctx: Context[SafeModeInput]) -> list[dict[str, Any]]:
        return [{"field": "SAFE_MODE", "before": not ctx.input.enabled, "after": ctx.input.enabled}]

    def target(self, data: SafeModeInput) -> str:
        return "desk"

    def execute(self, ctx: Context[SafeModeInput]) -> Outcome:
        state = desk.lock()
        desk.change(state, safe_mode=ctx.input.enabled, approval=ctx.approval or state.approval)
        body = {"safe_mode": state.safe_mode, "version": state.version}
        return Outcome(Status.EXECUTED, {"result": body}, after=body)
