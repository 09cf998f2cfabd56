"""`trading.flatten`: close every pair in scope, then read the venues; in every mode, by one person."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone

from ops.actions.base import Action, Context, Danger, Outcome, Refusal, Status
from ops.actions.inputs import arg
from ops.actions.registry import register
from trading import desk_config
from trading.execution.flatten import outlook
from trading.execution.nudge import nudge
from trading.models import FlattenJob


@dataclass(frozen=True, kw_only=True)
class FlattenInput:
    venue: str | None = arg(help="Only pairs with a leg on this venue", default=None)
    symbol: str | None = arg(help="Only this pair", default=None)
    force: bool = arg(
        help="Also where one venue cannot be reached: its pairs are held hedged otherwise", default=False
    )


@register
class Flatten(Action[FlattenInput]):
    name = "trading.flatten"
    title = "Flatten"
    help = "Close every open pair with reduce-only orders, then say what the venues themselves report."
    danger = Danger.REDUCES
    locks_desk = False  # a stop waits for nobody
    Input = FlattenInput
    reason_required = False
    stops = True

    def target(self, data: FlattenInput) -> str:
        return f"{data.venue or 'all venues'} {data.symbol or 'all symbols'}"

    def check(self, ctx: Context[FlattenInput]) -> Outcome | None:
        config = desk_config.active().trading
        if ctx.input.venue and ctx.input.venue not in config.venues:
            known = ", ".join(config.venues)
            raise Refusal(
                "venue.unknown", f"unknown venue {ctx.input.venue!r}; accepted: {known}", status=422
            )
        if ctx.input.symbol and config.pair(ctx.input.symbol) is None:
            known = ", ".join(p.name for p in config.pairs)
            raise Refusal(
                "pair.unknown", f"unknown symbol {ctx.input.symbol!r}; accepted: {known}", status=422
            )
        return None

    def diff(self, ctx: Context[FlattenInput]) -> list[dict[str, Any]]:
        """The desk's delta per instrument, now and when all in scope is out: shown, never in the way."""
        return [
            {
                "field": f"{each.symbol}: delta over all venues, {each.pairs} pairs in scope",
                "before": each.delta,
                "after": each.delta_after,
            }
            for each in outlook(ctx.input.venue or "", _unified(ctx.input.symbol))
        ]

    def execute(self, ctx: Context[FlattenInput]) -> Outcome:
        config = desk_config.active().trading
        now = timezone.now()
        job = FlattenJob.objects.create(
            venue=ctx.input.venue or "",
            symbol=_unified(ctx.input.symbol),
            reason=ctx.reason,
            forced=ctx.input.force,
            requested_by=ctx.actor.row,
            next_at=now,
            deadline_at=now + timedelta(seconds=config.execution.flatten_deadline_sec),
        )
        nudge("trading.flatten", job.pk)
        body = {"job_id": str(job.pk), "location": f"/api/hedge/flatten/{job.pk}"}
        return Outcome(Status.ACCEPTED, body, after={"job": job.pk})


def _unified(symbol: str | None) -> str:
    pair = desk_config.active().trading.pair(symbol) if symbol else None
    return pair.symbol if pair else ""
