"""`risk.set_limit`: a cap at one level. Lower is one person's, higher or none is two people's."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ops.actions.base import Action, Context, Danger, Outcome, Refusal, Status
from ops.actions.inputs import arg
from ops.actions.registry import register
from risk import levels
from risk.models import RiskLimit


@dataclass(frozen=True, kw_only=True)
class SetLimitInput:
    level: str = arg(help="desk, venue:okx, instrument:okx:BTC/USDT:USDT, operator:anna or strategy:name")
    cap: str = arg(help="Which cap, as GET /api/risk/limits lists them")
    value: Decimal | None = arg(
        help="The largest figure that passes; empty: no limit of its own", default=None
    )


@register
class SetLimit(Action[SetLimitInput]):
    name = "risk.set_limit"
    title = "Set a risk limit"
    help = "Beside the configuration's caps; the lowest counts. Lowering takes effect at once."
    danger = Danger.INCREASES
    Input = SetLimitInput
    locks_desk = False  # the gate reads its limits under its own lock

    def risk(self, data: SetLimitInput) -> Danger:
        """Judged against the row there is; the database judges again."""
        row = _row(data)
        if data.value is None:
            return Danger.INCREASES if row else Danger.NEUTRAL
        return Danger.REDUCES if row is None or data.value <= row.value else Danger.INCREASES

    def target(self, data: SetLimitInput) -> str:
        return f"{data.cap} at {data.level}"

    def check(self, ctx: Context[SetLimitInput]) -> Outcome | None:
        data = ctx.input
        levels.require_cap(data.cap)
        levels.require(data.level)
        if data.value is not None and not (data.value.is_finite() and data.value >= 0):
            raise Refusal("value.invalid", f"value {data.value}: accepted: 0 or more", status=422)
        if data.value is None and _row(data) is None:
            raise Refusal("limit.none", f"{self.target(data)} has no limit of its own", status=409)
        return None

    def before(self, ctx: Context[SetLimitInput]) -> dict[str, Any]:
        row = _row(ctx.input)
        return {"value": row.value if row else None}

    def diff(self, ctx: Context[SetLimitInput]) -> list[dict[str, Any]]:
        row = _row(ctx.input)
        return [
            {"field": self.target(ctx.input), "before": row.value if row else None, "after": ctx.input.value}
        ]

    def execute(self, ctx: Context[SetLimitInput]) -> Outcome:
        data = ctx.input
        if data.value is None:
            RiskLimit.objects.filter(level=data.level, cap=data.cap).delete()
        else:
            values = {"value": data.value, "reason": ctx.reason, "set_by": ctx.actor.row}
            RiskLimit.objects.update_or_create(level=data.level, cap=data.cap, defaults=values)
        body = {"level": data.level, "cap": data.cap, "value": data.value}
        return Outcome(Status.EXECUTED, body, after=body)


def _row(data: SetLimitInput) -> RiskLimit | None:
    return RiskLimit.objects.filter(level=data.level, cap=data.cap).first()
