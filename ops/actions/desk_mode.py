"""HOLD, resume and the switches of the desk's own state."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ops import checklist, desk, hooks
from ops.actions.base import Action, Context, Danger, Outcome, Refusal, Status
from ops.actions.inputs import arg
from ops.actions.registry import register
from ops.models import DeskState, HoldCause, Mode

SCOPES = tuple(HoldCause.Scope.values)


@dataclass(frozen=True, kw_only=True)
class ScopeInput:
    scope: str = arg(
        help="desk: everything; or one venue, instrument, strategy", default="desk", choices=SCOPES
    )
    key: str = arg(help="Which venue, instrument (venue:symbol) or strategy; empty for the desk", default="")

    @property
    def pair(self) -> tuple[str, str]:
        return self.scope, self.key


def _require_key(data: ScopeInput) -> None:
    if (data.scope == "desk") != (data.key == ""):
        wrong = "the desk has no key" if data.key else f"which {data.scope}?"
        raise Refusal("scope.key", f"key: {wrong}", status=422)
    if len(data.key) > 80:
        raise Refusal("scope.key", "key: accepted: at most 80 characters", status=422)


@register
class Hold(Action[ScopeInput]):
    """One person, one step, always possible, in every mode."""

    name = "ops.hold"
    title = "HOLD"
    help = "Stop opening new risk at once. Cancels, hedges, closes and flattens go on working."
    danger = Danger.REDUCES
    Input = ScopeInput
    reason_required = False
    stops = True

    def target(self, data: ScopeInput) -> str:
        return "desk" if data.pair == desk.DESK else f"{data.scope}:{data.key}"

    def check(self, ctx: Context[ScopeInput]) -> Outcome | None:
        _require_key(ctx.input)
        return None

    def before(self, ctx: Context[ScopeInput]) -> dict[str, Any]:
        return {"mode": desk.get_state().mode}

    def diff(self, ctx: Context[ScopeInput]) -> list[dict[str, Any]]:
        if ctx.input.pair == desk.DESK:
            return [{"field": "mode", "before": desk.get_state().mode, "after": "HOLD"}]
        return [{"field": self.target(ctx.input), "before": None, "after": "no new risk"}]

    def execute(self, ctx: Context[ScopeInput]) -> Outcome:
        state = desk.lock()
        desk.add_cause(state, source="operator", reason=ctx.reason, scope=ctx.input.pair, actor=ctx.actor)
        return _mode(state)


@register
class Resume(Action[ScopeInput]):
    """Leave HOLD: only with a green checklist, and with another person's agreement."""

    name = "ops.resume"
    title = "Resume (leave HOLD)"
    help = "Close every cause and go to RUN. Needs a green checklist and approval by another person."
    danger = Danger.INCREASES
    Input = ScopeInput

    def target(self, data: ScopeInput) -> str:
        return "desk" if data.pair == desk.DESK else f"{data.scope}:{data.key}"

    def prepare(self, ctx: Context[ScopeInput]) -> dict[str, Any]:
        return checklist.prepare()

    def check(self, ctx: Context[ScopeInput]) -> Outcome | None:
        _require_key(ctx.input)
        closing = self._closing(ctx.input)
        whole = ctx.input.pair == desk.DESK
        if not closing and not (whole and not desk.runs(desk.get_state(), hooks.fence())):
            raise Refusal("resume.not_in_hold", f"{self.target(ctx.input)} is not in HOLD")
        require_ready(ctx.evidence)
        return None

    def _closing(self, data: ScopeInput) -> list[HoldCause]:
        """Resuming the desk closes every cause; resuming a scope closes its own and leaves the mode."""
        found = list(desk.causes())
        return found if data.pair == desk.DESK else [c for c in found if c.scope == data.pair]

    def before(self, ctx: Context[ScopeInput]) -> dict[str, Any]:
        causes = sorted(str(c.pk) for c in self._closing(ctx.input))
        return {"mode": desk.get_state().mode, "causes": causes}

    def diff(self, ctx: Context[ScopeInput]) -> list[dict[str, Any]]:
        closed = closed_causes(self._closing(ctx.input))
        if ctx.input.pair != desk.DESK:
            return closed
        return [{"field": "mode", "before": desk.get_state().mode, "after": "RUN"}, *closed]

    def execute(self, ctx: Context[ScopeInput]) -> Outcome:
        state = desk.lock()
        if ctx.input.pair == desk.DESK:
            desk.close_causes()
            desk.change(state, mode=Mode.RUN, fence=hooks.fence().fence, approval=ctx.approval)
        else:
            desk.close_causes(ctx.input.pair)
        return _mode(state)


def require_ready(seen: dict[str, Any] | None) -> None:
    """The server's checklist, line by line; a refusal names each missing item."""
    missing = [line for line in checklist.evaluate(seen) if not line["ok"]]
    if missing:
        names = ", ".join(line["name"] for line in missing)
        raise Refusal("resume.not_ready", f"not ready: {names}", status=409, errors=missing)


def closed_causes(causes: list[HoldCause]) -> list[dict[str, Any]]:
    """Rows of a diff."""
    return [
        {"field": f"cause {c.source}", "before": f"{c.state}: {c.reason}", "after": "closed"} for c in causes
    ]


def _mode(state: DeskState) -> Outcome:
    body = {"mode": state.mode, "version": state.version}
    return Outcome(Status.EXECUTED, {"result": body}, after=body)


@dataclass(frozen=True, kw_only=True)
class SwitchInput:
    enabled: bool = arg(help="true: the protection is on; false: it is off")


class Switch(Action[SwitchInput]):
    """A protection of the whole desk: on is one person at once, off is two people."""

    danger = Danger.INCREASES
    Input = SwitchInput
    reason_required = False
    stops = True
    column: ClassVar[str]

    def risk(self, data: SwitchInput) -> Danger:
        return Danger.REDUCES if data.enabled else Danger.INCREASES

    def _now(self) -> bool:
        return bool(getattr(desk.get_state(), self.column))

    def check(self, ctx: Context[SwitchInput]) -> Outcome | None:
        shown = self.column.upper()
        if self._now() == ctx.input.enabled:
            word = "on" if ctx.input.enabled else "off"
            raise Refusal(f"{self.column}.unchanged", f"{shown} is {word} already")
        if not ctx.input.enabled and not ctx.reason.strip():
            raise Refusal("reason.required", f"switching {shown} off needs a reason", status=422)
        return None

    def before(self, ctx: Context[SwitchInput]) -> dict[str, Any]:
        return {self.column: self._now()}

    def diff(self, ctx: Context[SwitchInput]) -> list[dict[str, Any]]:
        return [{"field": self.column.upper(), "before": not ctx.input.enabled, "after": ctx.input.enabled}]

    def execute(self, ctx: Context[SwitchInput]) -> Outcome:
        state = desk.lock()
        values = {self.column: ctx.input.enabled}
        desk.change(state, **values, approval=ctx.approval or state.approval)
        body = {**values, "version": state.version}
        return Outcome(Status.EXECUTED, {"result": body}, after=body)


@register
class SafeMode(Switch):
    name = "ops.safe_mode"
    title = "SAFE_MODE"
    help = "Switch SAFE_MODE. Switching it off makes executions real and needs approval by another person."
    column = "safe_mode"


@register
class PostOnly(Switch):
    name = "ops.post_only"
    title = "POST_ONLY"
    help = "Opening orders may only rest as a maker. Hedges, rescues, closes and flattens are not touched."
    column = "post_only"


@register
class ReduceOnly(Switch):
    name = "ops.reduce_only"
    title = "REDUCE_ONLY"
    help = "Nothing new may open; what is open may be reduced. Switching it off needs another person."
    column = "reduce_only"
