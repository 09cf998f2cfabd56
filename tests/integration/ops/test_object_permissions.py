"""Rights on one object: given by two people, taken by one, shown where the object is."""

from typing import Any

import pytest
from django.test import Client

from ops import access
from ops.actions.base import Refusal, Status
from ops.actions.inputs import InvalidInput
from ops.models import AuditEntry, User
from tests import factories
from tests.factories import actor, ask, person, submit, vote
from tests.integration.ops.test_people import code_of
from trading.models import Venue

pytestmark = pytest.mark.usefixtures("house", "own_checklist")

RIGHT: dict[str, Any] = {"permission": "trading.execute", "object_id": "okx"}


@pytest.fixture(autouse=True)
def okx(house: None) -> Venue:
    """root is the tests' superuser; an admin by role asks here."""
    factories.person("ada", role="admin")
    return Venue.objects.get_or_create(name="okx")[0]


def give(holder: str, **change: Any) -> dict[str, Any]:
    data = {**RIGHT, "holder": holder, **change}
    vote("bob", ask("ada", "ops.grant_object_permission", **data))
    return data


def page(who: str, path: str) -> str:
    client = Client()
    client.force_login(person(who), backend="django.contrib.auth.backends.ModelBackend")
    return client.get(path).content.decode()


@pytest.mark.parametrize("holder", ["user:victor", "role:viewer"])
def test_two_give_it_and_one_takes_it(holder: str, okx: Venue) -> None:
    data = {**RIGHT, "holder": holder}
    request = ask("ada", "ops.grant_object_permission", **data)
    assert request.target == f"trading.execute on okx to {holder}"
    assert not access.may(actor("victor").user, "trading.execute", [okx])
    vote("bob", request)
    assert access.may(actor("victor").user, "trading.execute", [okx])
    assert not access.may(actor("victor").user, "trading.execute")
    assert code_of(lambda: submit("ada", "ops.grant_object_permission", **data)) == "permission.held"
    assert submit("ada", "ops.revoke_object_permission", **data).status is Status.EXECUTED
    assert not access.may(actor("victor").user, "trading.execute", [okx])
    assert code_of(lambda: submit("ada", "ops.revoke_object_permission", **data)) == "permission.not_held"
    said = AuditEntry.objects.filter(action__endswith="_object_permission", verdict="executed")
    assert list(said.order_by("seq").values_list("action", "target", "after__held")) == [
        ("ops.grant_object_permission", request.target, True),
        ("ops.revoke_object_permission", request.target, False),
    ]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"permission": "ops.hold"}, "permission"),  # is about the whole desk
        ({"permission": "auth.add_user"}, "permission"),
        ({"object_id": "nasdaq"}, "object_id"),
        ({"holder": "victor"}, "holder"),
        ({"holder": "user:nobody"}, "holder"),
        ({"holder": "role:king"}, "holder"),
        ({"permission": "ops.reset_password", "object_id": "no number"}, "object_id"),
    ],
)
def test_what_cannot_be_is_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as no:
        submit("ada", "ops.grant_object_permission", **{**RIGHT, "holder": "user:victor", **change})
    assert {e["field"] for e in no.value.errors} == {field}


def test_a_key_is_written_as_it_will_be_looked_for_and_shown_by_name() -> None:
    bob = person("bob")
    right = {"permission": "ops.reset_password", "object_id": f" {bob.pk} ", "holder": "user:victor"}
    request = ask("ada", "ops.grant_object_permission", **right)
    assert request.payload["object_id"] == str(bob.pk)
    assert request.diff[0]["field"] == "ops.reset_password on bob to user:victor"
    vote("carol", request)
    assert access.may(actor("victor").user, "ops.reset_password", [bob])


def test_whose_right_it_is_has_no_vote_and_is_offered_none() -> None:
    request = ask("ada", "ops.grant_object_permission", **RIGHT, holder="user:bob")
    assert code_of(lambda: vote("bob", request)) == "vote.interested"
    path = f"/admin/ops/approvalrequest/{request.pk}/change/"
    assert 'name="digest"' not in page("bob", path)
    assert 'name="digest"' in page("carol", path)
    assert not access.may(actor("bob").user, "trading.approve_touch")
    assert vote("carol", request).status is Status.EXECUTED


@pytest.mark.parametrize("name", ["alice", "rita", "victor"])
def test_only_an_admin_asks(name: str) -> None:
    for verb in ("grant", "revoke"):
        with pytest.raises(Refusal) as no:
            submit(name, f"ops.{verb}_object_permission", **RIGHT, holder="user:victor")
        assert no.value.code == "permission.denied"
    assert AuditEntry.objects.filter(code="permission.denied", actor_name=name).count() == 2


def test_a_grant_dies_with_its_requester_s_role() -> None:
    """Who may ask is judged again when it is run."""
    factories.activate(_quorum(2))
    request = ask("ada", "ops.grant_object_permission", **RIGHT, holder="user:victor")
    vote("bob", request)
    submit("root", "ops.revoke_role", username="ada", role="admin")
    outcome = vote("carol", request)
    assert outcome.status is Status.PENDING
    request.refresh_from_db()
    assert request.refusal is not None
    assert (request.state, request.refusal["code"]) == ("approved", "permission.denied")


def _quorum(people: int) -> str:
    from ops.models import ConfigVersion

    return ConfigVersion.objects.get(active=True).yaml.replace("quorum: 1", f"quorum: {people}")


def test_the_object_s_page_says_who_holds_what_and_offers_to_change_it() -> None:
    give("user:victor")
    give("role:viewer", permission="trading.approve_execute")
    shown = page("ada", "/admin/trading/venue/okx/change/")
    assert "trading.execute on okx to user:victor" in shown
    assert "trading.approve_execute on okx to role:viewer" in shown
    assert "act/ops.grant_object_permission/?permission=trading.execute&amp;object_id=okx" in shown
    taking = (
        "ops.revoke_object_permission/?permission=trading.execute&amp;object_id=okx&amp;holder=user%3Avictor"
    )
    assert taking in shown
    read = page("alice", "/admin/trading/venue/okx/change/")
    assert "to user:victor" in read
    assert "object_permission/?" not in read


def test_the_holder_s_page_says_it_too() -> None:
    give("user:victor")
    give("role:viewer", permission="trading.approve_execute")
    victor = User.objects.get(username="victor")
    shown = page("ada", f"/admin/ops/user/{victor.pk}/change/")
    assert "trading.execute on okx to user:victor" in shown
    assert "trading.approve_execute on okx to role:viewer" in shown
    for name in ("deactivate_user", "grant_role", "revoke_role", "reset_password", "reset_second_factor"):
        assert f"act/ops.{name}/?username=victor" in shown
    assert "act/ops.grant_object_permission/?holder=user%3Avictor" in shown
    viewer = victor.groups.get()
    assert "trading.approve_execute on okx to role:viewer" in page(
        "ada", f"/admin/auth/group/{viewer.pk}/change/"
    )
