"""The chain: every yes and every no is in it, and whatever is done to it afterwards is found."""

from typing import Any

import pytest

from ops import audit, desk
from ops.actions.base import Refusal, Source
from ops.models import AuditEntry
from tests.database import tamper
from tests.factories import ask, submit, vote

pytestmark = pytest.mark.usefixtures("house", "own_checklist")


COLUMNS = (
    "at, actor_id, actor_name, source, action, target, reason, before, after, verdict, code, request_id,"
    " correlation_id, touches"
)


def last(**of: Any) -> AuditEntry:
    return AuditEntry.objects.filter(**of).latest("seq")


def test_a_yes_says_who_what_why_and_what_changed() -> None:
    outcome = submit("alice", "ops.hold", reason="lunch", source=Source.ADMIN)
    entry = last()
    assert outcome.audit_seq == entry.seq
    assert (entry.actor_name, entry.source, entry.action, entry.target) == (
        "alice",
        "admin",
        "ops.hold",
        "desk",
    )
    assert (entry.verdict, entry.code, entry.reason) == ("executed", "", "lunch")
    assert entry.before == {"input": {"scope": "desk", "key": ""}, "values": {"mode": "HOLD"}}
    assert entry.after == {"mode": "HOLD", "version": desk.get_state().version}


@pytest.mark.parametrize("source", [Source.REST, Source.ADMIN, Source.CLI])
def test_a_no_says_its_code_and_face(source: Source) -> None:
    with pytest.raises(Refusal):
        submit("victor", "ops.hold", reason="let me", source=source)
    entry = last()
    assert (entry.actor_name, entry.verdict, entry.code) == ("victor", "refused", "permission.denied")
    assert (entry.source, entry.reason) == (source.value, "let me")


def test_an_approval_is_two_entries_that_name_the_request() -> None:
    request = ask("alice", "ops.safe_mode", enabled=False)
    assert last().verdict == "pending_approval"
    assert last().after == {"approval": str(request.pk), "digest": request.digest}
    vote("bob", request)
    approved, executed = AuditEntry.objects.filter(correlation_id=str(request.pk)).order_by("seq")
    assert (approved.action, approved.actor_name, approved.verdict) == ("approval.approve", "bob", "executed")
    assert approved.after == {"state": "approved", "digest": request.digest}
    assert (executed.action, executed.actor_name, executed.verdict) == ("ops.safe_mode", "alice", "executed")
    assert executed.before == {"input": {"enabled": False}, "values": {"safe_mode": True}}
    assert executed.after == {"safe_mode": False, "version": desk.get_state().version}


@pytest.mark.parametrize(
    ("action", "data", "reason"),
    [
        ("ops.hold", {"note": "\x00"}, ""),
        ("ops.hold", {"\ud800": "half"}, ""),
        ("ops.hold", {"n": 10**5000}, ""),
        ("ops.hold", {"f": 0.1, "deep": {"a": [1.5]}}, ""),
        ("ops.hold", {}, "\x00"),
        ("ops.hold", {}, "\udfff"),
        ("ops.hold", {}, "x" * 100_000),
        ("ops.\x00", {}, ""),
        ("a" * 1000, {}, ""),
        ("ops.hold", "no object", ""),
    ],
)
def test_no_input_can_break_its_own_audit_entry(action: str, data: Any, reason: str) -> None:
    from ops.actions import runner
    from tests.factories import actor

    with pytest.raises(Refusal):
        runner.submit(action, actor=actor("alice"), data=data, reason=reason, source=Source.REST)
    assert last().verdict == "refused"
    assert audit.verify().ok


# --- tampering -------------------------------------------------------------------


#: The configuration, the people, and five holds.
LAST = 14


@pytest.fixture
def history(house: None) -> None:
    for n in range(5):
        submit("alice", "ops.hold", reason=f"entry {n}")
    found = audit.verify()
    assert (found.ok, found.entries, found.head) == (True, LAST, LAST)


@pytest.mark.parametrize(
    "column", ["actor_name", "source", "action", "target", "reason", "verdict", "code", "request_id", "hash"]
)
@pytest.mark.usefixtures("history")
def test_a_changed_column_is_found(column: str) -> None:
    tamper(f"UPDATE ops_auditentry SET {column} = 'x' WHERE seq = 3")
    found = audit.verify()
    assert (found.ok, found.bad_seq) == (False, 3)


@pytest.mark.parametrize(
    ("change", "bad_seq", "problem"),
    [
        ("UPDATE ops_auditentry SET at = at + interval '1 second' WHERE seq = 4", 4, "changed"),
        ("""UPDATE ops_auditentry SET after = '{"mode": "RUN"}' WHERE seq = 2""", 2, "changed"),
        (f"UPDATE ops_auditentry SET actor_id = NULL WHERE seq = {LAST}", LAST, "changed"),
        ("DELETE FROM ops_auditentry WHERE seq = 1", 1, "missing"),
        ("DELETE FROM ops_auditentry WHERE seq = 3", 3, "missing"),
        ("DELETE FROM ops_auditentry WHERE seq >= 5", 5, "ends at 4"),
        ("DELETE FROM ops_auditentry", 1, "ends at 0"),
        ("TRUNCATE ops_auditentry", 1, "ends at 0"),
        ("UPDATE ops_audithead SET hash = repeat('0', 64)", LAST, "head"),
        ("UPDATE ops_audithead SET seq = 20", LAST + 1, f"ends at {LAST}"),
        (
            f"INSERT INTO ops_auditentry (seq, {COLUMNS}, prev_hash, hash)"
            f" SELECT {LAST + 1}, {COLUMNS}, hash, repeat('a', 64) FROM ops_auditentry WHERE seq = {LAST}",
            LAST + 1,
            "changed",
        ),
    ],
)
@pytest.mark.usefixtures("history")
def test_what_an_owner_of_the_database_does_is_found(change: str, bad_seq: int, problem: str) -> None:
    tamper(change)
    found = audit.verify()
    assert (found.ok, found.bad_seq) == (False, bad_seq), found
    assert problem in found.problem


@pytest.mark.usefixtures("history")
def test_an_entry_inserted_with_all_later_ones_moved_up_is_found() -> None:
    tamper("UPDATE ops_auditentry SET seq = seq + 100 WHERE seq >= 4")
    tamper("UPDATE ops_auditentry SET seq = seq - 99 WHERE seq > 100")
    tamper(
        f"INSERT INTO ops_auditentry (seq, {COLUMNS}, prev_hash, hash)"
        f" SELECT 4, {COLUMNS}, prev_hash, hash FROM ops_auditentry WHERE seq = 3"
    )
    assert (audit.verify().ok, audit.verify().bad_seq) == (False, 4)


@pytest.mark.usefixtures("history")
def test_verifying_from_a_known_entry_walks_the_rest() -> None:
    assert audit.verify(after=3).entries == LAST - 3
    tamper("UPDATE ops_auditentry SET reason = 'x' WHERE seq = 2")
    assert audit.verify(after=3).ok  # what was known to hold is not looked at again
    tamper("UPDATE ops_auditentry SET reason = 'x' WHERE seq = 5")
    assert audit.verify(after=3).bad_seq == 5
    tamper("DELETE FROM ops_auditentry WHERE seq = 3")
    assert audit.verify(after=3).bad_seq == 3
