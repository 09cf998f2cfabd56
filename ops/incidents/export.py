"""One incident as somebody outside the desk reads it: JSON for programs, Markdown in both languages."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from ops import digests
from ops.canonical import plain
from ops.incidents import catalogue, service
from ops.incidents.catalogue import Language
from ops.incidents.timeline import timeline
from ops.models import Incident

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
    """Everything, with the audit log and the journals that it proves verified from first to head: as slow as
    the log is long."""
    alarm = catalogue.ALARMS.get(row.code)
    return {
        "incident": service.as_dict(row),
        "catalogue": asdict(alarm) if alarm else None,
        "timeline": timeline(row),
        "audit": asdict(digests.verify_everything()),
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
