"""People and their roles: coming in and gaining takes two people, going and losing takes one."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from ops import access, secrets_for
from ops.actions.base import Refusal, Source, Status
from ops.actions.inputs import InvalidInput
from ops.models import AuditEntry, SecondFactor, Token, User
from tests import factories
from tests.factories import PASSWORD, actor, ask, person, submit, vote
from tests.integration.ops.test_login import enrol, login

pytestmark = pytest.mark.usefixtures("house", "own_checklist")


@pytest.fixture(autouse=True)
def admin(house: None) -> None:
    """root is the tests' superuser; an admin by role asks here."""
    factories.person("ada", role="admin")


def code_of(call: Any) -> str:
    with pytest.raises(Refusal) as no:
        call()
    return no.value.code


def create(name: str = "dora", role: str = "operator") -> Any:
    return vote("bob", ask("ada", "ops.create_user", username=name, role=role))


def opened(name: str, outcome: Any) -> str:
    return secrets_for.open_for(person(name), outcome.body["result"]["secret"], source=Source.REST)


def test_a_new_person_needs_two_and_changes_the_password_first() -> None:
    request = ask("ada", "ops.create_user", username="dora", role="operator")
    assert not User.objects.filter(username="dora").exists()
    outcome = vote("bob", request)
    password = opened("ada", outcome)  # the one who hands it over
    user = User.objects.get(username="dora")
    assert (user.is_active, user.is_superuser, user.must_change_password) == (True, False, True)
    assert user.check_password(password)
    assert login(Client(), "dora", password).json()["must_change_password"]
    assert code_of(lambda: submit("dora", "ops.resume")) == "password.must_change"
    submit("dora", "ops.change_own_password", old=password, new="dora's own passphrase 5")
    assert access.may(User.objects.get(pk=user.pk), "ops.resume")
    assert password not in str(list(AuditEntry.objects.values()))


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"username": "a b", "role": "operator"}, "username"),
        ({"username": "", "role": "operator"}, "username"),
        ({"username": "dora", "role": "king"}, "role"),
        ({"username": "d" * 101, "role": "operator"}, "username"),
        ({"username": "dora", "role": "operator", "email": "not an address"}, "email"),
    ],
)
def test_a_person_that_cannot_be_is_named(data: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as no:
        submit("ada", "ops.create_user", **data)
    assert {e["field"] for e in no.value.errors} == {field}


def test_who_is_there_is_not_made_again_and_nobody_unknown_is_changed() -> None:
    assert code_of(lambda: submit("ada", "ops.create_user", username="bob", role="viewer")) == "user.exists"
    for action in ("deactivate_user", "activate_user", "reset_password", "reset_second_factor"):
        assert code_of(lambda: submit("ada", f"ops.{action}", username="nobody")) == "user.unknown"  # noqa: B023


@pytest.mark.parametrize("name", ["Bob", "BOB", "ｂｏｂ"])
def test_nobody_is_called_almost_as_somebody_else(name: str) -> None:
    assert code_of(lambda: submit("ada", "ops.create_user", username=name, role="viewer")) == "user.exists"


def test_going_is_one_person_and_at_once_coming_back_is_two() -> None:
    person("carol", password=PASSWORD)
    there = Client()
    assert login(there, "carol").status_code == 200
    submit("carol", "ops.issue_token", name="bot", scopes="*")
    outcome = submit("ada", "ops.deactivate_user", username="carol", reason="left")
    assert outcome.body["result"] == {"user": "carol", "tokens": 1, "sessions": 1}
    assert there.get("/api/auth/me").status_code == 401
    assert not Token.objects.filter(user__username="carol").exists()
    assert code_of(lambda: submit("carol", "ops.hold")) == "permission.denied"
    assert code_of(lambda: submit("ada", "ops.deactivate_user", username="carol")) == "user.inactive"
    request = ask("ada", "ops.activate_user", username="carol")
    assert not User.objects.get(username="carol").is_active
    vote("bob", request)
    assert User.objects.get(username="carol").is_active
    assert code_of(lambda: submit("ada", "ops.activate_user", username="carol")) == "user.active"


def test_nobody_votes_on_what_is_about_themselves() -> None:
    request = ask("ada", "ops.grant_role", username="bob", role="risk_manager")
    assert code_of(lambda: vote("bob", request)) == "vote.interested"
    assert vote("carol", request).status is Status.EXECUTED


def test_a_reset_password_is_theirs_to_change_and_does_not_vote_for_a_day() -> None:
    outcome = vote("carol", ask("ada", "ops.reset_password", username="bob"))
    password = opened("ada", outcome)
    submit("bob", "ops.change_own_password", old=password, new="bob's own passphrase 5")
    request = ask("alice", "ops.safe_mode", enabled=False)
    assert code_of(lambda: vote("bob", request)) == "vote.embargo"
    until = User.objects.get(username="bob").no_vote_until
    assert until is not None
    assert timedelta(hours=23) < until - timezone.now() <= timedelta(hours=24)
    assert code_of(lambda: submit("ada", "ops.reset_password", username="ada")) == "user.self"
    with factories.arranged():
        User.objects.filter(username="bob").update(no_vote_until=timezone.now() - timedelta(seconds=1))
    assert vote("bob", request).status is Status.EXECUTED


def test_a_reset_factor_is_gone_and_its_owner_does_not_vote_for_a_day() -> None:
    enrol("bob")
    vote("carol", ask("ada", "ops.reset_second_factor", username="bob"))
    assert not SecondFactor.objects.exists()
    request = ask("alice", "ops.safe_mode", enabled=False)
    assert code_of(lambda: vote("bob", request)) == "vote.embargo"


def test_roles() -> None:
    request = ask("ada", "ops.grant_role", username="victor", role="operator")
    assert not access.may(person("victor"), "ops.resume")
    vote("bob", request)
    assert access.may(actor("victor").user, "ops.resume")
    held: dict[str, Any] = {"username": "victor", "role": "operator"}
    assert code_of(lambda: submit("ada", "ops.grant_role", **held)) == "role.held"
    assert submit("ada", "ops.revoke_role", **held).status is Status.EXECUTED
    assert not access.may(actor("victor").user, "ops.resume")
    assert code_of(lambda: submit("ada", "ops.revoke_role", **held)) == "role.not_held"
    with pytest.raises(InvalidInput):
        submit("ada", "ops.grant_role", username="victor", role="king")


@pytest.mark.parametrize("name", ["alice", "rita", "victor"])
def test_only_an_admin_asks_for_people(name: str) -> None:
    assert (
        code_of(lambda: submit(name, "ops.create_user", username="x", role="viewer")) == "permission.denied"
    )
    assert code_of(lambda: submit(name, "ops.deactivate_user", username="bob")) == "permission.denied"
