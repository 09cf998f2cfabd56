"""The heads of the audit chain, where the database's owner cannot reach: `DATA_DIR/audit-heads.jsonl`.

Each entry's sequence number and hash go there when its transaction has committed; outside paper to the log
as well, which is the host's journal. A chain that was cut, replaced by an older copy of the database, or made
anew by somebody who has its key is whole in itself: only what was written down elsewhere tells.

A file holds what the processes of one DATA_DIR wrote, so gaps in it mean nothing; a line that disagrees does.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from django.conf import settings
from django.db import transaction

from ops.models import AuditEntry

log = structlog.get_logger()
#: Heads this process could not write: the journal has them as errors.
failures = 0


def write_on_commit(entry: AuditEntry) -> None:
    """A line that cannot be written undoes nothing, and is loud."""
    line = {"seq": entry.seq, "hash": entry.hash, "at": entry.at.isoformat()}
    transaction.on_commit(lambda: _write(line), robust=True)


def _write(line: dict[str, object]) -> None:
    """One write of one short line at the end: several processes do not cut each other's."""
    global failures
    if settings.ENV.exchange_profile != "paper":
        log.info("audit.head", **line)
    try:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        handle = os.open(settings.AUDIT_HEADS, flags, 0o600)
        try:
            os.write(handle, json.dumps(line).encode() + b"\n")
        finally:
            os.close(handle)
    except OSError:
        failures += 1
        log.exception("audit.head_not_written", **line)


@dataclass(slots=True)
class Heads:
    """What a file says. broken: lines that are none of ours. there: False when there is no file."""

    there: bool = True
    hashes: dict[int, set[str]] = field(default_factory=dict)
    broken: int = 0

    @property
    def last(self) -> int:
        return max(self.hashes, default=0)

    def disagree(self, seq: int, digest: str) -> bool:
        """One number with two hashes is what a database restored from a copy leaves behind."""
        return bool(self.hashes.get(seq, set()) - {digest})

    @property
    def remark(self) -> str:
        """What cannot be said for want of the file."""
        if not self.there:
            return "no heads file: a cut or replaced log cannot be told from a short one"
        return f"{self.broken} lines of the heads file cannot be read" if self.broken else ""


def read(offset: int = 0, most: int = -1) -> tuple[Heads, int]:
    """The file from `offset` on, `most` bytes of it, and where the reading ended: a watcher reads only what
    is new."""
    heads, path = Heads(), Path(settings.AUDIT_HEADS)
    try:
        with path.open("rb") as file:
            file.seek(offset)
            for line in _whole_lines(file.read(most)):
                offset += len(line)
                _take(heads, line)
    except FileNotFoundError:
        heads.there = False
    return heads, offset


def _whole_lines(raw: bytes) -> Iterator[bytes]:
    """Without a last line that is being written."""
    return (line for line in raw.splitlines(keepends=True) if line.endswith(b"\n"))


def _take(heads: Heads, line: bytes) -> None:
    try:
        said = json.loads(line)
        heads.hashes.setdefault(int(said["seq"]), set()).add(str(said["hash"]))
    except (ValueError, KeyError, TypeError):
        heads.broken += 1
