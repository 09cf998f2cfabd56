"""A guard's state from what it sees, one step at a time (spec 3.5). No clock, no rows.

A trip latches: however good the readings become, only a person sets the guard to OK again, and not while its
cause persists. No fresh reading is UNKNOWN, never OK; UNKNOWN for too long is a cause of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum


class Level(StrEnum):
    OK = "OK"
    UNKNOWN = "UNKNOWN"
    WARN = "WARN"
    HOLD = "HOLD"

    @property
    def tripped(self) -> bool:
        return self in (Level.WARN, Level.HOLD)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a guard's source says. level: OK, WARN or HOLD. at: when that was true, by our clock."""

    level: Level
    summary: str
    at: datetime
    metrics: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Guarded:
    """A guard as its row has it. seen: the last reading's level, whatever is latched above it."""

    level: Level
    seen: Level
    since: datetime
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """after: the guard now. opens: a HOLD cause is due, with this reason."""

    after: Guarded
    opens: str = ""


def step(before: Guarded, reading: Reading | None, *, now: datetime, max_age: timedelta) -> Step:
    """One look. reading None, or older than `max_age`: nobody knows."""
    fresh = reading if reading is not None and now - reading.at <= max_age else None
    if fresh is None:
        return _unseen(before, reading, now=now, max_age=max_age)
    if fresh.level.tripped:
        worse = fresh.level is Level.HOLD or before.level is not Level.HOLD
        level = fresh.level if worse else before.level
        since = before.since if before.level is level else now
        opens = fresh.summary if before.level is not level else ""
        return Step(Guarded(level, fresh.level, since, fresh.summary), opens)
    if before.level.tripped:
        return Step(Guarded(before.level, Level.OK, before.since, before.summary))
    since = before.since if before.level is Level.OK else now
    return Step(Guarded(Level.OK, Level.OK, since, fresh.summary))


def _unseen(before: Guarded, reading: Reading | None, *, now: datetime, max_age: timedelta) -> Step:
    why = (
        "no reading"
        if reading is None
        else f"the last reading is {(now - reading.at).total_seconds():.0f} s old"
    )
    if before.level.tripped:
        return Step(Guarded(before.level, Level.UNKNOWN, before.since, before.summary))
    if before.level is not Level.UNKNOWN:
        return Step(Guarded(Level.UNKNOWN, Level.UNKNOWN, now, why))
    due = now - before.since >= max_age
    return Step(Guarded(Level.UNKNOWN, Level.UNKNOWN, before.since, why), f"unknown: {why}" if due else "")


def why_not_clear(guard: Guarded) -> str:
    """Why a person may not set it to OK now, or ""."""
    if not guard.level.tripped:
        return f"it is {guard.level}, not tripped"
    if guard.seen is Level.UNKNOWN:
        return "its source is silent: whether the cause is gone is not known"
    if guard.seen.tripped:
        return f"its cause persists: {guard.summary}"
    return ""
