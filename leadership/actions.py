"""Giving the lease away, taking it, taking it back. What decides who leads needs no leader to be done."""

from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.db import connection

from leadership import handover, services, store
from leadership.terms import CHANGED
from ops import desk
from ops.actions.base import Action, Actor, Context, Danger, Outcome, Refusal, Status
from ops.actions.inputs import arg
from ops.actions.registry import register


def _require_lock() -> None:
    if services.leads_alone():
        raise Refusal("leader.no_lock", "FEATURE_LEADER_LOCK=0: this instance is its own leader", status=409)


@dataclass(frozen=True, kw_only=True)
class ReleaseInput:
    accept_unknown: bool = arg(
        help="true: give it away though orders are UNKNOWN; the next leader finds out", default=False
    )


@register
class Release(Action[ReleaseInput]):
    """HOLD, and the term ends once nothing of it can reach a venue any more."""

    name = "leadership.release"
    title = "Release leadership"
    help = "HOLD, stop claiming, drain, then free the lease for another instance. This one stays a standby."
    danger = Danger.REDUCES
    Input = ReleaseInput
    reason_required = False
    fenced = False
    stops = True

    def risk(self, data: ReleaseInput) -> Danger:
        return Danger.INCREASES if data.accept_unknown else Danger.REDUCES

    def target(self, data: ReleaseInput) -> str:
        return "lease"

    def check(self, ctx: Context[ReleaseInput]) -> Outcome | None:
        _require_lock()
        found = services.standing(hold=True)
        if not found.leads:
            raise Refusal("leader.not_here", f"this instance does not hold the lease: {_holder(found)}")
        unknown = handover.work().unknown
        if unknown and not ctx.input.accept_unknown:
            raise Refusal(
                "leader.unknown_orders",
                f"{unknown} orders are UNKNOWN: resolve them, or two people accept them",
            )
        return None

    def before(self, ctx: Context[ReleaseInput]) -> dict[str, Any]:
        return {"fence": services.standing().fence}

    def diff(self, ctx: Context[ReleaseInput]) -> list[dict[str, Any]]:
        return [{"field": "leader", "before": settings.INSTANCE, "after": None}]

    def execute(self, ctx: Context[ReleaseInput]) -> Outcome:
        found = services.standing(hold=True)
        why = f"term {found.fence} is given away"
        desk.add_cause(desk.lock(), source=CHANGED, reason=why, resolved=True, by=ctx.approval)
        with connection.cursor() as cursor:
            if not store.drain(cursor, found.fence, me=settings.INSTANCE):
                raise Refusal("leader.not_here", "the lease was lost in this moment")
        body = {"fence": found.fence, "state": "draining"}
        return Outcome(Status.ACCEPTED, {"result": body}, after=body)


@dataclass(frozen=True, kw_only=True)
class TakeInput:
    instance: str = arg(help="Which instance shall lead; empty: the one that is asked", default="")


class _Take(Action[TakeInput]):
    Input = TakeInput
    fenced = False
    how: str

    def normalise(self, data: TakeInput, actor: Actor) -> TakeInput:
        return replace(data, instance=data.instance or settings.INSTANCE)

    def target(self, data: TakeInput) -> str:
        return "lease"

    def check(self, ctx: Context[TakeInput]) -> Outcome | None:
        _require_lock()
        if ctx.input.instance != settings.INSTANCE:
            raise Refusal("leader.elsewhere", f"instance {ctx.input.instance} takes it: apply it there")
        if services.standing().leads:
            raise Refusal("leader.already", "this instance leads already")
        return None

    def before(self, ctx: Context[TakeInput]) -> dict[str, Any]:
        seen = services.standing().seen
        return {"fence": seen.fence, "owner": seen.owner}

    def diff(self, ctx: Context[TakeInput]) -> list[dict[str, Any]]:
        seen = services.standing().seen
        return [{"field": "leader", "before": seen.owner if seen.live else None, "after": ctx.input.instance}]

    def execute(self, ctx: Context[TakeInput]) -> Outcome:
        with connection.cursor() as cursor:
            seen = store.read(cursor)
            self.require(seen)
            fence = store.begin_term(
                cursor,
                seen,
                me=settings.INSTANCE,
                host=services.host(),
                how=self.how,
                ttl_sec=settings.ENV.leader_lock_ttl_sec,
            )
        if fence is None:
            raise Refusal("leader.moved", "the lease changed in this moment: look again")
        body = {"fence": fence, "owner": settings.INSTANCE}
        return Outcome(Status.EXECUTED, {"result": body}, after=body)

    def require(self, seen: Any) -> None:
        """Whether it may be taken as it is now."""


@register
class Steal(_Take):
    """Before the lease is stale: two people vouch that the old leader is stopped."""

    name = "leadership.steal"
    title = "Take leadership by force"
    help = "Begin a new term here although the holder was heard lately. Two people vouch that it is stopped."
    danger = Danger.INCREASES
    how = "forced"


@register
class Acquire(_Take):
    """What this instance gave away comes back to it by a person's word only."""

    name = "leadership.acquire"
    title = "Take a free lease"
    help = "Lead again after a release, when no other instance took the lease."
    danger = Danger.NEUTRAL
    reason_required = False
    how = "free"

    def check(self, ctx: Context[TakeInput]) -> Outcome | None:
        early = super().check(ctx)
        self.require(services.standing().seen)
        return early

    def require(self, seen: Any) -> None:
        if seen.live or seen.state == "HELD":
            raise Refusal(
                "leader.held",
                f"{seen.owner} holds the lease, heard {seen.hb_age_sec:.1f} s ago: it is not free",
            )


def _holder(found: services.Standing) -> str:
    return f"{found.seen.owner} does" if found.seen.live else "nobody does"
