"""Who may: globally by role, or on one object; asked in one place only."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from guardian.models import GroupObjectPermission, UserObjectPermission
from guardian.shortcuts import assign_perm, remove_perm

from ops import access, audit, desk, roles
from ops.actions import registry
from ops.actions.base import Action, Context, Danger, Outcome, Refusal, Status
from ops.actions.inputs import arg
from ops.models import ApprovalRequest, HoldCause, User
from tests import factories
from tests.database import as_owner
from tests.factories import actor, ask, person, submit, vote
from trading.models import Venue

pytestmark = pytest.mark.usefixtures("house", "own_checklist")


@dataclass(frozen=True, kw_only=True)
class TouchInput:
    first: str = arg(help="A venue")
    second: str = arg(help="Another")


class Touch(Action[TouchInput]):
    """Changes nothing: only who may."""

    name = "trading.touch"
    title = "Touch two venues"
    help = "For this test"
    danger = Danger.INCREASES
    Input = TouchInput
    model = Venue

    def objects(self, data: TouchInput) -> Iterable[Model]:
        return list(Venue.objects.filter(name__in=[data.first, data.second]))

    def execute(self, ctx: Context[TouchInput]) -> Outcome:
        return Outcome(Status.EXECUTED)


@pytest.fixture
def touch(house: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._actions, Touch.name, Touch())
    kind = ContentType.objects.get_for_model(Venue)
    with as_owner():
        for codename in ("touch", "approve_touch"):
            Permission.objects.create(codename=codename, name=codename, content_type=kind)
    for name in ("okx", "binanceusdm", "bybit"):
        Venue.objects.get_or_create(name=name)


def give_globally(name: str) -> None:
    with factories.arranged():
        person(name).user_permissions.add(Permission.objects.get(codename="touch"))
        audit.touch_keys("ops_user_user_permissions", person(name).pk)


def give(permission: str, holder: User | Group, venue: Venue) -> None:
    with factories.arranged():
        assign_perm(permission, holder, venue)
        for rows in (UserObjectPermission, GroupObjectPermission):
            audit.touch(*rows.objects.filter(object_pk=venue.pk))


def take(permission: str, holder: User, venue: Venue) -> None:
    with factories.arranged():
        audit.touch(*UserObjectPermission.objects.filter(user=holder, object_pk=venue.pk))
        remove_perm(permission, holder, venue)


def deactivate(name: str) -> None:
    with factories.arranged():
        User.objects.filter(username=name).update(is_active=False)
        audit.touch(person(name))


def denied(name: str, action: str, **data: Any) -> None:
    with pytest.raises(Refusal) as caught:
        submit(name, action, **data)
    assert (caught.value.code, caught.value.status) == ("permission.denied", 403)


@pytest.mark.parametrize("name", ["victor", "audrey"])
@pytest.mark.parametrize("action", ["ops.hold", "ops.resume", "ops.safe_mode", "trading.flatten"])
def test_who_only_reads_may_do_nothing(name: str, action: str) -> None:
    denied(name, action)
    assert not HoldCause.objects.exists()
    assert not ApprovalRequest.objects.exists()


def test_an_unknown_action_is_said_to_be_unknown() -> None:
    with pytest.raises(Refusal) as caught:
        submit("alice", "ops.explode")
    assert (caught.value.code, caught.value.status) == ("action.unknown", 404)


@pytest.mark.parametrize("name", ["alice", "root"])
def test_the_inactive_may_nothing(name: str) -> None:
    request = ask("alice", "ops.safe_mode", enabled=False)
    deactivate(name)
    denied(name, "ops.hold")
    assert not access.may_somewhere(person(name), "ops.hold")
    if name != "alice":
        with pytest.raises(Refusal) as caught:
            vote(name, request)
        assert caught.value.code == "permission.denied"


def test_a_viewer_may_not_vote() -> None:
    request = ask("alice", "ops.safe_mode", enabled=False)
    with pytest.raises(Refusal) as caught:
        vote("victor", request)
    assert caught.value.code == "permission.denied"
    assert not request.votes.exists()


def test_a_superuser_is_no_exception_to_the_two_man_rule() -> None:
    request = ask("root", "ops.safe_mode", enabled=False)
    for verdict in ("approve", "reject"):
        with pytest.raises(Refusal) as caught:
            vote("root", request, verdict, comment="mine")
        assert caught.value.code == "vote.self"
    assert desk.get_state().safe_mode


@pytest.mark.usefixtures("touch")
def test_a_right_on_each_object_is_as_good_as_a_global_one() -> None:
    victor = person("victor")
    denied("victor", "trading.touch", first="okx", second="binanceusdm")
    give("trading.touch", victor, Venue.objects.get(name="okx"))
    denied(
        "victor", "trading.touch", first="okx", second="binanceusdm"
    )  # a right to one does not open the other
    give("trading.touch", victor, Venue.objects.get(name="binanceusdm"))
    ask("victor", "trading.touch", first="okx", second="binanceusdm")
    denied("victor", "trading.touch", first="okx", second="bybit")
    denied("victor", "trading.touch", first="nowhere", second="nothing")  # no object is not every object
    denied("victor", "ops.hold")


@pytest.mark.usefixtures("touch")
def test_a_group_s_right_on_an_object_counts_for_its_people_while_they_are_active() -> None:
    with factories.arranged(), as_owner():
        people = Group.objects.create(name="okx people")
        person("victor").groups.add(people)
        audit.touch(people)
        audit.touch_keys("ops_user_groups", person("victor").pk)
    give("trading.touch", people, Venue.objects.get(name="okx"))
    ask("victor", "trading.touch", first="okx", second="okx")
    deactivate("victor")
    denied("victor", "trading.touch", first="okx", second="okx")


@pytest.mark.usefixtures("touch")
def test_a_global_right_needs_no_object() -> None:
    give_globally("victor")
    ask("victor", "trading.touch", first="okx", second="bybit")


@pytest.mark.usefixtures("touch")
def test_approving_may_be_given_for_an_object_and_taken_away_before_it_counts() -> None:
    okx = Venue.objects.get(name="okx")
    give_globally("alice")
    give("trading.approve_touch", person("victor"), okx)
    request = ask("alice", "trading.touch", first="okx", second="okx")
    take("trading.approve_touch", person("victor"), okx)
    with pytest.raises(Refusal):
        vote("victor", request)
    give("trading.approve_touch", person("victor"), okx)
    assert vote("victor", request).status is Status.EXECUTED


def test_guardian_can_give_what_execute_asks_for() -> None:
    okx = Venue.objects.create(name="okx")
    give("trading.execute", person("victor"), okx)
    assert access.may(actor("victor").user, "trading.execute", [okx])
    assert not access.may(actor("victor").user, "trading.execute")
    assert access.may_somewhere(actor("victor").user, "trading.execute")


# --- roles -------------------------------------------------------------------------


def test_every_permission_exists_and_hangs_on_its_action_s_app() -> None:
    for action in registry.all_actions():
        for name in (action.permission, action.approve_permission):
            app, codename = name.split(".")
            found = Permission.objects.get(content_type__app_label=app, codename=codename)
            if action.model is not None:
                assert found.content_type.model_class() is action.model


def test_roles_hold_what_the_table_says_and_syncing_again_changes_nothing() -> None:
    def held() -> dict[str, set[str]]:
        return {
            group.name: {
                f"{p.content_type.app_label}.{p.codename}"
                for p in group.permissions.select_related("content_type")
                if not p.codename.startswith("view_")
            }
            for group in Group.objects.all()
        }

    known = {action.name for action in registry.all_actions()}
    approves = {role: names & known for role, names in roles.APPROVES.items()}
    expected = {
        role: (names & known) | {name.replace(".", ".approve_", 1) for name in approves.get(role, set())}
        for role, names in roles.REQUESTS.items()
    }
    assert held() == expected
    count = Permission.objects.count()
    from django.apps import apps

    roles.sync(list(apps.get_app_configs())[-1])
    assert held() == expected
    assert Permission.objects.count() == count


def test_who_could_approve_is_counted_without_the_requester_and_the_inactive() -> None:
    assert access.eligible("ops.approve_resume", excluding=person("alice")) == 4  # bob, carol, rita, root
    deactivate("bob")
    assert access.eligible("ops.approve_resume", excluding=person("alice")) == 3
