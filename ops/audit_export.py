"""The audit log for somebody else's eyes: searched, and streamed with constant memory.

An export ends with a trailer that proves that it is whole: how many entries, from which to which, and the
last hash.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from ops import audit
from ops.actions.base import Actor, Refusal, Source
from ops.canonical import plain
from ops.models import AuditEntry

BATCH = 1000
FORMATS = ("jsonl", "csv")
COLUMNS = (
    "seq",
    "at",
    "actor_name",
    "source",
    "action",
    "target",
    "reason",
    "before",
    "after",
    "verdict",
    "code",
    "request_id",
    "correlation_id",
    "touches",
    "prev_hash",
    "hash",
)
_EXACT = {name: name for name in ("action", "verdict", "source", "target", "code")} | {"actor": "actor_name"}
FILTERS = (*_EXACT, "q", "from", "to", "seq_from", "seq_to")


def search(asked: Mapping[str, str]) -> "QuerySet[AuditEntry]":
    """asked: any of FILTERS. q is looked for in target and reason; from and to are ISO times.

    Raises:
        Refusal: `filter.invalid`, naming what was found and what is accepted.
    """
    rows = AuditEntry.objects.filter(**{_EXACT[n]: text for n, text in asked.items() if n in _EXACT and text})
    if text := asked.get("q"):
        rows = rows.filter(Q(target__icontains=text) | Q(reason__icontains=text))
    for name, where in (("from", "at__gte"), ("to", "at__lt")):
        if text := asked.get(name):
            rows = rows.filter(**{where: _time(name, text)})
    for name, where in (("seq_from", "seq__gte"), ("seq_to", "seq__lte")):
        if text := asked.get(name):
            rows = rows.filter(**{where: _number(name, text)})
    return rows


def _time(name: str, text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise _invalid(name, text, "an ISO time, such as 2026-11-23T12:00:00Z") from None
    return found if found.tzinfo else timezone.make_aware(found)


def _number(name: str, text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise _invalid(name, text, "a whole number")
    return int(text)


def _invalid(name: str, text: str, accepted: str) -> Refusal:
    return Refusal("filter.invalid", f"{name} {text[:40]!r}; accepted: {accepted}", status=422)


def record(asked: Mapping[str, str], *, form: str, source: Source, actor: Actor) -> None:
    """Who takes the log out is in the log."""
    with audit.recorded():
        audit.append(
            action="audit.export",
            target="audit",
            verdict="executed",
            source=source.value,
            actor=actor.row,
            actor_name=actor.name,
            after={"format": form, **asked},
        )


def as_dict(row: AuditEntry) -> dict[str, Any]:
    return {name: getattr(row, name) for name in COLUMNS}


def lines(rows: "QuerySet[AuditEntry]", form: str) -> Iterator[str]:
    """Oldest first, then the trailer. form: one of FORMATS."""
    count, first, last = 0, None, None
    if form == "csv":
        yield _csv(COLUMNS)
    for row in _in_batches(rows):
        count, first, last = count + 1, first or row.seq, row
        yield _line(row, form)
    trailer = {
        "entries": count,
        "first_seq": first,
        "last_seq": last.seq if last else None,
        "last_hash": last.hash if last else None,
    }
    yield f"# {json.dumps(trailer)}\n" if form == "csv" else json.dumps({"trailer": trailer}) + "\n"


def _in_batches(rows: "QuerySet[AuditEntry]") -> Iterator[AuditEntry]:
    """Query by query: a stream may be read slowly, and must not hold a transaction meanwhile."""
    after = 0
    while batch := list(rows.filter(seq__gt=after).order_by("seq")[:BATCH]):
        yield from batch
        after = batch[-1].seq


def _line(row: AuditEntry, form: str) -> str:
    values = as_dict(row)
    if form == "jsonl":
        return json.dumps(values, default=plain, ensure_ascii=False) + "\n"
    texts = (json.dumps(v, ensure_ascii=False) if isinstance(v, dict | list) else v for v in values.values())
    return _csv([_tame(plain(text)) for text in texts])


def _tame(value: Any) -> Any:
    """A spreadsheet would run a text that begins like a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value


def _csv(values: Any) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(values)
    return out.getvalue()
