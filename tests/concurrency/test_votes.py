"""Simultaneous people: 50 rounds of each race, 0 missed, 0 doubled, nobody waits in a circle.

Every round is two real connections that start together. What must come out is asked of the rows, not of the
threads.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from ops import audit, checklist, desk
from ops.actions import approvals
from ops.actions.base import Outcome, Refusal, Source, Status
from ops.config import versions
from ops.models import ApprovalRequest, AuditEntry, Mode
from tests import factories
from tests.factories import actor, ask, submit, vote

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 50
Call = Callable[[], Outcome | ApprovalRequest]


@pytest.fixture(autouse=True)
def house(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    own = {"hold_causes", "audit_chain"}
    # The chain is verified once at the end of each test instead of in each of its resumes.
    monkeypatch.setattr(checklist, "_items", {n: i for n, i in checklist._items.items() if n in own})
    factories.make_desk()
    yield
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


def race(pool: ThreadPoolExecutor, *calls: Call) -> list[str]:
    """What each got: its status or the code of its refusal. Anything else (a deadlock!) is raised."""
    together = threading.Barrier(len(calls))

    def run(call: Call) -> str:
        together.wait()
        try:
            result = call()
        except Refusal as refusal:
            return refusal.code
        return result.status.value if isinstance(result, Outcome) else result.state

    return [done.result() for done in [pool.submit(run, call) for call in calls]]


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
        got = race(pool, approve("bob", request), reject("carol", request))
        assert sorted(got) == ["approval.closed", "executed"]
        request.refresh_from_db()
        done = request.execution_state == "executed"
        assert done == (got[0] == "executed") == (not desk.get_state().safe_mode)
        assert request.state == ("approved" if done else "rejected")


def test_approve_against_cancel(pool: ThreadPoolExecutor) -> None:
    for _ in range(ROUNDS):
        request = safe_mode_request()

        def cancel(of: ApprovalRequest = request) -> ApprovalRequest:
            return approvals.cancel(of.pk, actor=actor("alice"), source=Source.REST)

        got = race(pool, approve("bob", request), cancel)
        request.refresh_from_db()
        if got[0] == "executed":
            assert got[1] == "approval.closed"
            assert not desk.get_state().safe_mode
        else:
            assert got == ["approval.closed", "cancelled"]
            assert desk.get_state().safe_mode


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
        got = race(pool, approve("bob", request), lambda: submit("carol", "ops.hold", reason="now"))
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
        got = race(pool, approve("bob", request), lambda: submit("carol", "ops.hold"))
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
