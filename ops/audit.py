"""The audit log: one append-only chain for people and for the machine's own control decisions (spec 3.7).

Each entry's hash is an HMAC over its canonical text and the hash before it, with a key that is not in the
database: whoever can write to the tables still cannot forge the chain.

Whoever writes a control row does so inside `recorded()` and says `touch(row)`: the next entry carries the
names of those rows, and at commit the database refuses a control row that no entry of its transaction names
(`migrations/0002_controls.py`).
"""

import hashlib
import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.utils import timezone

from ops import audit_heads, context
from ops.audit_heads import Heads
from ops.canonical import canonical_json
from ops.models import AuditEntry, AuditHead, User

GENESIS = "0" * 64
_HASHED = (
    "seq",
    "at",
    "actor_id",
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
)
#: Tables whose target is not named by the primary key (CONTROL_TABLES of the migration).
_NAMED_BY = {"ops_configversion": "version", "ops_secondfactor": "user_id", "ops_token": "token_key"}
_touched: ContextVar[list[str] | None] = ContextVar("touched", default=None)


@contextmanager
def recorded(*, durable: bool = True) -> Iterator[None]:
    """A transaction that changes control rows and ends with the entries that name them.

    durable: nobody else's transaction is around it; False for what the machine does inside one.
    """
    with transaction.atomic(durable=durable):
        token = _touched.set([])
        try:
            yield
        finally:
            _touched.reset(token)


@contextmanager
def attempt() -> Iterator[None]:
    """A savepoint inside `recorded`: when it fails, what was touched in it is forgotten with it."""
    noted = _noted()
    mark = len(noted)
    try:
        with transaction.atomic():
            yield
    except BaseException:
        del noted[mark:]
        raise


def touch(*rows: models.Model) -> None:
    """These control rows are written in this transaction. Beside every write of one."""
    for row in rows:
        table = row._meta.db_table
        touch_keys(table, getattr(row, _NAMED_BY.get(table, "pk")))


def touch_keys(table: str, *keys: object) -> None:
    """The same by name, for rows written in one statement and for tables without a model of ours."""
    _noted().extend(f"{table}:{key}" for key in keys)


def unnamed() -> bool:
    """Whether something was touched since the last entry."""
    return bool(_touched.get())


def _noted() -> list[str]:
    noted = _touched.get()
    if noted is None:
        raise RuntimeError("control rows are written inside audit.recorded()")
    return noted


def _named() -> list[str]:
    """What was touched since the last entry: each change is named once, by the entry that follows it."""
    noted = _touched.get() or []
    names = sorted(set(noted))
    noted.clear()
    return names


def append(
    *,
    action: str,
    verdict: str,
    source: str,
    actor: User | None = None,
    actor_name: str = "",
    target: str = "",
    reason: str = "",
    before: Any = None,
    after: Any = None,
    code: str = "",
    correlation_id: str = "",
) -> AuditEntry:
    """Add one entry. Must be the last statement of its transaction: the head's lock is the last of the order.

    actor_name: of somebody who is no row of ours (`os:<login>`).
    before, after: JSON-able (Decimal, datetime and UUID are written as text). Returns the entry with its seq.
    """
    head = AuditHead.objects.select_for_update().get(pk=1)
    entry = AuditEntry(
        seq=head.seq + 1,
        at=timezone.now(),
        actor=actor,
        actor_name=actor_name or (actor.get_username() if actor else "system"),
        source=source,
        action=action,
        target=target[:120],
        reason=reason,
        before=_plain(before),
        after=_plain(after),
        verdict=verdict,
        code=code,
        request_id=context.request_id(),
        correlation_id=correlation_id,
        touches=_named(),
        prev_hash=head.hash,
    )
    entry.hash = _hash(entry)
    entry.save(force_insert=True)
    head.seq, head.hash = entry.seq, entry.hash
    head.save(update_fields=["seq", "hash"])
    audit_heads.write_on_commit(entry)
    return entry


def upcoming_seq() -> int:
    """The number of the entry that this transaction appends next. Takes the head's lock, the last of the
    order: only `append` may follow."""
    return AuditHead.objects.select_for_update().get(pk=1).seq + 1


def append_system(**fields: Any) -> AuditEntry:
    """A decision of the machine itself."""
    return append(source="system", **fields)


def _plain(value: Any) -> Any:
    """As the database will give it back, so that verifying hashes the same text."""
    return None if value is None else json.loads(canonical_json(value))


def _hash(entry: AuditEntry) -> str:
    text = canonical_json({name: getattr(entry, name) for name in _HASHED})
    return hmac.new(settings.AUDIT_HMAC_KEY.encode(), text.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Verification:
    """bad_seq: the first entry that does not fit, None when the chain holds from first to head.

    remark: what could not be judged, such as a cut end without a heads file.
    """

    ok: bool
    entries: int
    head: int
    bad_seq: int | None
    problem: str
    checked_at: datetime
    remark: str = ""


def verify(*, after: int = 0, limit: int | None = None, heads: Heads | None = None) -> Verification:
    """Walk the chain. after: last sequence that is already known to hold; limit: at most so many
    entries, and a walk that ends by it says nothing of the end.

    Finds a changed, removed or inserted entry by its hash or a gap, a truncated end by the head, and a log
    that is whole in itself but not the one that was written (cut with its head, restored, made anew) by the
    heads file.

    heads: what to compare with; None: the file, or for a part of the chain nothing.
    """
    if heads is None:  # read before the database: every head in it is of an entry that is committed
        heads = audit_heads.read()[0] if limit is None and not after else Heads()
    return replace(_walk(after, limit, heads), remark=heads.remark)


def _walk(after: int, limit: int | None, heads: Heads) -> Verification:
    head = AuditHead.objects.get(pk=1)
    last = AuditEntry.objects.filter(seq=after).values_list("hash", flat=True).first()
    if after and last is None:
        return _report(head, 0, after, "the entry to start from is missing")
    previous, expected, count = last or GENESIS, after + 1, 0
    for entry in _entries(after, limit):
        if entry.seq != expected:
            return _report(head, count, expected, f"entry {expected} is missing: it was removed")
        if problem := _fault(entry, previous, head, heads):
            return _report(head, count, entry.seq, problem)
        previous, expected, count = entry.hash, expected + 1, count + 1
    cut = "" if count == limit else _cut(expected - 1, head, heads)
    return _report(head, count, expected if cut else None, cut)


def _fault(entry: AuditEntry, previous: str, head: AuditHead, heads: Heads) -> str:
    if entry.prev_hash != previous or not hmac.compare_digest(entry.hash, _hash(entry)):
        return f"entry {entry.seq} was changed"
    if heads.disagree(entry.seq, entry.hash):
        return f"entry {entry.seq} is not the one that was written: inserted, or restored from a copy"
    if entry.seq == head.seq and entry.hash != head.hash:
        return f"entry {entry.seq} is not the one that the head names"
    return ""


def _cut(end: int, head: AuditHead, heads: Heads) -> str:
    """The head was read first: more entries than it names were appended meanwhile, fewer were removed."""
    if end < head.seq:
        return f"truncated: the head says {head.seq}, the log ends at {end}"
    if end < heads.last:
        return f"truncated: entry {heads.last} was written, the log ends at {end}"
    return ""


def _entries(after: int, limit: int | None) -> Iterator[AuditEntry]:
    return AuditEntry.objects.filter(seq__gt=after).order_by("seq")[:limit].iterator(chunk_size=2000)


def _report(head: AuditHead, count: int, bad: int | None, problem: str) -> Verification:
    return Verification(bad is None, count, head.seq, bad, problem, timezone.now())


def last_seq() -> int:
    return AuditEntry.objects.aggregate(m=models.Max("seq"))["m"] or 0
