"""What the database refuses by itself, to the application's own role: code may be wrong."""

import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, ProgrammingError, connection, transaction
from django.utils import timezone

from ops import audit, desk
from ops.models import ApprovalRequest, AuditEntry, DeskState
from tests import factories
from tests.database import as_owner
from tests.factories import ask, person, resume, safe_mode_off, vote
from tests.integration.ops.test_approvals import let_time_pass
from trading.models import Execution, Leg, OrderIntent

pytestmark = pytest.mark.usefixtures("house", "own_checklist")


def run(sql: str, *values: Any) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, values)
        return int(cursor.rowcount)


def refuse(says: str, sql: str, *values: Any) -> None:
    with pytest.raises(IntegrityError, match=says):
        run(sql, *values)


@pytest.fixture
def request_() -> Iterator[ApprovalRequest]:
    """Pending, by alice, needing two."""
    factories.make_desk(quorum=2)
    yield ask("alice", "ops.safe_mode", enabled=False)
    assert desk.get_state().safe_mode


def insert_vote(
    request: ApprovalRequest, name: str, *, requester: str = "alice", digest: str = ""
) -> tuple[str, list[Any]]:
    sql = (
        "INSERT INTO ops_vote (request_id, requested_by_id, digest, approver_id, verdict, comment, at)"
        " VALUES (%s, %s, %s, %s, 'approve', '', now())"
    )
    return sql, [request.pk, person(requester).pk, digest or request.digest, person(name).pk]


# --- votes -----------------------------------------------------------------------


def test_an_honest_vote_is_accepted(request_: ApprovalRequest) -> None:
    """So that the refusals below are not of the statement's shape."""
    sql, values = insert_vote(request_, "bob")
    with factories.arranged():
        assert run(sql, *values) == 1
        audit.touch(request_.votes.get())


def test_a_vote_on_one_s_own_request(request_: ApprovalRequest) -> None:
    sql, values = insert_vote(request_, "alice")
    refuse("vote_not_by_requester", sql, *values)


def test_a_vote_on_one_s_own_request_in_another_s_name(request_: ApprovalRequest) -> None:
    sql, values = insert_vote(request_, "alice", requester="carol")
    with pytest.raises(IntegrityError, match="vote_on_the_frozen_request"):
        run(sql, *values)


def test_a_second_vote(request_: ApprovalRequest) -> None:
    vote("bob", request_)
    sql, values = insert_vote(request_, "bob")
    refuse("vote_once_per_person", sql, *values)


def test_a_vote_on_another_payload(request_: ApprovalRequest) -> None:
    sql, values = insert_vote(request_, "bob", digest="0" * 64)
    refuse("vote_on_the_frozen_request", sql, *values)


def test_a_vote_on_a_closed_request(request_: ApprovalRequest) -> None:
    vote("bob", request_, "reject", comment="no")
    sql, values = insert_vote(request_, "carol")
    refuse("not open for votes", sql, *values)


def test_a_vote_on_an_expired_request(request_: ApprovalRequest) -> None:
    let_time_pass(request_)
    sql, values = insert_vote(request_, "bob")
    refuse("not open for votes", sql, *values)


@pytest.mark.parametrize("sql", ["UPDATE ops_vote SET verdict = 'reject'", "DELETE FROM ops_vote"])
def test_a_vote_is_history(request_: ApprovalRequest, sql: str) -> None:
    vote("bob", request_)
    refuse("a vote is history", sql)


# --- requests ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        "requested_by_id = (SELECT id FROM ops_user WHERE username = 'bob')",
        "payload = '{\"enabled\": true}'",
        "before = '{}'",
        "diff = '[]'",
        "reason = 'another'",
        "digest = repeat('0', 64)",
        "quorum = 1",
        "policy = '{}'",
        "action = 'ops.resume'",
        "target = 'elsewhere'",
        "config_version = 99",
        "fence = 99",
        "source = 'cli'",
        "created_at = now()",
        "id = gen_random_uuid()",
    ],
)
def test_what_was_asked_is_frozen(request_: ApprovalRequest, change: str) -> None:
    refuse("frozen", f"UPDATE ops_approvalrequest SET {change}")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("state = 'approved'", "lacks votes"),
        ("expires_at = expires_at + interval '1 hour'", "only approval changes"),
        ("execution_state = 'executed'", "only an approved, unexpired request"),
        ("state = 'nonsense'", "does not go from"),
    ],
)
def test_nobody_moves_a_request_past_its_votes(request_: ApprovalRequest, change: str, says: str) -> None:
    vote("bob", request_)  # one of two
    refuse(says, f"UPDATE ops_approvalrequest SET {change}")


@pytest.mark.parametrize("state", ["pending", "approved"])
def test_what_was_answered_stays_answered(request_: ApprovalRequest, state: str) -> None:
    vote("bob", request_, "reject", comment="no")
    refuse("does not go from rejected", "UPDATE ops_approvalrequest SET state = %s", state)


def test_a_request_is_never_removed(request_: ApprovalRequest) -> None:
    refuse("never removed", "DELETE FROM ops_approvalrequest")


@pytest.mark.parametrize(("column", "value"), [("state", "approved"), ("execution_state", "executed")])
def test_a_request_is_born_pending(request_: ApprovalRequest, column: str, value: str) -> None:
    names = [str(f.column) for f in ApprovalRequest._meta.concrete_fields]
    values = {"id": "gen_random_uuid()", "target": "'another'", column: f"'{value}'"}
    chosen = ", ".join(values.get(name, name) for name in names)
    sql = f"INSERT INTO ops_approvalrequest ({', '.join(names)}) SELECT {chosen} FROM ops_approvalrequest"
    refuse("born pending", sql)


def test_a_used_approval_stays_used() -> None:
    safe_mode_off()
    for change in ("execution_state = 'not_run'", "execution_state = 'refused'"):
        refuse("is executed, and once", f"UPDATE ops_approvalrequest SET {change}")
    refuse("does not go from", "UPDATE ops_approvalrequest SET state = 'cancelled'")


# --- desk --------------------------------------------------------------------------


def approved(action: str) -> ApprovalRequest:
    """Approved, not run: the quorum is there, the action refused."""
    data = {"enabled": False} if action == "ops.safe_mode" else {}
    request = ask("alice", action, **data)
    person("alice").groups.clear()
    vote("bob", request)
    request.refresh_from_db()
    assert (request.state, request.execution_state) == ("approved", "not_run")
    return request


LEAVE_HOLD = "UPDATE ops_deskstate SET mode = 'RUN', fence = 1, approval_id = %s"
SAFE_MODE_OFF = "UPDATE ops_deskstate SET safe_mode = false, approval_id = %s"


@pytest.mark.parametrize("sql", [LEAVE_HOLD, SAFE_MODE_OFF])
def test_no_approval_no_risk(sql: str) -> None:
    refuse("needs an approved", sql, None)


@pytest.mark.parametrize("sql", [LEAVE_HOLD, SAFE_MODE_OFF])
def test_a_pending_request_is_no_approval(sql: str) -> None:
    for action, data in (("ops.resume", {}), ("ops.safe_mode", {"enabled": False})):
        refuse("needs an approved", sql, ask("alice", action, **data).pk)


def test_an_approval_of_something_else_is_none() -> None:
    refuse("ops.resume of desk needs", LEAVE_HOLD, approved("ops.safe_mode").pk)


def test_an_approval_is_used_once_and_in_time() -> None:
    request = approved("ops.resume")
    with factories.arranged():
        assert run(LEAVE_HOLD, request.pk) == 1
        run("UPDATE ops_deskstate SET mode = 'HOLD'")
        audit.touch(desk.get_state(), request)
    refuse("needs an approved", LEAVE_HOLD, request.pk)


def test_an_expired_approval_is_none() -> None:
    request = approved("ops.resume")
    let_time_pass(request)
    refuse("needs an approved", LEAVE_HOLD, request.pk)


def test_a_rejected_request_is_none() -> None:
    request = ask("alice", "ops.resume")
    vote("bob", request, "reject", comment="no")
    refuse("needs an approved", LEAVE_HOLD, request.pk)


def test_the_approval_of_the_last_resume_does_not_serve_the_next() -> None:
    request = resume()
    factories.submit("bob", "ops.hold")
    refuse("needs an approved", LEAVE_HOLD, request.pk)
    refuse("needs an approved", "UPDATE ops_deskstate SET mode = 'RUN', fence = 1")


def test_stopping_needs_nothing() -> None:
    resume()
    safe_mode_off()
    assert run("UPDATE ops_deskstate SET mode = 'HOLD', safe_mode = true") == 1


def test_there_is_one_desk_and_it_stays() -> None:
    refuse("refused", "DELETE FROM ops_deskstate")
    refuse("desk_state_one_row", "UPDATE ops_deskstate SET id = 2")
    with pytest.raises(IntegrityError, match="born in HOLD"), transaction.atomic():
        DeskState.objects.create(pk=2, mode="RUN")
    with pytest.raises(IntegrityError, match="desk_state_one_row"), transaction.atomic():
        DeskState.objects.create(pk=2)


def test_a_cause_is_kept_and_goes_one_way() -> None:
    desk.raise_hold(source="guard.x", reason="tripped")
    refuse("append-only", "DELETE FROM ops_holdcause")
    refuse("frozen", "UPDATE ops_holdcause SET reason = 'nothing'")
    desk.resolve_cause("guard.x", why="gone")
    resume()
    refuse("does not go from closed", "UPDATE ops_holdcause SET state = 'open'")


# --- history -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE ops_auditentry SET reason = ''",
        "DELETE FROM ops_auditentry",
        "TRUNCATE ops_auditentry CASCADE",
    ],
)
def test_audit_is_append_only(sql: str) -> None:
    factories.submit("alice", "ops.hold")
    count = AuditEntry.objects.count()
    with pytest.raises(ProgrammingError, match="permission denied"):  # the application: by grants
        run(sql)
    run("SET CONSTRAINTS ALL IMMEDIATE")  # TRUNCATE does not run with checks outstanding
    with pytest.raises(DatabaseError, match="append-only"), as_owner():  # the owner: by trigger
        run(sql)
    assert AuditEntry.objects.count() == count


@pytest.mark.parametrize(
    "sql", ["UPDATE ops_audithead SET seq = seq - 1", "UPDATE ops_audithead SET seq = 99"]
)
def test_the_audit_head_only_goes_on(sql: str) -> None:
    refuse("audit head goes from", sql)
    refuse("append-only", "DELETE FROM ops_audithead")


def test_a_configuration_is_kept_word_for_word() -> None:
    refuse("word for word", "UPDATE ops_configversion SET yaml = yaml || ' '")
    refuse("append-only", "DELETE FROM ops_configversion")


# --- orders and executions -----------------------------------------------------------


def execution(**values: Any) -> Execution:
    defaults = {
        "plan_id": uuid.uuid4(),
        "state": "ARMED",
        "symbol": "BTC/USDT:USDT",
        "policy": "simultaneous",
        "dry_run": True,
        "plan": {},
        "plan_digest": "",
        "config_version": 1,
        "fence": 1,
    }
    return Execution.objects.create(**defaults | values)


def order(of: Execution, **values: Any) -> OrderIntent:
    one = Decimal(1)
    leg = Leg.objects.create(
        execution=of,
        index=0,
        venue="okx",
        symbol=of.symbol,
        side="buy",
        target=one,
        lot=one,
        min_qty=one,
        tick=one,
        plan_price=one,
    )
    defaults = {
        "leg": leg,
        "attempt": 0,
        "purpose": "open",
        "client_order_id": uuid.uuid4().hex,
        "venue": "okx",
        "symbol": of.symbol,
        "side": "buy",
        "qty": 2,
        "price": 1,
        "time_in_force": "IOC",
        "fence": 1,
        "config_version": 1,
        "written_at": timezone.now(),
    }
    return OrderIntent.objects.create(**defaults | values)


def test_a_real_execution_needs_an_approval() -> None:
    with pytest.raises(IntegrityError, match="needs an approved"), transaction.atomic():
        execution(dry_run=False)
    of_resume = approved("ops.resume")
    with pytest.raises(IntegrityError, match=r"trading\.execute needs"), transaction.atomic():
        execution(dry_run=False, approval=of_resume)
    assert not Execution.objects.exists()
    execution()  # a dry run needs none


def test_a_dry_run_does_not_become_real() -> None:
    execution()
    refuse("frozen", "UPDATE trading_execution SET dry_run = false")


def test_an_execution_makes_legal_moves_only_and_stays() -> None:
    row = execution()
    refuse("from ARMED to BALANCED", "UPDATE trading_execution SET state = 'BALANCED'")
    Execution.objects.filter(pk=row.pk).update(state="WORKING")
    refuse("append-only", "DELETE FROM trading_execution")


def test_an_order_makes_legal_moves_only_is_sent_once_and_stays() -> None:
    row = order(execution())
    refuse(
        "from INTENT_WRITTEN to FILLED", "UPDATE trading_orderintent SET state = 'FILLED', sent_at = now()"
    )
    refuse("order_sent_at_before_network", "UPDATE trading_orderintent SET state = 'SENDING'")
    run("UPDATE trading_orderintent SET state = 'SENDING', sent_at = now()")
    refuse("sent once", "UPDATE trading_orderintent SET sent_at = now() + interval '1 s'")
    for change in ("qty = 3", "price = 2", "side = 'sell'", "venue = 'bybit'", "client_order_id = 'x'"):
        refuse("frozen", f"UPDATE trading_orderintent SET {change}")
    run("UPDATE trading_orderintent SET state = 'UNKNOWN'")
    refuse("from UNKNOWN to SENDING", "UPDATE trading_orderintent SET state = 'SENDING'")
    refuse("append-only", "DELETE FROM trading_orderintent")
    assert row.pk
