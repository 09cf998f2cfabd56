"""Status components: every one is a live probe with an age (spec 6.1).

Rooms register components on start. A process evaluates them all at most once a second, however many ask; a
probe that fails, or whose source has not been seen lately, is UNKNOWN, never what it was before.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

import structlog
from django.utils import timezone

from ops import hooks

log = structlog.get_logger()

Group = Literal["P0", "P1", "P2", "P3"]
GROUPS: tuple[Group, ...] = ("P0", "P1", "P2", "P3")
#: How old the shared snapshot of a process may be, in seconds.
FRESH_SEC = 1.0
DATABASE = "database"


class Status(StrEnum):
    OK = "OK"
    WARN = "WARN"
    ERROR = "ERROR"
    HOLD = "HOLD"
    UNKNOWN = "UNKNOWN"

    @property
    def score(self) -> float:
        return {Status.OK: 1.0, Status.WARN: 0.5}.get(self, 0.0)


_ANSWERS = frozenset({Status.OK, Status.WARN})


@dataclass(frozen=True, slots=True)
class Reading:
    """What a probe saw. `observed_at`: when it was true; None when it was never seen."""

    status: Status
    summary: str
    metrics: Mapping[str, Any] = field(default_factory=dict)
    observed_at: datetime | None = field(default_factory=timezone.now)
    links: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Component:
    """max_age_sec: beyond it the reading counts as none. needs_database: not asked while that is down."""

    id: str
    title: str
    group: Group
    probe: Callable[[], Reading]
    max_age_sec: float = 10.0
    needs_database: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """One line of `GET /api/ui/status/components`."""

    id: str
    title: str
    group: Group
    status: Status
    summary: str
    metrics: Mapping[str, Any]
    source_age_sec: float | None
    links: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "title": self.title,
            "group": self.group,
            "status": self.status.value,
            "summary": self.summary,
            "metrics": dict(self.metrics),
            "source_age_sec": self.source_age_sec,
            "links": list(self.links),
        }


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All rows of one moment, and the facts that other rooms provide (`hooks.provide_fact`)."""

    taken_at: datetime
    took_ms: float
    rows: tuple[Row, ...]
    facts: Mapping[str, Any]

    @property
    def age_sec(self) -> float:
        return _seconds_since(self.taken_at)

    def find(self, component_id: str) -> Row | None:
        return next((row for row in self.rows if row.id == component_id), None)

    @property
    def database_answers(self) -> bool:
        """Where it does not, asking it anything would only hang."""
        return any(row.id == DATABASE and row.status in _ANSWERS for row in self.rows)

    def ok(self, component_id: str) -> bool:
        row = self.find(component_id)
        return row is not None and row.status is Status.OK


#: A provider names components that are known only at run time. It is called once per snapshot, so that one
#: reading may serve all of its components.
Provider = Callable[[], Iterable[Component]]

_components: dict[str, Component] = {}
_providers: dict[str, tuple[Group, bool, Provider]] = {}


def register(component: Component) -> None:
    """Add or replace (by id) a component. Called on start."""
    _components[component.id] = component


def register_provider(name: str, provider: Provider, *, group: Group, needs_database: bool = True) -> None:
    """Add or replace a provider. When it fails there is one UNKNOWN component: `name`, of `group`."""
    _providers[name] = (group, needs_database, provider)


# --- evaluation --------------------------------------------------------------


def evaluate(component: Component) -> Row:
    """One row. Never raises: what went wrong is what the row says."""
    try:
        reading = component.probe()
    except Exception as error:  # a probe that fails is unknown
        return _unknown(component, f"{type(error).__name__}: {_first_line(error)}")
    age = None if reading.observed_at is None else _seconds_since(reading.observed_at)
    status, summary = reading.status, reading.summary
    if age is None or age > component.max_age_sec:
        seen = "never seen" if age is None else f"last seen {age:.0f} s ago"
        status, summary = Status.UNKNOWN, f"{seen}: {summary}"
    return Row(
        component.id,
        component.title,
        component.group,
        status,
        summary,
        reading.metrics,
        None if age is None else round(max(age, 0.0), 3),
        reading.links,
    )


def evaluate_all() -> Snapshot:
    """Every component, the database first: without it, what needs it is not asked again and again."""
    started, taken_at = time.perf_counter(), timezone.now()
    rows = {DATABASE: evaluate(_components[DATABASE])}
    database_answers = rows[DATABASE].status in _ANSWERS
    for component in _everything(database_answers):
        if component.id == DATABASE:
            continue
        if component.needs_database and not database_answers:
            rows[component.id] = _unknown(component, "the database does not answer")
        else:
            rows[component.id] = evaluate(component)
    facts = hooks.facts() if database_answers else {}
    took_ms = (time.perf_counter() - started) * 1000
    ordered = sorted(rows.values(), key=lambda row: (row.group, row.id))
    return Snapshot(taken_at, round(took_ms, 1), tuple(ordered), facts)


def _everything(database_answers: bool) -> Iterator[Component]:
    yield from _components.values()
    for name, (group, needs_database, provider) in _providers.items():
        stand_in = Component(name, name.replace("_", " ").capitalize(), group, _never, 0, needs_database)
        if needs_database and not database_answers:
            yield stand_in
            continue
        try:
            yield from list(provider())
        except Exception as error:  # a provider that fails is told as such
            yield _failed(stand_in, error)


def _never() -> Reading:
    return Reading(Status.UNKNOWN, "", observed_at=None)


def _failed(stand_in: Component, error: Exception) -> Component:
    def probe() -> Reading:
        raise error

    return Component(stand_in.id, stand_in.title, stand_in.group, probe)


def _unknown(component: Component, why: str) -> Row:
    return Row(component.id, component.title, component.group, Status.UNKNOWN, why, {}, None, ())


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "")[:200]


def _seconds_since(moment: datetime) -> float:
    return (timezone.now() - moment).total_seconds()


# --- the shared snapshot -----------------------------------------------------

_lock = threading.Lock()
_shared: tuple[float, Snapshot] | None = None


def snapshot() -> Snapshot:
    """This process's snapshot, at most FRESH_SEC old. One caller evaluates, the others wait for it."""
    global _shared
    with _lock:
        if _shared is None or time.monotonic() - _shared[0] >= FRESH_SEC:
            found = evaluate_all()
            _shared = (time.monotonic(), found)
        return _shared[1]


def forget() -> None:
    """Drop the shared snapshot (tests; a command that has just changed something)."""
    global _shared
    with _lock:
        _shared = None
