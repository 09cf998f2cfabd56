"""Incidents and their timelines. Called by actions and by what must raise an alarm, never by faces.

Every line of a timeline names the audit entry of its transaction. The entry comes after it, so its number is
taken from the head, whose lock is the last of the order: writing a line is the last thing before `append`.
Locks: desk state (actions and HOLD only) → incident → audit head.
"""

import uuid
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import structlog
from django.db import IntegrityError
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from ops import audit
from ops.canonical import plain, short
from ops.incidents import catalogue
from ops.models import Incident, IncidentEvent, User
from ops.notifications import service as notifications

log = structlog.get_logger()
State, Severity = Incident.State, Incident.Severity
#: A flood hides what matters (ISA-18.2): more than so many within so long.
FLOOD, FLOOD_WITHIN = 10, timedelta(minutes=10)
#: What an incident is, without its texts.
FACTS = (
    "code",
    "source",
    "severity",
    "component",
    "state",
    "summary",
    "owner",
    "opened_by",
    "opened_at",
    "last_seen_at",
    "occurrences",
    "acknowledged_at",
    "mitigated_at",
    "resolved_at",
    "closed_at",
    "root_cause_by",
    "root_cause_at",
    "shelved_until",
)
#: Lines of a timeline that say: this is an alarm, here and now.
OPENED, RAISED, AGAIN = "opened", "raised", "raised again"
RAISE = "ops.raise_incident"
LONGEST_TEXT = 4_000
_ONE_UNCLOSED = "incident_one_unclosed_per_source"


def alarm(code: str, source: str, summary: str, data: dict[str, Any] | None = None) -> Incident | None:
    """`raise_incident` for whoever has more to lose than an alarm: what a venue said of an order, a HOLD, the
    record of a refusal. An alarm that cannot be written is logged, and the caller's transaction goes on.

    An entry of the caller's own names the incident by `correlation_id`: so the timeline takes it in.
    """
    try:
        return raise_incident(code, source, summary, data)
    except Exception:  # at the edge of the caller's work; the savepoint is rolled back
        log.exception("incident.lost", code=code, source=source)
        return None


def raise_incident(code: str, source: str, summary: str, data: dict[str, Any] | None = None) -> Incident:
    """An alarm by the machine, with its audit entry, inside the caller's transaction or one of its own.

    source: what it is about; while an incident of the same source is not closed, this is another occurrence
    of it, counted, and a line of its timeline when it says something new. Takes the audit head's lock: among
    the last things of the caller's transaction.

    Raises:
        LookupError: the code is not in the catalogue.
    """
    kind = catalogue.find(code)
    source, summary, data = short(source, 120), short(summary, LONGEST_TEXT), _stored(plain(data or {}))
    with audit.recorded(durable=False):
        row = _again(source) or _insert(kind, source, summary) or _again(source)
        assert row is not None  # closed between the two looks is closed: the insert went through
        if row.occurrences == 1:
            write_down(row, RAISED, summary, data=data)
            notifications.enqueue(row, "raised")
        elif not _said_already(row, summary, data):
            write_down(row, AGAIN, summary, data=data)
            notifications.enqueue(row, "again")
        audit.append_system(
            action=RAISE,
            target=f"incident:{row.pk}",
            verdict="executed",
            reason=summary,
            after={"code": code, "source": source, "occurrences": row.occurrences, "data": data},
        )
    return row


def _stored(value: Any) -> Any:
    """JSON data that PostgreSQL takes: what a venue's proxy sends may hold anything."""
    match value:
        case dict():
            return {short(key, 200): _stored(item) for key, item in value.items()}
        case list():
            return [_stored(item) for item in value]
        case str():
            return short(value, LONGEST_TEXT)
    return value


def _said_already(row: Incident, summary: str, data: dict[str, Any]) -> bool:
    last = row.events.filter(kind__in=(RAISED, AGAIN)).last()
    return last is not None and (last.text, last.data) == (summary, data)


def _again(source: str) -> Incident | None:
    found = unclosed().filter(source=source)
    row = found.select_for_update().first()
    if row is None:
        return None
    Incident.objects.filter(pk=row.pk).update(occurrences=F("occurrences") + 1, last_seen_at=timezone.now())
    row.refresh_from_db()
    audit.touch(row)
    return row


def _insert(kind: catalogue.Alarm, source: str, summary: str) -> Incident | None:
    """None when somebody else opened it at the same moment."""
    try:
        with audit.attempt():
            return _create(
                code=kind.code,
                source=source,
                severity=kind.severity,
                component=kind.component,
                summary=summary,
            )
    except IntegrityError as known:
        if _ONE_UNCLOSED not in str(known):
            raise
        return None


def open_by_hand(*, severity: str, component: str, summary: str, actor: User) -> Incident:
    """A new incident of a person; inside the action's transaction."""
    key = uuid.uuid4()
    row = _create(
        id=key,
        code=catalogue.MANUAL,
        source=f"{catalogue.MANUAL}:{key}",
        severity=severity,
        component=component,
        summary=summary,
        opened_by=actor,
    )
    write_down(row, OPENED, summary, actor_name=actor.get_username())
    notifications.enqueue(row, "raised")
    return row


def _create(**values: Any) -> Incident:
    row = Incident.objects.create(**values)
    audit.touch(row)
    return row


def change(row: Incident, **values: Any) -> None:
    """Write these columns of the (locked) row and no others."""
    for name, value in values.items():
        setattr(row, name, value)
    row.save(update_fields=sorted(values))
    audit.touch(row)


def write_down(
    row: Incident, kind: str, text: str, *, actor_name: str = "system", data: dict[str, Any] | None = None
) -> IncidentEvent:
    """A line of the timeline, which names the entry that this transaction appends next."""
    return IncidentEvent.objects.create(
        incident=row,
        kind=kind,
        text=text,
        actor_name=actor_name,
        data=plain(data or {}),
        audit_seq=audit.upcoming_seq(),
    )


# --- reading -----------------------------------------------------------------


def unclosed() -> "QuerySet[Incident]":
    return Incident.objects.exclude(state=State.CLOSED)


def without_root_cause() -> "QuerySet[Incident]":
    """P0 incidents whose root cause nobody has acknowledged: they stand before `ops.resume`."""
    return unclosed().filter(severity=Severity.P0, root_cause_at=None)


def counts() -> dict[str, int]:
    """Unclosed incidents by severity, those that are shelved left out: `{"P0": n, "P1": n, "P2": n}`."""
    shown = unclosed().filter(Q(shelved_until=None) | Q(shelved_until__lte=timezone.now()))
    found: Sequence[str] = list(shown.values_list("severity", flat=True))
    return {severity: found.count(severity) for severity in Severity.values}


def raised_lately() -> int:
    """Alarms within FLOOD_WITHIN: what was opened, and what said something new."""
    since = timezone.now() - FLOOD_WITHIN
    return IncidentEvent.objects.filter(at__gt=since, kind__in=(OPENED, RAISED, AGAIN)).count()


def as_lines(rows: Iterable[Incident]) -> list[str]:
    return [f"{row.severity} {row.state} {row.source}: {row.summary[:80]}" for row in rows]


def as_dict(row: Incident) -> dict[str, Any]:
    facts = {name: _fact(getattr(row, name)) for name in FACTS}
    return {"id": str(row.pk), **facts, "resolution": row.resolution, "root_cause": row.root_cause}


def _fact(value: Any) -> Any:
    return value.get_username() if isinstance(value, User) else value


def event(line: IncidentEvent) -> dict[str, Any]:
    names = ("at", "kind", "text", "actor_name", "data", "audit_seq")
    return {name: getattr(line, name) for name in names}
