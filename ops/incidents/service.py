"""Incidents and their timelines. Called by actions and by what must raise an alarm, never by faces.

Every line of a timeline names the audit entry of its transaction. The entry comes after it, so its number is
taken from the head, whose lock is the last of the order: writing a line is the last thing before `append`.
"""

import uuid
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.db import IntegrityError
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from ops import audit
from ops.canonical import plain
from ops.incidents import catalogue
from ops.models import Incident, IncidentEvent, User

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
_ONE_UNCLOSED = "incident_one_unclosed_per_source"


def raise_incident(code: str, source: str, summary: str, data: dict[str, Any] | None = None) -> Incident:
    """An alarm by the machine, with its audit entry, inside the caller's transaction or one of its own.

    source: what it is about; while an incident of the same source is not closed, this is another occurrence
    of it. Takes the audit head's lock: among the last things of the caller's transaction.

    Raises:
        LookupError: the code is not in the catalogue.
    """
    alarm = catalogue.find(code)
    source = source[:120]
    with audit.recorded(durable=False):
        row = _again(source) or _insert(alarm, source, summary) or _again(source)
        assert row is not None  # closed between the two looks is closed: the insert went through
        kind = "raised" if row.occurrences == 1 else "raised again"
        write_down(row, kind, summary, data=data)
        audit.append_system(
            action="ops.raise_incident",
            target=f"incident:{row.pk}",
            verdict="executed",
            reason=summary,
            after={"code": code, "source": source, "occurrences": row.occurrences, "data": data or {}},
        )
    return row


def _again(source: str) -> Incident | None:
    found = unclosed().filter(source=source)
    row = found.select_for_update().first()
    if row is None:
        return None
    Incident.objects.filter(pk=row.pk).update(occurrences=F("occurrences") + 1, last_seen_at=timezone.now())
    row.refresh_from_db()
    audit.touch(row)
    return row


def _insert(alarm: catalogue.Alarm, source: str, summary: str) -> Incident | None:
    """None when somebody else opened it at the same moment."""
    try:
        with audit.attempt():
            return _create(
                code=alarm.code,
                source=source,
                severity=alarm.severity,
                component=alarm.component,
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
    write_down(row, "opened", summary, actor_name=actor.get_username())
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
    """Alarms within FLOOD_WITHIN, each occurrence counted."""
    since = timezone.now() - FLOOD_WITHIN
    return IncidentEvent.objects.filter(at__gt=since, kind__in=("opened", "raised", "raised again")).count()


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
