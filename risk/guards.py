"""The guards: who looks, what was seen, what is latched (spec 3.5). The rules are `risk.domain.guards`.

A probe reads rows (and whatever else it likes) and says what it saw, per scope. The breaker worker evaluates
all of them every second; each claim of an opening order asks `stale` first, so that a dead worker closes the
gate by its silence.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.db import transaction
from django.utils import timezone

from ops import desk
from ops.models import HoldCause, User
from risk.domain.guards import Guarded, Level, Reading, step
from risk.models import GuardState

log = structlog.get_logger()
Probe = Callable[[], Mapping[str, Reading]]
#: Nobody has evaluated for so long: nothing opens.
STALE = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Guard:
    """probe: what is seen now, by scope; a scope that it leaves out was not seen. scopes: those that there
    should be, "" the desk, else a venue."""

    name: str
    title: str
    probe: Probe
    scopes: Callable[[], Iterable[str]] = lambda: ("",)
    on_trip: Callable[[GuardState], None] | None = None  # in the trip's own transaction
    max_age: timedelta = timedelta(seconds=15)
    group: str = "P0"


_guards: dict[str, Guard] = {}


def register(guard: Guard) -> None:
    _guards[guard.name] = guard


def names() -> set[str]:
    return set(_guards)


def get(name: str) -> Guard | None:
    return _guards.get(name)


def label(name: str, scope: str) -> str:
    return f"{name}@{scope}" if scope else name


def source_of(row: GuardState) -> str:
    """Of the HOLD cause and the incident that it raises."""
    return f"guard:{label(row.name, row.scope)}"


def guarded(row: GuardState) -> Guarded:
    return Guarded(Level(row.level), Level(row.seen), row.since, row.summary)


def evaluate(only: str = "") -> list[str]:
    """Look with every guard, or one; the labels of those that tripped now. Never raises for a probe."""
    tripped = []
    for guard in list(_guards.values()):
        if only in ("", guard.name):
            tripped += _evaluate(guard)
    return tripped


def _evaluate(guard: Guard) -> list[str]:
    try:
        seen: Mapping[str, Reading | None] = guard.probe()
    except Exception as error:  # a probe that fails has seen nothing
        log.exception("guard.probe_failed", guard=guard.name, error=str(error))
        seen = {}
    scopes = sorted(guard.scopes())
    GuardState.objects.filter(name=guard.name).exclude(scope__in=scopes).delete()  # a venue that is no more
    tripped = []
    for scope in scopes:
        if _look(guard, scope, seen.get(scope)):
            tripped.append(label(guard.name, scope))
    return tripped


def _look(guard: Guard, scope: str, reading: Reading | None) -> bool:
    """One step of one row. The trip and the HOLD that it means are one transaction."""
    now = timezone.now()
    GuardState.objects.bulk_create([GuardState(name=guard.name, scope=scope)], ignore_conflicts=True)
    with transaction.atomic(durable=not transaction.get_connection().in_atomic_block):
        rows = GuardState.objects.select_for_update()
        row = rows.get(name=guard.name, scope=scope)
        done = step(guarded(row), reading, now=now, max_age=guard.max_age)
        row.level, row.seen, row.since = done.after.level, done.after.seen, done.after.since
        row.summary, row.evaluated_at = done.after.summary, now
        if reading is not None:
            row.metrics, row.source_at = dict(reading.metrics), reading.at
        row.save()
        if not done.opens:
            return False
        trip(row, done.opens)
        if guard.on_trip is not None and done.after.level.tripped:
            guard.on_trip(row)
        return True


def trip(row: GuardState, why: str) -> None:
    """HOLD of the guard's scope and its incident, in the caller's transaction."""
    scope = (HoldCause.Scope.VENUE.value, row.scope) if row.scope else desk.DESK
    desk.raise_hold(source=source_of(row), reason=why, scope=scope, alarm="guard.tripped")
    log.warning("guard.tripped", guard=label(row.name, row.scope), why=why)


def clear(row: GuardState, *, by: User | None, reason: str) -> None:
    """The (locked) row is OK again; its cause is resolved, the HOLD stays until a resume."""
    row.level, row.since = Level.OK, timezone.now()
    row.cleared_by, row.clear_reason = by, reason
    row.save()
    desk.resolve_cause(source_of(row), why=f"guard cleared: {reason}")


def stale() -> str:
    """Why the guards cannot be relied on now, or "": nobody has evaluated them lately."""
    if not _guards:
        return ""
    oldest = GuardState.objects.filter(name__in=_guards).order_by("evaluated_at").first()
    if oldest is None or oldest.evaluated_at is None:
        return "no guard was ever evaluated"
    age = timezone.now() - oldest.evaluated_at
    return f"guards were last evaluated {age.total_seconds():.0f} s ago" if age > STALE else ""


def worst() -> tuple[Level, str]:
    """Of all P0 guards: what a resume and a preview ask."""
    order = (Level.HOLD, Level.WARN, Level.UNKNOWN)
    rows = [row for row in GuardState.objects.all() if row.name in _guards]
    for level in order:
        found = [row for row in rows if row.level == level and _guards[row.name].group == "P0"]
        if found:
            return level, "; ".join(f"{label(r.name, r.scope)} {r.level}: {r.summary}" for r in found[:6])
    return Level.OK, f"{len(rows)} guards OK"
