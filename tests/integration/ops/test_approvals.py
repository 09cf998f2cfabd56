"""The two-man rule, from asking to execution, and everything that may come between."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.db import connection

from leadership.models import Lease
from ops import checklist, desk
from ops.actions import approvals
from ops.actions.base import Credential, Outcome, Refusal, Source, Status
from ops.models import ApprovalRequest, AuditEntry, ConfigVersion, Mode, User, Vote
from tests import factories
from tests.database import as_superuser, tamper
from tests.factories import actor, ask, person, submit, vote

pytestmark = pytest.mark.usefixtures("house", "own_checklist")
State = ApprovalRequest.State


def refused(code: str, call: Callable[[], object]) -> Refusal:
    """The call is refused with `code`, and the refusal is in the audit log."""
    before = AuditEntry.objects.filter(verdict="refused").count()
    with pytest.raises(Refusal) as caught:
        call()
    assert caught.value.code == code, caught.value.detail
    assert AuditEntry.objects.filter(verdict="refused").count() > before
    assert AuditEntry.objects.filter(verdict="refused").latest("seq").code == code
    return caught.value


def apply(name: str, request: ApprovalRequest) -> Outcome:
    return approvals.apply(request.pk, actor=actor(name), source=Source.REST)


def cancel(name: str, request: ApprovalRequest) -> Outcome:
    return approvals.cancel(request.pk, actor=actor(name), source=Source.REST)


def safe_mode_request(name: str = "alice") -> ApprovalRequest:
    return ask(name, "ops.safe_mode", enabled=False)


def let_time_pass(request: ApprovalRequest) -> None:
    """Its time is over, by the database's clock. Nobody but a superuser can do this."""
    with as_superuser(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "UPDATE ops_approvalrequest SET expires_at = now() - interval '1 second' WHERE id = %s",
            [request.pk],
        )
        cursor.execute("SET LOCAL session_replication_role = origin")


def approved_but_refused() -> ApprovalRequest:
    """A resume whose completing vote found the checklist red."""
    request = ask("alice", "ops.resume")
    checklist.register(checklist.Item("switch", "Switch", lambda _: (False, "red")))
    vote("bob", request)
    request.refresh_from_db()
    return request


def turn_green() -> None:
    checklist.register(checklist.Item("switch", "Switch", lambda _: (True, "green")))


# --- asking ----------------------------------------------------------------------


def test_a_request_freezes_what_is_asked() -> None:
    request = safe_mode_request()
    assert (request.state, request.execution_state) == ("pending", "not_run")
    assert request.requested_by.username == "alice"
    assert request.payload == {"enabled": False}
    assert request.before == {"safe_mode": True}
    assert request.diff == [{"field": "SAFE_MODE", "before": True, "after": False}]
    assert (request.quorum, request.config_version, request.fence) == (1, 1, 1)
    assert request.policy == {
        "danger": "increases",
        "approve_permission": "ops.approve_safe_mode",
        "vote_from": "",
        "survives_start": False,
    }
    assert request.expires_at - request.created_at == timedelta(minutes=15)
    assert len(request.digest) == 64


def test_the_digest_covers_who_why_what_and_under_which_values() -> None:
    first = safe_mode_request()
    cancel("alice", first)
    again = safe_mode_request()
    assert again.digest == first.digest
    cancel("alice", again)
    other_reason = ask("alice", "ops.safe_mode", enabled=False, reason="another reason")
    cancel("alice", other_reason)
    other_person = safe_mode_request("bob")
    cancel("bob", other_person)
    Lease.objects.update(fence=2)
    other_fence = safe_mode_request()
    digests = {first.digest, other_reason.digest, other_person.digest, other_fence.digest}
    assert len(digests) == 4


def test_one_open_request_per_action_and_target() -> None:
    safe_mode_request()
    refused("approval.open_exists", lambda: safe_mode_request("bob"))
    assert ApprovalRequest.objects.count() == 1
    ask("bob", "ops.resume")  # another action


def test_a_request_whose_time_is_over_makes_room_for_a_new_one() -> None:
    old = safe_mode_request()
    let_time_pass(old)
    new = safe_mode_request("bob")
    old.refresh_from_db()
    assert (old.state, new.state) == ("expired", "pending")
    assert AuditEntry.objects.filter(action="approval.expire", target=str(old.pk)).exists()


# --- voting ----------------------------------------------------------------------


def test_the_completing_vote_runs_the_action_in_the_requester_s_name() -> None:
    request = safe_mode_request()
    outcome = vote("bob", request)
    assert outcome.status is Status.EXECUTED
    assert outcome.body["result"]["safe_mode"] is False
    assert outcome.body["approval"]["execution"]["state"] == "executed"
    assert outcome.body["approval"]["votes"][0]["by"] == "bob"
    request.refresh_from_db()
    assert (request.state, request.execution_state) == ("approved", "executed")
    assert request.result == {"result": {"safe_mode": False, "version": desk.get_state().version}}
    assert request.expires_at > request.created_at


def test_below_the_quorum_nothing_runs_yet() -> None:
    factories.make_desk(quorum=2)
    request = safe_mode_request()
    assert request.quorum == 2
    first = vote("bob", request)
    assert first.status is Status.PENDING
    assert first.http_status == 202
    assert desk.get_state().safe_mode
    assert vote("carol", request).status is Status.EXECUTED
    assert not desk.get_state().safe_mode


def test_the_quorum_is_that_of_the_time_of_asking() -> None:
    factories.make_desk(quorum=2)
    request = safe_mode_request()
    ConfigVersion.objects.filter(version=2).update(active=False)
    ConfigVersion.objects.filter(version=1).update(active=True)
    assert vote("bob", request).status is Status.PENDING  # the running config would now ask for one
    assert desk.get_state().safe_mode


@pytest.mark.parametrize("verdict", ["approve", "reject"])
def test_nobody_votes_on_their_own_request(verdict: str) -> None:
    request = safe_mode_request()
    refused("vote.self", lambda: vote("alice", request, verdict, comment="mine"))
    assert not Vote.objects.exists()


def test_nobody_votes_twice() -> None:
    factories.make_desk(quorum=2)
    request = safe_mode_request()
    vote("bob", request)
    refused("vote.twice", lambda: vote("bob", request))
    refused("vote.twice", lambda: vote("bob", request, "reject", comment="changed my mind"))
    assert Vote.objects.count() == 1
    assert desk.get_state().safe_mode


def test_a_token_does_not_vote() -> None:
    request = safe_mode_request()
    refused("vote.token", lambda: vote("bob", request, credential=Credential.TOKEN))
    assert not Vote.objects.exists()


@pytest.mark.parametrize("shown", ["", "0" * 64, "not a digest", "\x00"])
def test_a_vote_is_for_the_digest_that_was_shown(shown: str) -> None:
    request = safe_mode_request()
    refused("vote.digest", lambda: vote("bob", request, digest=shown))
    assert not Vote.objects.exists()


@pytest.mark.parametrize("comment", ["", "   "])
def test_a_rejection_needs_a_comment_and_ends_it(comment: str) -> None:
    request = safe_mode_request()
    refused("vote.comment_required", lambda: vote("bob", request, "reject", comment=comment))
    outcome = vote("bob", request, "reject", comment="not today")
    assert outcome.status is Status.EXECUTED
    request.refresh_from_db()
    assert request.state == State.REJECTED
    assert request.votes.get().comment == "not today"
    refused("approval.closed", lambda: vote("carol", request))
    assert desk.get_state().safe_mode
    safe_mode_request("bob")


@pytest.mark.parametrize("comment", ["\x00", "x" * 5000, "\ud800"])
def test_a_comment_is_text(comment: str) -> None:
    request = safe_mode_request()
    refused("comment.invalid", lambda: vote("bob", request, comment=comment))


def test_a_verdict_is_one_of_two() -> None:
    request = safe_mode_request()
    refused("vote.verdict", lambda: vote("bob", request, "maybe"))


def test_an_unknown_request_is_said_to_be_unknown() -> None:
    request = ApprovalRequest(pk=uuid4(), digest="0" * 64)
    for call in (lambda: vote("bob", request), lambda: apply("bob", request), lambda: cancel("bob", request)):
        assert refused("approval.unknown", call).status == 404


def test_nobody_votes_when_the_time_is_over() -> None:
    request = safe_mode_request()
    let_time_pass(request)
    refused("approval.expired", lambda: vote("bob", request))
    request.refresh_from_db()
    assert (request.state, approvals.as_dict(request)["state"]) == ("pending", "expired")  # before the sweep
    assert approvals.expire() == 1
    assert approvals.expire() == 0
    request.refresh_from_db()
    assert request.state == State.EXPIRED
    refused("approval.closed", lambda: vote("bob", request))


# --- what changed in between -----------------------------------------------------


def test_changed_values_void_the_request() -> None:
    request = ask("alice", "ops.resume")
    desk.raise_hold(source="maintenance", reason="x", scope=("venue", "okx"), resolved=True)  # voids nothing
    outcome = vote("bob", request)
    assert outcome.status is Status.PENDING
    assert outcome.body["approval"]["state"] == "voided"
    assert outcome.body["approval"]["execution"]["refusal"]["code"] == "approval.stale"
    assert "before" in outcome.body["approval"]["execution"]["refusal"]["detail"]
    assert desk.get_state().mode == Mode.HOLD
    assert AuditEntry.objects.filter(action="ops.resume", code="approval.stale", verdict="refused").exists()
    refused("approval.not_applicable", lambda: apply("alice", request))


def test_another_configuration_voids_the_request_at_once() -> None:
    request = safe_mode_request()
    text = ConfigVersion.objects.get(active=True).yaml
    factories.activate(text + "\n# another\n")
    outcome = vote("bob", request)
    assert "config_version" in outcome.body["approval"]["execution"]["refusal"]["detail"]
    assert desk.get_state().safe_mode


def test_another_leader_voids_the_request() -> None:
    request = safe_mode_request()
    Lease.objects.update(fence=7)
    outcome = vote("bob", request)
    assert "fence" in outcome.body["approval"]["execution"]["refusal"]["detail"]
    assert desk.get_state().safe_mode


def test_the_requester_must_still_be_allowed() -> None:
    request = safe_mode_request()
    person("alice").groups.clear()
    outcome = vote("bob", request)
    assert outcome.body["approval"]["execution"]["refusal"]["code"] == "permission.denied"
    request.refresh_from_db()
    assert (request.state, request.execution_state) == ("approved", "not_run")
    person("alice").groups.add(Group.objects.get(name="operator"))
    assert apply("bob", request).status is Status.EXECUTED


@pytest.mark.parametrize("lost", ["role", "active"])
def test_each_approver_must_still_be_allowed(lost: str) -> None:
    factories.make_desk(quorum=2)
    request = safe_mode_request()
    vote("bob", request)
    if lost == "role":
        person("bob").groups.clear()
    else:
        User.objects.filter(username="bob").update(is_active=False)
    outcome = vote("carol", request)
    assert outcome.body["approval"]["execution"]["refusal"]["code"] == "approval.quorum_lost"
    assert desk.get_state().safe_mode


# --- approved is not yet done ----------------------------------------------------


def test_a_refusal_at_execution_leaves_it_approved_and_it_may_be_applied() -> None:
    request = approved_but_refused()
    assert (request.state, request.execution_state) == ("approved", "not_run")
    assert request.refusal is not None
    assert request.refusal["code"] == "resume.not_ready"
    assert desk.get_state().mode == Mode.HOLD
    refused("resume.not_ready", lambda: apply("alice", request))
    refused("apply.stranger", lambda: apply("carol", request))
    turn_green()
    outcome = apply("alice", request)
    assert outcome.status is Status.EXECUTED
    assert desk.get_state().mode == Mode.RUN
    request.refresh_from_db()
    assert (request.execution_state, request.refusal) == ("executed", None)
    pressed = AuditEntry.objects.get(action="approval.apply", verdict="executed")
    assert pressed.actor_name == "alice"


def test_who_approved_may_apply_it_too() -> None:
    request = approved_but_refused()
    turn_green()
    assert apply("bob", request).status is Status.EXECUTED


def test_what_was_executed_is_not_applied_again() -> None:
    request = factories.safe_mode_off()
    submit("alice", "ops.safe_mode", enabled=True)
    refused("approval.not_applicable", lambda: apply("alice", request))
    assert desk.get_state().safe_mode


def test_an_approval_expires_too() -> None:
    request = approved_but_refused()
    assert timedelta(minutes=4) < request.expires_at - request.created_at <= timedelta(minutes=6)
    turn_green()
    let_time_pass(request)
    refused("approval.expired", lambda: apply("alice", request))
    assert desk.get_state().mode == Mode.HOLD
    assert approvals.expire() == 1
    request.refresh_from_db()
    assert request.state == State.EXPIRED


def test_a_new_hold_voids_what_was_approved_and_not_done() -> None:
    request = approved_but_refused()
    turn_green()
    submit("carol", "ops.hold")
    refused("approval.not_applicable", lambda: apply("alice", request))
    assert desk.get_state().mode == Mode.HOLD


@pytest.mark.parametrize(
    "change",
    [
        'payload = \'{"scope": "venue", "key": "okx"}\'',
        "before = '{}'",
        "diff = '[]'",
        "reason = 'another'",
        "target = 'venue:okx'",
        "quorum = 2",
        'policy = policy || \'{"vote_from": "", "survives_start": true}\'',
        "config_version = 2",
        "fence = 7",
        "requested_by_id = (SELECT id FROM ops_user WHERE username = 'carol')",
    ],
)
def test_a_request_changed_behind_everybody_s_back_is_not_run(change: str) -> None:
    """By an owner of the database, triggers off: whatever the digest covers."""
    request = approved_but_refused()
    turn_green()
    tamper(f"UPDATE ops_approvalrequest SET {change} WHERE id = '{request.pk}'")
    refused("approval.tampered", lambda: apply("bob", request))
    assert desk.get_state().mode == Mode.HOLD


# --- taking back -----------------------------------------------------------------


def test_its_requester_takes_it_back() -> None:
    request = safe_mode_request()
    refused("cancel.stranger", lambda: cancel("bob", request))
    assert cancel("alice", request).body["approval"]["state"] == State.CANCELLED
    refused("approval.closed", lambda: cancel("alice", request))
    refused("approval.closed", lambda: vote("bob", request))
    assert AuditEntry.objects.filter(action="approval.cancel", verdict="executed").count() == 1


def test_what_is_approved_and_not_done_may_be_taken_back() -> None:
    request = approved_but_refused()
    cancel("alice", request)
    turn_green()
    refused("approval.not_applicable", lambda: apply("bob", request))


def test_what_is_done_is_not_taken_back() -> None:
    request = factories.safe_mode_off()
    refused("approval.closed", lambda: cancel("alice", request))
