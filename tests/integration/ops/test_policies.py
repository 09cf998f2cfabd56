"""How many people an action needs is itself changed by two, under the policy in force."""

from typing import Any

import pytest
from django.test import Client

from ops.actions.base import Refusal, Status
from ops.actions.inputs import InvalidInput
from ops.components import approvers
from ops.models import ApprovalPolicy, AuditEntry
from ops.status import Status as Health
from tests import factories
from tests.factories import ask, person, submit, vote
from tests.integration.ops.test_people import code_of

pytestmark = pytest.mark.usefixtures("house", "own_checklist")


@pytest.fixture(autouse=True)
def admin(house: None) -> None:
    """root is the tests' superuser; an admin by role asks here."""
    factories.person("ada", role="admin")


def test_a_policy_raises_the_quorum_and_asks_for_a_role() -> None:
    vote("bob", ask("rita", "ops.set_policy", action="ops.safe_mode", quorum=2, vote_from="risk_manager"))
    request = ask("alice", "ops.safe_mode", enabled=False)
    assert (request.quorum, request.policy["vote_from"]) == (2, "risk_manager")
    assert vote("bob", request).status is Status.PENDING
    assert vote("carol", request).status is Status.PENDING  # two, and none of them a risk manager
    assert vote("rita", request).status is Status.EXECUTED


def test_a_policy_never_asks_for_nobody_and_is_changed_under_itself() -> None:
    with pytest.raises(InvalidInput):
        submit("rita", "ops.set_policy", action="ops.resume", quorum=0)
    with pytest.raises(InvalidInput):
        submit("rita", "ops.set_policy", action="ops.explode", quorum=1)
    vote("bob", ask("rita", "ops.set_policy", action="ops.set_policy", quorum=2))
    lower = ask("rita", "ops.set_policy", action="ops.set_policy")
    assert lower.quorum == 2
    assert vote("bob", lower).status is Status.PENDING
    assert vote("carol", lower).status is Status.EXECUTED
    assert ApprovalPolicy.objects.get(pk="ops.set_policy").quorum is None


def test_a_right_on_one_policy_is_for_that_one() -> None:
    right: dict[str, Any] = {
        "permission": "ops.set_policy",
        "object_id": "ops.resume",
        "holder": "user:victor",
    }
    vote("bob", ask("ada", "ops.grant_object_permission", **right))
    ask("victor", "ops.set_policy", action="ops.resume", quorum=2)
    assert code_of(lambda: submit("victor", "ops.set_policy", action="ops.hold", quorum=2)) == (
        "permission.denied"
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"quorum": 0}, "quorum"),
        ({"quorum": 6}, "quorum"),
        ({"quorum": -1}, "quorum"),
        ({"action": "ops.explode"}, "action"),
        ({"vote_from": "king"}, "vote_from"),
    ],
)
def test_what_cannot_be_is_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as no:
        submit("rita", "ops.set_policy", **{"action": "ops.resume", **change})
    assert {e["field"] for e in no.value.errors} == {field}


@pytest.mark.parametrize("name", ["alice", "victor", "audrey"])
def test_an_operator_asks_for_no_policy(name: str) -> None:
    with pytest.raises(Refusal) as no:
        submit(name, "ops.set_policy", action="ops.resume", quorum=2)
    assert no.value.code == "permission.denied"
    assert AuditEntry.objects.filter(code="permission.denied", actor_name=name).exists()


def test_a_voter_sees_what_is_in_force_and_what_will_be() -> None:
    request = ask("rita", "ops.set_policy", action="ops.resume", quorum=2, vote_from="risk_manager")
    assert request.target == "ops.resume"
    assert request.before == {"quorum": None, "vote_from": ""}
    assert [(row["field"], row["before"], row["after"]) for row in request.diff] == [
        ("quorum of ops.resume", 1, 2),
        ("one vote from", None, "risk_manager"),
    ]
    vote("bob", request)
    entry = AuditEntry.objects.get(action="ops.set_policy", verdict="executed")
    assert entry.before is not None
    assert entry.before["values"] == request.before
    assert entry.after == {"action": "ops.resume", "quorum": 2, "vote_from": "risk_manager"}
    again: dict[str, Any] = {"action": "ops.resume", "quorum": 2, "vote_from": "risk_manager"}
    assert code_of(lambda: submit("rita", "ops.set_policy", **again)) == "policy.unchanged"


def test_an_open_request_keeps_the_quorum_that_it_was_made_under() -> None:
    old = ask("alice", "ops.safe_mode", enabled=False)
    vote("bob", ask("rita", "ops.set_policy", action="ops.safe_mode", quorum=3))
    assert vote("bob", old).status is Status.EXECUTED


def test_a_policy_that_nobody_can_meet_is_red_and_named() -> None:
    assert approvers().status is Health.OK
    vote("bob", ask("rita", "ops.set_policy", action="ops.launch", quorum=5))  # bob, carol, rita, root of 5
    found = approvers()
    assert found.status is Health.ERROR
    assert found.summary == "too few others could approve: ops.launch (4 of 5)"


def test_a_vote_from_a_role_of_which_only_the_requester_is_cannot_be_had() -> None:
    vote("bob", ask("rita", "ops.set_policy", action="ops.safe_mode", vote_from="risk_manager"))
    found = approvers()  # rita may ask for it herself, and nobody else is a risk manager
    assert found.summary == "too few others could approve: ops.safe_mode (no other risk_manager)"
    vote("bob", ask("ada", "ops.grant_role", username="carol", role="risk_manager"))
    assert approvers().status is Health.OK


def test_who_does_not_vote_today_is_no_approver_today() -> None:
    vote("bob", ask("rita", "ops.set_policy", action="ops.launch", quorum=4))
    assert approvers().status is Health.OK
    vote("bob", ask("ada", "ops.reset_password", username="carol"))
    assert "ops.launch (3 of 4)" in approvers().summary


def test_its_page_offers_to_change_it() -> None:
    client = Client()
    client.force_login(person("rita"), backend="django.contrib.auth.backends.ModelBackend")
    assert "ops.launch" in client.get("/admin/ops/approvalpolicy/").content.decode()
    row = ApprovalPolicy.objects.get(pk="ops.launch")
    shown = client.get(f"/admin/ops/approvalpolicy/{row.pk}/change/")
    assert "act/ops.set_policy/?action=ops.launch" in shown.content.decode()
