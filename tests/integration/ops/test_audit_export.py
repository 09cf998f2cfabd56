"""The log for somebody else's eyes, and the journals that one verification covers."""

import csv
import json
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError
from django.db import connection, transaction
from django.test import Client

from ops import audit, audit_export, digests
from ops.actions.base import Refusal
from ops.incidents.service import raise_incident
from ops.models import AuditEntry, IncidentEvent
from tests import factories
from tests.database import tamper
from tests.factories import person, submit
from tests.integration.ops.test_commands import run


@pytest.fixture
def audrey(house: None) -> Client:
    client = Client()
    client.force_login(person("audrey"), backend="django.contrib.auth.backends.ModelBackend")
    return client


def text_of(answer: Any) -> str:
    with warnings.catch_warnings(action="ignore"):  # here a synchronous server reads what is made for ASGI
        return b"".join(answer).decode()


def test_an_export_is_whole_and_says_so(audrey: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_export, "BATCH", 3)
    for reason in ("one", "=2+2", "три"):
        submit("alice", "ops.hold", reason=reason)
    before = audit.last_seq()
    lines = [json.loads(line) for line in text_of(audrey.post("/api/ui/audit/export")).splitlines()]
    *entries, last = lines
    assert [entry["seq"] for entry in entries] == list(range(1, before + 2))  # its own entry is in it
    assert entries[-1]["action"] == "audit.export"
    assert last["trailer"] == {
        "entries": before + 1,
        "first_seq": 1,
        "last_seq": before + 1,
        "last_hash": AuditEntry.objects.get(seq=before + 1).hash,
    }
    assert {"touches", "prev_hash", "hash"} <= set(entries[0])


def test_csv_opens_in_a_spreadsheet_and_runs_nothing_there(audrey: Client) -> None:
    submit("alice", "ops.hold", reason="=cmd()")
    body = text_of(audrey.post("/api/ui/audit/export?format=csv&action=ops.hold"))
    header, row, trailer = body.splitlines()
    assert next(csv.reader([row]))[header.split(",").index("reason")] == "'=cmd()"
    assert json.loads(trailer.removeprefix("# "))["entries"] == 1


@pytest.mark.parametrize(
    ("query", "reasons"),
    [
        ("actor=alice&action=ops.hold", ["one", "two"]),
        ("q=TWO", ["two"]),
        ("verdict=refused&code=permission.denied", ["no"]),
        ("source=admin", []),
        ("from=2001-01-01&action=ops.hold&verdict=executed", ["one", "two"]),
        ("to=2001-01-01", []),
    ],
)
def test_the_log_is_searched(audrey: Client, query: str, reasons: list[str]) -> None:
    for reason in ("one", "two"):
        submit("alice", "ops.hold", reason=reason)
    with pytest.raises(Refusal):
        submit("victor", "ops.hold", reason="no")
    found = audrey.get(f"/api/ui/audit?{query}").json()["results"]
    assert sorted(entry["reason"] for entry in found) == sorted(reasons)


@pytest.mark.parametrize("query", ["from=yesterday", "seq_from=x", "seq_to=-1", "format=pdf", "q=%00"])
def test_a_search_that_cannot_be_is_named(audrey: Client, query: str) -> None:
    answer = audrey.post(f"/api/ui/audit/export?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "filter.invalid")
    assert not AuditEntry.objects.filter(action="audit.export").exists()


def test_the_command_exports_to_a_file(house: None, tmp_path: Path) -> None:
    submit("alice", "ops.hold", reason="one")
    out = tmp_path / "audit.jsonl"
    assert run("audit", "export", "--out", str(out), "--action", "ops.hold")[0] == 0
    entry, trailer = (json.loads(line) for line in out.read_text().splitlines())
    assert (entry["reason"], trailer["trailer"]["entries"]) == ("one", 1)
    assert AuditEntry.objects.latest("seq").actor_name.startswith("os:")
    with pytest.raises(CommandError, match="accepted: a whole number"):
        run("audit", "export", "--seq-from", "x")


# --- digests ---------------------------------------------------------------------


def test_every_append_only_table_is_a_journal() -> None:
    sql = (settings.BASE_DIR / "deploy" / "grants.sql").read_text()
    (named,) = re.findall(r"append_only text\[\] := ARRAY\[(.*?)\]", sql, re.DOTALL)
    assert set(re.findall(r"'(\w+)'", named)) == digests.journals() | {"ops_auditentry"}


FROM = "FROM ops_incidentevent"


def events(count: int) -> None:
    for number in range(count):
        raise_incident("hold.raised", f"test.{number}.{IncidentEvent.objects.count()}", "a drill")


@pytest.fixture
def journal(transactional_db: None) -> None:
    factories.make_desk()
    events(3)
    assert digests.run() is not None


@pytest.mark.usefixtures("journal")
@pytest.mark.parametrize(
    ("change", "what"),
    [
        (f"UPDATE ops_incidentevent SET text = 'x' WHERE id = (SELECT min(id) {FROM})", "changed"),
        (f"DELETE {FROM} WHERE id = (SELECT max(id) {FROM})", "removed"),
    ],
)
def test_a_journal_changed_behind_everybody_s_back_is_named(change: str, what: str) -> None:
    entry = AuditEntry.objects.get(action=digests.ACTION)
    assert digests.verify_everything().ok
    tamper(change)
    found = digests.verify_everything()
    assert (found.ok, found.bad_seq) == (False, entry.seq)
    assert "ops_incidentevent rows 1 to" in found.problem.replace(f"rows {_first()} to", "rows 1 to")
    assert f"a row was {what}" in found.problem
    assert audit.verify().ok, "the chain itself holds"


def _first() -> int:
    said = AuditEntry.objects.get(action=digests.ACTION).after
    assert isinstance(said, dict)
    return int(said["ops_incidentevent"]["first"]) + 1


@pytest.mark.usefixtures("journal")
def test_each_digest_begins_where_the_last_one_ended() -> None:
    assert digests.run() is None  # nothing new
    events(2)
    entry = digests.run()
    assert entry is not None
    entries = AuditEntry.objects.filter(action=digests.ACTION).order_by("seq")
    first, second = ((each.after or {})["ops_incidentevent"] for each in entries)
    assert second["first"] == first["last"]
    assert second["count"] == 2
    assert digests.verify_everything().ok


@pytest.mark.usefixtures("journal")
def test_a_row_that_is_still_being_written_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another transaction holds a lower id than what is committed: not digested past it."""
    monkeypatch.setattr(digests, "PATIENCE_SEC", 0.3)
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT pg_current_xact_id()")
            events(1)
            assert digests.run() is None
            cursor.execute("COMMIT")
        assert digests.run() is not None
    finally:
        other.close()


@pytest.mark.usefixtures("journal")
def test_of_several_beats_one_digests() -> None:
    events(1)
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [digests.LOCK])
            assert digests.run() is None
            cursor.execute("SELECT pg_advisory_unlock(%s)", [digests.LOCK])
        assert digests.run() is not None
    finally:
        other.close()
    assert transaction.get_autocommit()
