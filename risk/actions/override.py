"""`risk.grant_override`: two people let one pair past one cap, once."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from ops.actions.base import Action, Context, Danger, Outcome, Refusal, Status
from ops.actions.inputs import arg
from ops.actions.registry import register
from risk import levels
from risk.models import RiskOverride

MOST_MINUTES = 60


@dataclass(frozen=True, kw_only=True)
class OverrideInput:
    symbol: str = arg(help="The pair's symbol, BTC/USDT:USDT")
    cap: str = arg(help="The cap that refused, as the refusal names it")
    value: Decimal = arg(help="The largest figure to let through")
    level: str = arg(help="The level whose limit refused", default="desk")
    minutes: int = arg(help=f"How long it may be used, at most {MOST_MINUTES}", default=10)


@register
class GrantOverride(Action[OverrideInput]):
    name = "risk.grant_override"
    title = "Override a cap once"
    help = "One order of this pair may pass this cap up to this figure. Used up by the first that needs it."
    danger = Danger.INCREASES
    Input = OverrideInput

    def target(self, data: OverrideInput) -> str:
        return f"{data.cap} at {data.level} for {data.symbol}"

    def check(self, ctx: Context[OverrideInput]) -> Outcome | None:
        data = ctx.input
        levels.require_cap(data.cap)
        levels.require(data.level)
        if not 1 <= data.minutes <= MOST_MINUTES:
            says = f"minutes {data.minutes}: accepted: 1 to {MOST_MINUTES}"
            raise Refusal("minutes.invalid", says, status=422)
        if not (data.value.is_finite() and data.value > 0):
            raise Refusal("value.invalid", f"value {data.value}: accepted: above 0", status=422)
        return None

    def diff(self, ctx: Context[OverrideInput]) -> list[dict[str, Any]]:
        after = f"once, up to {ctx.input.value:f}, within {ctx.input.minutes} minutes"
        return [{"field": self.target(ctx.input), "before": "refused", "after": after}]

    def execute(self, ctx: Context[OverrideInput]) -> Outcome:
        data = ctx.input
        assert ctx.approval is not None
        row = RiskOverride.objects.create(
            symbol=data.symbol,
            level=data.level,
            cap=data.cap,
            value=data.value,
            approval=ctx.approval,
            expires_at=timezone.now() + timedelta(minutes=data.minutes),
        )
        body = {"override_id": str(row.pk), "expires_at": row.expires_at}
        return Outcome(Status.EXECUTED, body, after={**body, "override": str(row)})
