"""What raises an incident by itself, in the frame: one line of the catalogue each. Trading's own: see
tests/integration/trading/execution/test_incidents.py."""

import pytest
from django.db import IntegrityError, connection

from ops import audit, desk
from ops.actions import runner
from ops.actions.base import Refusal
from ops.actions.desk_mode import Hold
from ops.chain_watch import ChainWatch
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
    desk.raise_hold(source="execution.quarantined:7", reason="no way out")
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
