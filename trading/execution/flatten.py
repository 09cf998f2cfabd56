"""Flatten: close every pair in scope, then read the venues themselves and say what they say.

One pass per task, claimed by a conditional UPDATE, so that a lost message or a killed worker costs one sweep.
A pair is closed on both legs also when the scope names one venue: half a pair is a naked position.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from ops import audit
from ops.incidents.service import alarm
from trading import desk_config
from trading.domain.execution_state import FINAL
from trading.execution import closing, killing, machine
from trading.models import Execution, FlattenJob, Leg, Position
from trading.venues import get_hub
from trading.venues.interface import VenueError

#: A pass that takes longer has died: somebody else may take the next one.
PASS = timedelta(seconds=30)
PAUSE = timedelta(milliseconds=500)


@dataclass(frozen=True, slots=True)
class Outlook:
    """One instrument before and after a flatten: signed base coin over all venues, long above 0."""

    symbol: str
    pairs: int
    delta: Decimal
    delta_after: Decimal


def in_scope(venue: str, symbol: str) -> QuerySet[Execution]:
    """Executions of real orders with anything that may still be open, oldest first. "": every one."""
    legs = Q()
    if venue:
        legs &= Q(legs__venue=venue)
    if symbol:
        legs &= Q(legs__symbol=symbol)
    open_ones = Execution.objects.filter(dry_run=False).exclude(state__in=sorted(FINAL))
    return open_ones.filter(legs).distinct().order_by("created_at")


def outlook(venue: str, symbol: str) -> list[Outlook]:
    """What the desk would be left with: our own positions less the open legs of every pair in scope."""
    delta: defaultdict[str, Decimal] = defaultdict(Decimal)
    for row in Position.objects.filter(symbol=symbol) if symbol else Position.objects.all():
        delta[row.symbol] += row.net
    closed: defaultdict[str, Decimal] = defaultdict(Decimal)
    pairs: Counter[str] = Counter()
    for execution in in_scope(venue, symbol):
        pairs[execution.symbol] += 1
        closed[execution.symbol] += sum(
            (leg.side.sign * leg.open_qty for leg in machine.leg_views(execution)), Decimal(0)
        )
    return [
        Outlook(each, pairs[each], net, net - closed[each])
        for each, net in sorted(delta.items())
        if net or pairs[each]
    ]


def advance(job_id: UUID) -> timedelta | None:
    """One pass. Returns when to come again, or None when the job has its result."""
    now = timezone.now()
    mine = FlattenJob.objects.filter(pk=job_id, state=FlattenJob.State.RUNNING, next_at__lte=now).update(
        next_at=now + PASS
    )
    if not mine:
        return None
    job = FlattenJob.objects.get(pk=job_id)
    if job.kind != FlattenJob.Kind.FLATTEN and "cancelled" not in job.result:
        job.result = killing.cancel_all(job)
        FlattenJob.objects.filter(pk=job_id).update(result=job.result)
    if job.kind == FlattenJob.Kind.CANCEL:
        _finish(job, [])
        return None
    for execution in in_scope(job.venue, job.symbol):
        _close(execution.pk, force=job.forced)
    remaining = list(in_scope(job.venue, job.symbol).values_list("pk", "state"))
    if remaining and timezone.now() < job.deadline_at:
        FlattenJob.objects.filter(pk=job_id).update(next_at=timezone.now() + PAUSE)
        return PAUSE
    _finish(job, remaining)
    return None


def _close(execution_id: UUID, *, force: bool) -> None:
    """Ask, then drive at once: executions that share an instrument must not fight for it."""
    try:
        with transaction.atomic():
            closing.ask_to_close(execution_id, force=force)
    except closing.NotClosable:
        return  # flat meanwhile
    machine.drive(execution_id)


def _finish(job: FlattenJob, remaining: list[tuple[UUID, str]]) -> None:
    venues = [job.venue] if job.venue else sorted(desk_config.active().trading.venues)
    words = [_verify(venue, job.symbol) for venue in venues]
    done = all(word["cancelled" if job.kind == FlattenJob.Kind.CANCEL else "ok"] for word in words)
    flat = not remaining and done and killing.complete(job)
    line = "; ".join([*killing.words(job), *(str(word["says"]) for word in words)])
    silent = {str(word["venue"]) for word in words if word.get("silent")}
    result = {
        **job.result,
        "verification": line if flat else f"UNVERIFIED: {line}",
        "venues": words,
        "still_open": [
            {"execution_id": str(pk), "state": state, "why": _why(pk, silent)} for pk, state in remaining
        ],
    }
    with transaction.atomic(durable=True):
        job = FlattenJob.objects.select_for_update().get(pk=job.pk)
        if job.state != FlattenJob.State.RUNNING:
            return  # a pass that took too long, and another has finished meanwhile
        job.result = result
        job.state = FlattenJob.State.DONE if flat else FlattenJob.State.UNVERIFIED
        job.finished_at, job.next_at = timezone.now(), None
        job.save()
        if not flat:
            source = f"flatten.unverified:{job.pk}"
            alarm("flatten.unverified", source, str(result["verification"]), result)
        audit.append_system(
            action="trading.flatten" if job.kind == FlattenJob.Kind.FLATTEN else "trading.kill",
            target=str(job.pk),
            verdict=job.state,
            after=result,
            actor=job.requested_by,
        )


def _why(execution_id: UUID, silent: set[str]) -> str:
    """A pair with a leg on a venue that does not answer is kept hedged, until somebody says force."""
    down = silent & set(Leg.objects.filter(execution=execution_id).values_list("venue", flat=True))
    return (
        f"held: {', '.join(sorted(down))} down; force closes the other leg alone"
        if down
        else "not done in time"
    )


def _verify(venue: str, symbol: str) -> dict[str, object]:
    """What the venue itself reports: our open orders and what is left of our positions. Not our books."""
    hub = get_hub()
    prefix = desk_config.active().trading.execution.order_prefix
    try:
        positions = hub.fact("positions", venue, max_age_ms=0).value
        orders = hub.fact("open_orders", venue, max_age_ms=0).value
    except VenueError as silent:
        says = f"{venue}: cannot be read ({silent.code})"
        return {"venue": venue, "ok": False, "cancelled": False, "silent": True, "says": says}
    ours = [o for o in _of(orders, symbol) if o.client_order_id.startswith(prefix)]
    held = {p.symbol: p.net for p in _of(positions, symbol)}
    own = {p.symbol: p.net for p in Position.objects.filter(venue=venue).exclude(net=0)}
    foreign = {s: net - own.get(s, 0) for s, net in held.items() if net != own.get(s, 0)}
    flat = not ours and not any(s in held for s in own)
    says = f"{venue}: {len(ours)} open orders of ours, " + (
        "flat" if not held else ", ".join(f"{net} {s}" for s, net in held.items())
    )
    return {
        "venue": venue,
        "ok": flat and not foreign,
        "cancelled": not ours,
        "says": says,
        "foreign": {s: str(net) for s, net in foreign.items()},
    }


def _of(rows: Iterable, symbol: str) -> list:  # type: ignore[type-arg]
    return [row for row in rows if not symbol or row.symbol == symbol]
