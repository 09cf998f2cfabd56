"""`trading.kill`: block, cancel ours, flatten, and read the venues; in every mode, by one person."""

from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from ops import desk
from ops.actions.base import Action, Context, Danger, Outcome, Refusal, Status
from ops.actions.inputs import arg
from ops.actions.registry import register
from trading import desk_config
from trading.execution.nudge import nudge
from trading.execution.stopped import KILL
from trading.models import FlattenJob

SCOPES = ("all", "venue", "instrument")


@dataclass(frozen=True, kw_only=True)
class KillInput:
    scope: str = arg(help="all, or one venue or instrument", default="all", choices=SCOPES)
    key: str = arg(help="The venue, or the pair as BTCUSDT; empty for all", default="")
    flatten: bool = arg(help="Close what is open too; false: only block and cancel", default=True)
    include_foreign: bool = arg(
        help="Cancel everybody's orders on these accounts, not only ours", default=False
    )


@register
class Kill(Action[KillInput]):
    """Nothing of the desk's own mode can refuse it, and nothing but a resume by two people ends it."""

    name = "trading.kill"
    title = "Kill switch"
    help = "Nothing new goes out, our orders are cancelled, positions closed, then the venues are read."
    danger = Danger.REDUCES
    Input = KillInput
    reason_required = False
    stops = True

    def target(self, data: KillInput) -> str:
        return "all" if data.scope == "all" else f"{data.scope}:{data.key}"

    def check(self, ctx: Context[KillInput]) -> Outcome | None:
        data, config = ctx.input, desk_config.active().trading
        known = {"venue": [str(v) for v in config.venues], "instrument": [p.name for p in config.pairs]}
        if data.scope == "all" and data.key:
            raise Refusal("scope.key", "key: all has none", status=422)
        if data.scope == "venue" and data.key not in known["venue"]:
            raise Refusal("venue.unknown", f"{data.key!r}; accepted: {', '.join(known['venue'])}", status=422)
        if data.scope == "instrument" and config.pair(data.key) is None:
            raise Refusal(
                "pair.unknown", f"{data.key!r}; accepted: {', '.join(known['instrument'])}", status=422
            )
        return None

    def execute(self, ctx: Context[KillInput]) -> Outcome:
        """The block is committed with this; the job goes on from there, also when no worker is awake."""
        data, config = ctx.input, desk_config.active().trading
        pair = config.pair(data.key) if data.scope == "instrument" else None
        why = ctx.reason or f"kill switch by {ctx.actor.name}"
        for scope in _scopes(data, pair.symbol if pair else "", list(pair.venues) if pair else []):
            desk.add_cause(desk.lock(), source=KILL, reason=why, scope=scope, actor=ctx.actor)
        now = timezone.now()
        job = FlattenJob.objects.create(
            kind=FlattenJob.Kind.KILL if data.flatten else FlattenJob.Kind.CANCEL,
            venue=data.key if data.scope == "venue" else "",
            symbol=pair.symbol if pair else "",
            reason=ctx.reason,
            forced=True,
            include_foreign=data.include_foreign,
            requested_by=ctx.actor.row,
            next_at=now,
            deadline_at=now + timedelta(seconds=config.execution.flatten_deadline_sec),
        )
        nudge("trading.flatten", job.pk)
        body = {"job_id": str(job.pk), "location": f"/api/hedge/flatten/{job.pk}"}
        return Outcome(Status.ACCEPTED, body, after={"job": job.pk, "scope": self.target(data)})


def _scopes(data: KillInput, symbol: str, venues: list[str]) -> list[tuple[str, str]]:
    if data.scope == "all":
        return [desk.DESK]
    if data.scope == "venue":
        return [("venue", data.key)]
    return [("instrument", f"{venue}:{symbol}") for venue in venues]
