"""Journals beside the audit log, proven by it (spec 3.7).

Hourly, one audit entry holds a digest of the rows that each journal has won since the last one; whoever
verifies the chain verifies them with it. Apps register their journals; `deploy/grants.sql` names the same
tables.

A row of a transaction that is still running may have a lower id than one that is committed: digesting up to
the highest id seen would leave it out for ever. So a run looks at the highest ids, then waits until every
transaction that was running then has ended, and only then digests up to there.
"""

import hashlib
import time
from dataclasses import dataclass, replace
from typing import Any

import structlog
from django.db import connection, models

from ops import audit
from ops.canonical import canonical_json
from ops.models import AuditEntry

log = structlog.get_logger()
ACTION = "audit.digest"
PAUSE_SEC = 0.1
PATIENCE_SEC = 30
LOCK = 7_310_001  # of several beats one digests
_journals: dict[str, type[models.Model]] = {}


@dataclass(frozen=True, slots=True)
class Range:
    """Rows first < id <= last of one table."""

    first: int
    last: int
    count: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Broken:
    table: str
    seq: int
    problem: str


def register(model: type[models.Model]) -> None:
    """A journal: append-only, with a growing id."""
    _journals[model._meta.db_table] = model


def journals() -> set[str]:
    return set(_journals)


def run() -> AuditEntry | None:
    """Digest what is new. None: nothing was, another process is at it, or a transaction runs on and on."""
    until = _settled_ends()
    with audit.recorded():
        if not _alone():
            return None
        since = _ends()
        found = {table: _digest(table, since.get(table, 0), last) for table, last in until.items()}
        new = {table: rows for table, rows in found.items() if rows.count}
        if not new:
            return None
        return audit.append_system(action=ACTION, target="journals", verdict="executed", after=new)


def verify() -> Broken | None:
    """Every digest on record against the rows as they are; the first that does not fit."""
    for entry in AuditEntry.objects.filter(action=ACTION).order_by("seq").iterator():
        for table, said in dict(entry.after or {}).items():
            if table not in _journals:
                return Broken(table, entry.seq, f"{table} is no journal of this build")
            now = _digest(table, int(said["first"]), int(said["last"]))
            if (now.count, now.sha256) != (said["count"], said["sha256"]):
                rows = f"{table} rows {said['first'] + 1} to {said['last']}"
                what = _what(now.count - said["count"])
                return Broken(table, entry.seq, f"{rows}: a row was {what} after entry {entry.seq}")
    return None


def _what(more: int) -> str:
    return "removed" if more < 0 else "added" if more else "changed"


def verify_everything() -> audit.Verification:
    """The chain, and with it every journal that it holds a digest of."""
    found = audit.verify()
    broken = verify() if found.ok else None
    return replace(found, ok=False, bad_seq=broken.seq, problem=broken.problem) if broken else found


def _alone() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
        return bool(cursor.fetchone()[0])


def _ends() -> dict[str, int]:
    """Where each journal's last digest ended."""
    ends: dict[str, int] = {}
    for after in AuditEntry.objects.filter(action=ACTION).order_by("seq").values_list("after", flat=True):
        ends.update({table: int(said["last"]) for table, said in (after or {}).items()})
    return ends


def _settled_ends() -> dict[str, int]:
    """Each journal's highest id, once no row below it can still appear. Empty when that takes too long."""
    ends = {
        table: int(model._base_manager.aggregate(last=models.Max("pk"))["last"] or 0)
        for table, model in sorted(_journals.items())
    }
    time.sleep(PAUSE_SEC)  # an id is taken a moment before its transaction has a number
    newest = _snapshot("pg_snapshot_xmax")
    deadline = time.monotonic() + PATIENCE_SEC
    while _snapshot("pg_snapshot_xmin") < newest:
        if time.monotonic() > deadline:
            log.warning("digests.unsettled", waited_sec=PATIENCE_SEC)
            return {}
        time.sleep(PAUSE_SEC)
    return ends


def _snapshot(function: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(pg_current_snapshot())::text::bigint")
        return int(cursor.fetchone()[0])


def _digest(table: str, first: int, last: int) -> Range:
    sha, count = hashlib.sha256(), 0
    rows = _journals[table]._base_manager.filter(pk__gt=first, pk__lte=last).order_by("pk").values()
    for row in rows.iterator(chunk_size=2000):
        sha.update(canonical_json(_text(row)).encode() + b"\n")
        count += 1
    return Range(first, last, count, sha.hexdigest())


def _text(row: dict[str, Any]) -> dict[str, Any]:
    """As the audit chain writes values; what a JSON column holds may be a fraction."""
    return {n: repr(value) if isinstance(value, float | dict | list) else value for n, value in row.items()}
