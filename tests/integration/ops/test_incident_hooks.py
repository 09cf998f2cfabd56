"""What raises an incident by itself, in the frame: one line of the catalogue each. Trading's own: see
tests/integration/trading/execution/test_incidents.py."""

import pytest
from django.db import DatabaseError, IntegrityError, connection

from ops import audit, desk
from ops.actions import approvals, runner
from ops.actions.base import Outcome, Refusal, Source, Status
from ops.actions.desk_mode import Hold
from ops.chain_watch import ChainWatch
from ops.incidents import service as incidents
from ops.models import AuditEntry, Incident
from tests import factories
from tests.database import as_superuser
from tests.factories import submit

pytestmark = pytest.mark.usefixtures("house", "own_checklist")


def only() -> Incident:
    return Incident.objects.get()


def test_a_cause_of_the_machine() -> None:
    desk.raise_hold(source="guard.x", reason="tripped")
    desk.raise_hold(source="guard.x", reason="tripped")
    assert (only().code, only().source, only().summary, only().occurrences) == (
        "hold.raised",
        "guard.x",
        "tripped",
        1,
    )
    desk.resolve_cause("guard.x", why="it sleeps")
    desk.raise_hold(source="guard.x", reason="again")
    assert only().occurrences == 2
    desk.raise_hold(source="guard.x", reason="tripped", scope=("venue", "okx"))
    assert set(Incident.objects.values_list("source", flat=True)) == {"guard.x", "guard.x@venue:okx"}


def test_a_quarantine_is_a_p0_of_its_own() -> None:
    desk.raise_hold(source="execution.quarantined:7", reason="no way out", alarm="execution.quarantined")
    assert (only().code, only().severity) == ("execution.quarantined", "P0")


def test_what_is_no_alarm() -> None:
    submit("alice", "ops.hold")
    desk.desk_started()
    desk.raise_hold(source="maintenance", reason="planned", scope=("venue", "okx"), resolved=True)
    assert not Incident.objects.exists()


def test_a_broken_chain_is_told_once() -> None:
    watch = ChainWatch()
    assert watch.probe().status.value == "OK"
    with as_superuser(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE ops_auditentry SET reason = 'never said' WHERE seq = 1")
        cursor.execute("SET LOCAL session_replication_role = origin")
    for _ in range(3):
        assert watch.probe().status.value == "ERROR"
    assert (only().code, only().severity, only().occurrences) == ("audit.broken", "P0", 1)
    assert "entry 1 was changed" in only().summary


def test_what_the_database_refuses_is_in_the_transaction_of_the_refusal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An action that would leave HOLD without asking anybody."""

    def leave(self: Hold, ctx: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE ops_deskstate SET safe_mode = false, version = version + 1")

    monkeypatch.setattr(Hold, "execute", leave)
    for times in (1, 2):
        with pytest.raises(Refusal) as caught:
            submit("alice", "ops.hold")
        assert caught.value.code == "approval.missing"
        assert (only().code, only().source, only().occurrences) == (
            "tamper.refused",
            "tamper.refused:ops.hold:alice",
            times,
        )
    raised, refused = AuditEntry.objects.order_by("-seq")[:2][::-1]
    assert (raised.action, refused.verdict) == ("ops.raise_incident", "refused")
    assert raised.txid == refused.txid
    assert audit.verify().ok


def test_a_digest_that_is_not_the_request_s() -> None:
    request = factories.ask("alice", "ops.safe_mode", enabled=False)
    with pytest.raises(Refusal):
        factories.vote("bob", request, digest="0" * 64)
    assert not Incident.objects.exists()  # a slip of somebody's hand at a terminal; refused and audited


def test_a_request_that_was_changed_after_the_votes() -> None:
    """By the owner of the database, past its triggers, between the last vote and the run."""
    submit("alice", "ops.hold")
    request = factories.ask("alice", "ops.safe_mode", enabled=False)
    with as_superuser(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE ops_approvalrequest SET reason = 'another'")
        cursor.execute("SET LOCAL session_replication_role = origin")
    factories.vote("bob", request)
    request.refresh_from_db()
    assert (request.refusal or {})["code"] == "approval.tampered"
    assert only().source == "tamper.refused:ops.safe_mode:alice"
    with pytest.raises(Refusal):
        approvals.apply(request.pk, actor=factories.actor("bob"), source=Source.REST)
    assert (only().occurrences, only().events.count()) == (2, 1)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE ops_approvalrequest SET reason = 'another'",
        "DELETE FROM ops_holdcause",
        "UPDATE ops_auditentry SET reason = 'never said'",
        "UPDATE ops_incident SET severity = 'P2'",
        "UPDATE ops_deskstate SET post_only = true",  # and no entry names it
    ],
)
def test_code_that_reaches_round_a_control(sql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    factories.ask("alice", "ops.safe_mode", enabled=False)
    with factories.arranged():
        desk.raise_hold(source="guard.x", reason="tripped", scope=("venue", "okx"), resolved=True)
    row = incidents.raise_incident("order.unknown", "order.unknown:1", "x")

    def reach(self: Hold, ctx: object) -> Outcome:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # the test's own transaction never commits
        return Outcome(Status.EXECUTED)

    monkeypatch.setattr(Hold, "execute", reach)
    with pytest.raises(DatabaseError):
        submit("alice", "ops.hold")
    raised = Incident.objects.exclude(pk=row.pk).get()
    assert (raised.code, raised.source) == ("tamper.refused", "tamper.refused:ops.hold:alice")
    assert audit.verify().ok


def test_an_honest_refusal_is_no_alarm() -> None:
    with pytest.raises(Refusal):
        submit("victor", "ops.hold")
    factories.ask("alice", "ops.safe_mode", enabled=False)
    with pytest.raises(Refusal):
        submit("bob", "ops.safe_mode", enabled=False)
    assert not Incident.objects.exists()


def test_a_constraint_that_nobody_knows_stays_a_bug() -> None:
    with pytest.raises(IntegrityError):
        runner.as_refusal(IntegrityError("something else"))
