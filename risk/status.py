"""The guards on the status page, in the overview and on the resume checklist."""

import functools
from collections.abc import Iterable
from typing import Any

from ops import checklist, hooks, status
from ops.status import Component, Reading, Status
from risk import guards, runaway
from risk.domain.guards import Level
from risk.models import GuardState

_SHOWN = {
    Level.OK: Status.OK,
    Level.WARN: Status.WARN,
    Level.HOLD: Status.HOLD,
    Level.UNKNOWN: Status.UNKNOWN,
}
LINKS = ("/admin/risk/guardstate/",)
#: Components of their own say these, with more to look at.
TOLD_ELSEWHERE = {"audit_chain", "reconciliation"}


def register() -> None:
    """Called once, when the app is ready."""
    status.register_provider("guards", _components, group="P0")
    hooks.provide_fact("runaway_guard", lambda: {"v2": runaway.state()})


def _components() -> Iterable[Component]:
    """One per guard, its worst scope first; a guard that was never evaluated is there too."""
    rows: dict[str, list[GuardState]] = {}
    for row in GuardState.objects.all():
        rows.setdefault(row.name, []).append(row)
    for name in sorted(guards.names() - TOLD_ELSEWHERE):
        guard = guards.get(name)
        assert guard is not None
        probe = functools.partial(_probe, rows.get(name, []))
        max_age = guards.STALE.total_seconds()
        yield Component(name, guard.title, "P0", probe, max_age_sec=max_age)


def _probe(rows: list[GuardState]) -> Reading:
    if not rows:
        return Reading(Status.UNKNOWN, "never evaluated", observed_at=None, links=LINKS)
    order = (Level.HOLD, Level.WARN, Level.UNKNOWN, Level.OK)
    worst = min(rows, key=lambda row: order.index(Level(row.level)))
    evaluated = min((row.evaluated_at for row in rows if row.evaluated_at), default=None)
    says = "; ".join(f"{row.scope or 'desk'}: {row.summary}" for row in rows if row.level == worst.level)
    if Level(worst.level).tripped and worst.seen == Level.OK:
        says += " (the cause is gone: clear it)"
    metrics = {row.scope or "desk": row.metrics for row in rows}
    return Reading(_SHOWN[Level(worst.level)], says[:300], metrics, evaluated, LINKS)


def _guards_ok(_: Any) -> checklist.Line:
    if why := guards.stale():
        return False, why
    level, says = guards.worst()
    return level is Level.OK, says


GUARDS_LINE = checklist.Item("guards", "Every guard is OK", _guards_ok, link=LINKS[0])
