"""One incident as somebody outside the desk reads it: JSON for programs, Markdown in both languages."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from django.db.models import Q

from ops import audit
from ops.canonical import plain
from ops.incidents import catalogue, service
from ops.incidents.catalogue import Language
from ops.models import AuditEntry, Incident

#: The most entries of the audit log that a timeline takes in beside its own lines.
MOST_ENTRIES = 500
#: A shorter name of the thing in a source would be the name of other things too.
SHORTEST_ID = 12
_WORDS = {
    "en": {
        "incident": "Incident",
        "facts": "Facts",
        "catalogue": "What the alarm means",
        "timeline": "Timeline (UTC)",
        "root_cause": "Root cause",
        "resolution": "Resolution",
        "audit": "Audit log",
        "holds": "the chain holds: {entries} entries, head {head}, checked at {at}",
        "broken": "THE CHAIN IS BROKEN: {problem}, checked at {at}",
        "none": "not stated",
        "entry": "audit entry",
        "code": "code",
        "source": "source",
        "severity": "severity",
        "component": "component",
        "state": "state",
        "summary": "summary",
        "owner": "owner",
        "opened_by": "opened by",
        "opened_at": "opened",
        "last_seen_at": "last seen",
        "occurrences": "occurrences",
        "acknowledged_at": "acknowledged",
        "mitigated_at": "mitigated",
        "resolved_at": "resolved",
        "closed_at": "closed",
        "root_cause_by": "root cause acknowledged by",
        "root_cause_at": "root cause acknowledged",
        "shelved_until": "shelved until",
    },
    "ru": {
        "incident": "Инцидент",
        "facts": "Факты",
        "catalogue": "Что означает тревога",
        "timeline": "Хронология (UTC)",
        "root_cause": "Первопричина",
        "resolution": "Решение",
        "audit": "Журнал аудита",
        "holds": "цепочка цела: записей {entries}, голова {head}, проверено {at}",
        "broken": "ЦЕПОЧКА НАРУШЕНА: {problem}, проверено {at}",
        "none": "не указано",
        "entry": "запись аудита",
        "code": "код",
        "source": "источник",
        "severity": "важность",
        "component": "компонент",
        "state": "состояние",
        "summary": "описание",
        "owner": "ответственный",
        "opened_by": "открыл",
        "opened_at": "открыт",
        "last_seen_at": "последний раз",
        "occurrences": "повторений",
        "acknowledged_at": "подтверждён",
        "mitigated_at": "смягчён",
        "resolved_at": "устранён",
        "closed_at": "закрыт",
        "root_cause_by": "первопричину признал",
        "root_cause_at": "первопричина признана",
        "shelved_until": "отложен до",
    },
}


def as_data(row: Incident) -> dict[str, Any]:
    """Everything, with the audit log verified from first to head: as slow as the log is long."""
    alarm = catalogue.ALARMS.get(row.code)
    return {
        "incident": service.as_dict(row),
        "catalogue": asdict(alarm) if alarm else None,
        "timeline": timeline(row),
        "audit": asdict(audit.verify()),
    }


def timeline(row: Incident) -> list[dict[str, Any]]:
    """The incident's own lines, and what the audit log has of its source, oldest first."""
    own = [service.event(line) for line in row.events.all()]
    entries = _entries(row).exclude(seq__in=[line["audit_seq"] for line in own if line["audit_seq"]])
    journal = [_as_line(entry) for entry in entries.order_by("-seq")[:MOST_ENTRIES]]
    return sorted([*own, *journal], key=lambda line: (line["audit_seq"] or 0, line["at"]))


def _entries(row: Incident) -> Any:
    """Entries whose correlation or target names the source, or the thing in it (`code:<id>`)."""
    thing = row.source.partition(":")[2]
    names = {row.source, f"incident:{row.pk}", *([thing] if len(thing) >= SHORTEST_ID else [])}
    return AuditEntry.objects.filter(Q(correlation_id__in=names) | Q(target__in=names))


def _as_line(entry: AuditEntry) -> dict[str, Any]:
    return {
        "at": entry.at,
        "kind": f"{entry.action} {entry.verdict}",
        "text": entry.reason,
        "actor_name": entry.actor_name,
        "data": {"code": entry.code} if entry.code else {},
        "audit_seq": entry.seq,
    }


def as_json(row: Incident) -> str:
    return json.dumps(plain(as_data(row)), indent=2, ensure_ascii=False) + "\n"


def as_markdown(row: Incident, language: Language) -> str:
    say, data = _WORDS[language], as_data(row)
    alarm = catalogue.ALARMS.get(row.code)
    parts = [
        f"# {say['incident']} {row.severity}: {_quiet(alarm.title.in_(language) if alarm else row.code)}"
    ]
    parts.append(_section(say["facts"], _facts(data["incident"], say)))
    if alarm:
        parts.append(_section(say["catalogue"], [catalogue.as_markdown(alarm, language)]))
    parts.append(_section(say["timeline"], (_line(line, say) for line in data["timeline"])))
    parts.append(_section(say["root_cause"], [_quiet(row.root_cause) or say["none"]]))
    parts.append(_section(say["resolution"], [_quiet(row.resolution) or say["none"]]))
    found = data["audit"]
    words = say["holds" if found["ok"] else "broken"]
    verdict = words.format(
        entries=found["entries"],
        head=found["head"],
        problem=found["problem"],
        at=_shown(found["checked_at"]),
    )
    parts.append(_section(say["audit"], [verdict]))
    return "\n\n".join(parts) + "\n"


def _section(title: str, lines: Iterable[str]) -> str:
    return f"## {title}\n\n" + "\n".join(lines)


def _facts(values: dict[str, Any], say: dict[str, str]) -> list[str]:
    shown = [(say[name], values[name]) for name in service.FACTS if values[name] not in (None, "")]
    return [f"- id: {values['id']}", *(f"- {name}: {_shown(value)}" for name, value in shown)]


def _line(line: dict[str, Any], say: dict[str, str]) -> str:
    seq = f" ({say['entry']} {line['audit_seq']})" if line["audit_seq"] else ""
    text = f": {_quiet(line['text'])}" if line["text"] else ""
    return f"- {_shown(line['at'])} {_quiet(line['kind'])}, {_quiet(line['actor_name'])}{text}{seq}"


def _shown(value: Any) -> str:
    return value.strftime("%Y-%m-%d %H:%M:%S") if hasattr(value, "strftime") else _quiet(str(value))


def _quiet(text: str) -> str:
    """A person's words on one line, that cannot begin a heading, a list, a link or HTML of the document."""
    flat = " ".join(text.split())
    for mark in "\\`*_[]<>#|":
        flat = flat.replace(mark, f"\\{mark}")
    return flat
