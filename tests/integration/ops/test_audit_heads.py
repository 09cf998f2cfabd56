"""What only a head written elsewhere can tell: a log that is whole in itself, and another one."""

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from ops import audit, audit_heads
from ops.chain_watch import ChainWatch
from ops.models import AuditEntry, AuditHead
from ops.status import Status
from tests.database import tamper

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def heads(transactional_db: None, settings: Any, tmp_path: Path) -> Path:
    settings.AUDIT_HEADS = tmp_path / "audit-heads.jsonl"
    tamper("DELETE FROM ops_auditentry")  # what migrating wrote, in a database just made
    tamper(f"UPDATE ops_audithead SET seq = 0, hash = '{audit.GENESIS}'")
    return tmp_path / "audit-heads.jsonl"


def append(count: int = 1) -> None:
    for number in range(count):
        with audit.recorded():
            audit.append_system(action="test.append", target="desk", verdict="executed", reason=f"{number}")


def cut_after(seq: int) -> None:
    """The tail and the head row with it: what is left is a shorter chain that holds."""
    tamper(f"DELETE FROM ops_auditentry WHERE seq > {seq}")
    digest = AuditEntry.objects.get(seq=seq).hash
    tamper(f"UPDATE ops_audithead SET seq = {seq}, hash = '{digest}'")


def test_each_entry_s_head_is_written_when_it_is_committed(heads: Path) -> None:
    append(3)
    lines = [json.loads(line) for line in heads.read_text().splitlines()]
    assert [(line["seq"], line["hash"]) for line in lines] == list(
        AuditEntry.objects.order_by("seq").values_list("seq", "hash")
    )
    with contextlib.suppress(RuntimeError), audit.recorded():
        audit.append_system(action="test.undone", target="desk", verdict="executed")
        raise RuntimeError
    assert len(heads.read_text().splitlines()) == 3
    found = audit.verify()
    assert (found.ok, found.entries, found.remark) == (True, 3, "")


def test_a_tail_cut_with_its_head_is_found() -> None:
    append(5)
    cut_after(3)
    found = audit.verify()
    assert (found.ok, found.bad_seq) == (False, 4)
    assert "truncated: entry 5 was written" in found.problem


def test_a_log_emptied_with_its_head_is_found() -> None:
    append(3)
    tamper("DELETE FROM ops_auditentry")
    tamper(f"UPDATE ops_audithead SET seq = 0, hash = '{audit.GENESIS}'")
    assert (audit.verify().ok, audit.verify().bad_seq) == (False, 1)


def test_a_copy_of_the_database_put_back_is_found_also_after_it_went_on() -> None:
    append(5)
    cut_after(3)
    append(2)  # 4 and 5 again, and others
    found = audit.verify()
    assert (found.ok, found.bad_seq) == (False, 4)
    assert "restored" in found.problem


def test_a_chain_made_anew_with_the_key_is_found() -> None:
    append(4)
    tamper("DELETE FROM ops_auditentry WHERE seq = 2")
    tamper("UPDATE ops_auditentry SET seq = seq - 1 WHERE seq > 2")
    previous = audit.GENESIS
    for entry in AuditEntry.objects.order_by("seq"):
        entry.prev_hash = previous
        previous = audit._hash(entry)
        tamper(
            f"UPDATE ops_auditentry SET prev_hash = '{entry.prev_hash}', hash = '{previous}'"
            f" WHERE seq = {entry.seq}"
        )
    tamper(f"UPDATE ops_audithead SET seq = 3, hash = '{previous}'")
    alone = audit.verify(heads=audit_heads.Heads())
    assert alone.ok, "in itself it is whole"
    assert (audit.verify().ok, audit.verify().bad_seq) == (False, 2)


def test_a_line_that_was_not_written_is_no_break(heads: Path) -> None:
    """A process that died between commit and line; and another host's entries."""
    append(4)
    lines = heads.read_text().splitlines(keepends=True)
    heads.write_text("".join(lines[:1] + lines[2:]))
    assert audit.verify().ok


def test_without_a_file_it_says_what_it_cannot_say(heads: Path) -> None:
    append(2)
    heads.unlink()
    found = audit.verify()
    assert found.ok
    assert "no heads file" in found.remark


def test_a_broken_line_is_said(heads: Path) -> None:
    append(1)
    with heads.open("a") as file:
        file.write('{"seq": 1\n[]\n')
    assert "2 lines of the heads file cannot be read" in audit.verify().remark
    with heads.open("a") as file:
        file.write('{"seq": 2, "ha')  # being written
    assert "2 lines" in audit.verify().remark


def test_a_head_that_cannot_be_written_undoes_nothing_and_is_loud(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_heads, "failures", 0)
    settings.AUDIT_HEADS = tmp_path / "nowhere" / "heads"
    append(1)
    assert AuditEntry.objects.count() == 1
    assert audit_heads.failures == 1
    assert ChainWatch().probe().status is Status.WARN


def test_the_watch_compares_new_heads_as_they_come() -> None:
    append(5)
    watch = ChainWatch()
    assert watch.probe().status is Status.OK
    append(1)
    assert watch.probe().status is Status.OK
    append(2)
    cut_after(7)
    reading = watch.probe()
    assert (reading.status, "truncated" in reading.summary) == (Status.ERROR, True)
    assert watch.probe().status is Status.ERROR  # it does not forget


def test_writers_side_by_side_leave_no_gap_and_every_head() -> None:
    def write(_: int) -> None:
        append(10)
        connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert list(AuditEntry.objects.order_by("seq").values_list("seq", flat=True)) == list(range(1, 81))
    read, _ = audit_heads.read()
    assert len(read.hashes) == 80
    assert audit.verify().ok
    assert AuditHead.objects.get().seq == 80


def test_the_file_is_private(heads: Path) -> None:
    append(1)
    assert heads.stat().st_mode & 0o777 == 0o600
    assert heads == settings.AUDIT_HEADS
