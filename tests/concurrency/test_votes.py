"""Simultaneous people: ROUNDS of each race (300 by hand), 0 missed, 0 doubled, nobody waits in a circle.

Every round is two real connections that start together. What must come out is asked of the rows, not of the
threads; how often each side won is printed (`-rP`), so that a race that never happens can be seen.
"""

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import IntegrityError, connection

from ops import audit, checklist, desk
from ops.actions import approvals, runner
from ops.actions.base import Outcome, Refusal, Source, Status
from ops.config import versions
from ops.models import ApprovalRequest, AuditEntry, Envelope, HoldCause, IdempotencyKey, Mode, User
from tests import factories
from tests.database import as_superuser
from tests.factories import actor, ask, submit, vote
from tests.integration.ops.test_approvals import let_time_pass
from tests.integration.ops.test_database_controls import execution
from trading.models import Execution

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = int(os.environ.get("ROUNDS", "12"))
Call = Callable[[], Outcome]


@pytest.fixture(autouse=True)
def house(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    own = {"hold_causes", "audit_chain"}
    # The chain is verified once at the end of each test instead of in each of its resumes.
    monkeypatch.setattr(checklist, "_items", {n: i for n, i in checklist._items.items() if n in own})
    factories.make_desk()
    won.clear()
    yield
    print(f"{sum(won.values())} rounds: {dict(won)}")
    assert sum(won.values()) == ROUNDS
    assert audit.verify().ok, audit.verify()
    versions.forget()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    def leave() -> None:
        together.wait()
        connection.close()

    with ThreadPoolExecutor(2) as threads:
        yield threads
        together = threading.Barrier(2)
        for gone in [threads.submit(leave) for _ in range(2)]:
            gone.result()


won: Counter[tuple[str, ...]] = Counter()  # who got what, how often, in this test


def race(pool: ThreadPoolExecutor, *calls: Call, handicap: bool = False) -> list[str]:
    """What each got: its status or the code of its refusal. Anything else (a deadlock!) is raised.

    handicap: the last call is the quicker one: it starts 0 to 35 ms later, another time each round, so that
    each side wins some.
    """
    together = threading.Barrier(len(calls))
    late = sum(won.values()) * 5 % 40 / 1000 if handicap else 0

    def run(number: int, call: Call) -> str:
        together.wait()
        try:
            if number and late:
                connection.cursor().execute("SELECT pg_sleep(%s)", [late])
            return call().status.value
        except Refusal as refusal:
            return refusal.code

    got = [done.result() for done in [pool.submit(run, *numbered) for numbered in enumerate(calls)]]
    won[tuple(got)] += 1
    return got


def executed(action: str) -> int:
    return AuditEntry.objects.filter(action=action, verdict="executed").count()


def safe_mode_on() -> None:
    if not desk.get_state().safe_mode:
        submit("carol", "ops.safe_mode", enabled=True)


def safe_mode_request() -> ApprovalRequest:
    safe_mode_on()
    return ask("alice", "ops.safe_mode", enabled=False)


def approve(name: str, request: ApprovalRequest) -> Call:
    return lambda: vote(name, request)


def reject(name: str, request: ApprovalRequest) -> Call:
    return lambda: vote(name, request, "reject", comment="no")


def test_two_approvals_where_one_is_needed(pool: ThreadPoolExecutor) -> None:
    for number in range(1, ROUNDS + 1):
        request = safe_mode_request()
        got = race(pool, approve("bob", request), approve("carol", request))
        assert sorted(got) == ["approval.closed", "executed"]
        assert not desk.get_state().safe_mode
        assert request.votes.count() == 1
        assert offs() == number


def offs() -> int:
    """How many times SAFE_MODE was switched off."""
    return AuditEntry.objects.filter(
        action="ops.safe_mode", verdict="executed", after__safe_mode=False
    ).count()


def test_two_approvals_where_both_are_needed(pool: ThreadPoolExecutor) -> None:
    factories.make_desk(quorum=2)
    for number in range(1, ROUNDS + 1):
        request = safe_mode_request()
        got = race(pool, approve("bob", request), approve("carol", request))
        assert sorted(got) == ["executed", "pending_approval"]
        assert not desk.get_state().safe_mode
        assert request.votes.count() == 2
        assert offs() == number


def test_the_last_vote_runs_prepared_also_when_it_did_not_know_that_it_is_the_last(
    pool: ThreadPoolExecutor,
) -> None:
    """Resume looks at the world before the lock; of two racing votes each thinks it is the first."""
    factories.make_desk(quorum=2)
    for number in range(1, ROUNDS + 1):
        submit("carol", "ops.hold")
        request = ask("alice", "ops.resume")
        got = race(pool, approve("bob", request), approve("rita", request))
        assert sorted(got) == ["executed", "pending_approval"]
        assert desk.get_state().mode == Mode.RUN
        assert executed("ops.resume") == number


def test_one_person_voting_twice_at_once(pool: ThreadPoolExecutor) -> None:
    factories.make_desk(quorum=2)
    for _ in range(ROUNDS):
        request = safe_mode_request()
        got = race(pool, approve("bob", request), approve("bob", request))
        assert sorted(got) == ["pending_approval", "vote.twice"]
        assert desk.get_state().safe_mode
        approvals.cancel(request.pk, actor=actor("alice"), source=Source.REST)


def test_approve_against_reject(pool: ThreadPoolExecutor) -> None:
    for _ in range(ROUNDS):
        request = safe_mode_request()
        got = race(pool, approve("bob", request), reject("carol", request), handicap=True)
        assert sorted(got) == ["approval.closed", "executed"]
        request.refresh_from_db()
        done = request.execution_state == "executed"
        assert done == (got[0] == "executed") == (not desk.get_state().safe_mode)
        assert request.state == ("approved" if done else "rejected")


def test_approve_against_cancel(pool: ThreadPoolExecutor) -> None:
    for _ in range(ROUNDS):
        request = safe_mode_request()

        def cancel(of: ApprovalRequest = request) -> Outcome:
            return approvals.cancel(of.pk, actor=actor("alice"), source=Source.REST)

        got = race(pool, approve("bob", request), cancel, handicap=True)
        request.refresh_from_db()
        assert sorted(got) == ["approval.closed", "executed"]
        done = got[0] == "executed"
        assert (request.state, request.execution_state, desk.get_state().safe_mode) == (
            ("approved", "executed", False) if done else ("cancelled", "not_run", True)
        )


def test_the_last_approval_against_the_first_taken_back(pool: ThreadPoolExecutor) -> None:
    """Of two that are needed one is withdrawn while the other comes: run with both, or wait with one."""
    factories.make_desk(quorum=2)
    for _ in range(ROUNDS):
        request = safe_mode_request()
        vote("bob", request)

        def withdraw(of: ApprovalRequest = request) -> Outcome:
            return approvals.withdraw(of.pk, actor=actor("bob"), source=Source.REST)

        got = race(pool, approve("carol", request), withdraw, handicap=True)
        request.refresh_from_db()
        standing = request.votes.filter(withdrawn_at=None).count()
        assert (tuple(got), request.execution_state, standing, desk.get_state().safe_mode) in {
            (("executed", "approval.closed"), "executed", 2, False),
            (("pending_approval", "executed"), "not_run", 1, True),
        }
        if request.open:
            approvals.cancel(request.pk, actor=actor("alice"), source=Source.REST)


def ends_in(request: ApprovalRequest, ms: int) -> None:
    """The request's time is over in so many ms, by the database's clock."""
    with as_superuser(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "UPDATE ops_approvalrequest SET expires_at = clock_timestamp() + %s * interval '1 ms'"
            " WHERE id = %s",
            [ms, request.pk],
        )
        cursor.execute("SET LOCAL session_replication_role = origin")


def test_approve_against_expiry(pool: ThreadPoolExecutor) -> None:
    """Its time ends a few ms after both start: before the vote, in the middle of it, or after it."""

    def expire() -> Outcome:
        return Outcome(Status.EXECUTED if approvals.expire() else Status.SKIPPED)

    for number in range(ROUNDS):
        request = safe_mode_request()
        ends_in(request, number * 7 % 30)
        got = race(pool, approve("bob", request), expire)
        if got[0] != "executed":
            # `vote.refused`: it ended between our look and the database's own, at the insert
            assert got[0] in {"approval.expired", "approval.closed", "vote.refused"}
            let_time_pass(request)
            approvals.expire()  # what the periodic task finds the next time
        request.refresh_from_db()
        assert (
            request.state,
            request.execution_state,
            request.votes.count(),
            desk.get_state().safe_mode,
        ) == (("approved", "executed", 1, False) if got[0] == "executed" else ("expired", "not_run", 0, True))
        if got[0] == "executed":
            assert got[1] == "skipped"


def test_time_that_ends_while_a_vote_waits_for_the_desk(pool: ThreadPoolExecutor) -> None:
    """The vote looked when there was time left and is held at the desk's row; it looks again there."""
    for _ in range(ROUNDS):
        request = safe_mode_request()
        waits = threading.Event()

        def let_it_end(of: ApprovalRequest = request, then: threading.Event = waits) -> Outcome:
            with audit.recorded():
                desk.lock()
                then.set()
                until_somebody_waits()
                let_time_pass(of)
            return Outcome(Status.EXECUTED)

        def vote_late(of: ApprovalRequest = request, after: threading.Event = waits) -> Outcome:
            after.wait()
            return vote("bob", of)

        assert race(pool, vote_late, let_it_end) == ["approval.expired", "executed"]
        assert desk.get_state().safe_mode
        assert not request.votes.exists()
        approvals.expire()


def until_somebody_waits() -> None:
    """For a lock that this very transaction holds."""
    waiting = (
        "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
        " AND transactionid = pg_current_xact_id()::xid)"
    )
    for _ in range(100_000):
        with connection.cursor() as cursor:
            cursor.execute(waiting)
            if cursor.fetchone()[0]:
                return
    raise AssertionError("nobody came to wait")


def test_vote_against_the_deactivation_of_the_voter(pool: ThreadPoolExecutor) -> None:
    """A vote counts when it was cast by somebody who was still in; afterwards nobody votes in that name."""
    for number in range(ROUNDS):
        request = safe_mode_request()
        leaver = factories.actor("bob").user

        def leave() -> Outcome:
            with audit.recorded():
                User.objects.filter(username="bob").update(is_active=False)
                audit.touch(leaver)  # noqa: B023
                audit.append_system(action="test.deactivate", target="user:bob", verdict="executed")
            return Outcome(Status.EXECUTED)

        got = race(pool, approve("bob", request), leave, handicap=True)
        request.refresh_from_db()
        done = got[0] == "executed"
        assert got[1] == "executed"
        assert done or got[0] in {"permission.denied", "vote.refused", "pending_approval"}, got
        assert (request.execution_state == "executed") == done == (not desk.get_state().safe_mode)
        with pytest.raises(Refusal, match="does not hold"):
            vote("bob", request)
        if request.open:
            approvals.cancel(request.pk, actor=actor("alice"), source=Source.REST)
        bring_back("bob")
        assert offs() <= number + 1


def bring_back(name: str) -> None:
    """Past the gate of coming in, which is not what this races."""
    with as_superuser(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE ops_user SET is_active = true WHERE username = %s", [name])
        cursor.execute("SET LOCAL session_replication_role = origin")


def test_two_applies(pool: ThreadPoolExecutor) -> None:
    for number in range(1, ROUNDS + 1):
        submit("carol", "ops.hold")
        request = ask("alice", "ops.resume")
        checklist.register(checklist.Item("switch", "Switch", lambda _: (False, "red")))
        vote("bob", request)
        checklist.register(checklist.Item("switch", "Switch", lambda _: (True, "green")))

        def apply(name: str, of: ApprovalRequest = request) -> Call:
            return lambda: approvals.apply(of.pk, actor=actor(name), source=Source.REST)

        got = race(pool, apply("alice"), apply("bob"))
        assert sorted(got) == ["approval.not_applicable", "executed"]
        assert executed("ops.resume") == number


def test_approve_against_hold(pool: ThreadPoolExecutor) -> None:
    """Whichever comes first, it ends in HOLD: an approval given before it cannot undo it."""
    for _ in range(ROUNDS):
        submit("carol", "ops.hold", reason="before")
        request = ask("alice", "ops.resume")

        def hold() -> Outcome:
            return submit("carol", "ops.hold", reason="now")

        got = race(pool, approve("bob", request), hold, handicap=True)
        assert got[1] == Status.EXECUTED
        assert desk.get_state().mode == Mode.HOLD
        request.refresh_from_db()
        assert (got[0], request.state, request.execution_state) in {
            ("executed", "approved", "executed"),
            ("approval.closed", "voided", "not_run"),
        }


def test_safe_mode_off_against_hold(pool: ThreadPoolExecutor) -> None:
    """The other order of the same two rows: HOLD voids what a vote is about to use."""
    for _ in range(ROUNDS):
        request = safe_mode_request()

        def hold() -> Outcome:
            return submit("carol", "ops.hold")

        got = race(pool, approve("bob", request), hold, handicap=True)
        assert got[1] == Status.EXECUTED
        request.refresh_from_db()
        assert (request.execution_state == "executed") == (not desk.get_state().safe_mode)
        assert request.state == ("approved" if got[0] == "executed" else "voided")


def test_two_people_asking_for_the_same(pool: ThreadPoolExecutor) -> None:
    for _ in range(ROUNDS):
        got = race(
            pool,
            lambda: submit("alice", "ops.safe_mode", enabled=False),
            lambda: submit("bob", "ops.safe_mode", enabled=False),
        )
        assert sorted(got) == ["approval.open_exists", "pending_approval"]
        (request,) = ApprovalRequest.objects.filter(state="pending")
        approvals.cancel(request.pk, actor=actor(request.requested_by.username), source=Source.REST)


def test_two_holds_are_two_causes(pool: ThreadPoolExecutor) -> None:
    for number in range(1, ROUNDS + 1):
        got = race(pool, lambda: submit("alice", "ops.hold"), lambda: submit("bob", "ops.hold"))
        assert got == ["executed", "executed"]
        assert len(list(desk.causes())) == 2 * number


def test_the_machine_raises_a_cause_once(pool: ThreadPoolExecutor) -> None:
    def trip(source: str) -> Call:
        def raise_it() -> Outcome:
            return Outcome(Status.EXECUTED if desk.raise_hold(source=source, reason="x") else Status.SKIPPED)

        return raise_it

    for number in range(ROUNDS):
        assert sorted(race(pool, trip(f"guard.{number}"), trip(f"guard.{number}"))) == ["executed", "skipped"]


# --- Idempotency-Key: two connections send the same command ------------------------


def keyed(name: str, sent: str, action: str, **data: object) -> Call:
    return lambda: runner.submit(
        action, actor=actor(name), data=data, reason="x", source=Source.REST, idempotency_key=sent
    )


def test_one_command_sent_twice_at_once(pool: ThreadPoolExecutor) -> None:
    """One effect. The other hears the first answer, or that the first still runs, and then hears it."""
    for number in range(1, ROUNDS + 1):
        key = f"once-{number}"
        got = race(pool, *[keyed("alice", key, "ops.hold")] * 2, handicap=True)
        assert "executed" in got
        assert set(got) <= {"executed", "idempotency.running"}
        assert HoldCause.objects.count() == number
        assert IdempotencyKey.objects.count() == number
        again = keyed("alice", key, "ops.hold")()
        assert again.repeated
        assert HoldCause.objects.count() == number


def test_two_commands_under_one_key(pool: ThreadPoolExecutor) -> None:
    for number in range(1, ROUNDS + 1):
        key = f"two-{number}"
        venue = {"scope": "venue", "key": "okx"}
        one, two = keyed("alice", key, "ops.hold"), keyed("alice", key, "ops.hold", **venue)
        got = sorted(race(pool, one, two, handicap=True))
        assert got[0] == "executed"
        assert got[1] in {"idempotency.mismatch", "idempotency.running"}
        assert HoldCause.objects.count() == number


def test_one_request_asked_twice_under_one_key(pool: ThreadPoolExecutor) -> None:
    for number in range(1, ROUNDS + 1):
        call = keyed("alice", f"ask-{number}", "ops.safe_mode", enabled=False)
        got = race(pool, call, call, handicap=True)
        assert "pending_approval" in got
        assert set(got) <= {"pending_approval", "idempotency.running"}
        (request,) = ApprovalRequest.objects.filter(state="pending")
        approvals.cancel(request.pk, actor=actor("alice"), source=Source.REST)


# --- an envelope's last run ---------------------------------------------------------


def test_two_executions_on_the_last_run_of_an_envelope(pool: ThreadPoolExecutor) -> None:
    """Rows as the action writes them, without its lock on the desk: the database alone counts to one."""
    bounds = {"pair": "BTCUSDT", "max_notional": "2000", "min_edge_bps": "1", "max_slippage_bps": "1"}
    for _ in range(ROUNDS):
        vote("bob", ask("alice", "trading.grant_envelope", count=1, minutes=5, **bounds))
        envelope = Envelope.objects.latest("created_at")

        def run(of: Envelope = envelope) -> Outcome:
            with audit.recorded():
                try:
                    execution(dry_run=False, envelope=of)
                except IntegrityError as refused:
                    raise runner.as_refusal(refused) from refused
                audit.touch(of)
                audit.append_system(action="test.execute", target=str(of.pk), verdict="executed")
            return Outcome(Status.EXECUTED)

        got = race(pool, run, run)
        assert sorted(got) == ["envelope.used_up", "executed"]
        assert Execution.objects.filter(envelope=envelope).count() == 1
        envelope.refresh_from_db()
        assert envelope.used == 1
