"""Giving leadership away, taking it back, taking it by force; at the runner, and at a terminal."""

import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.utils import timezone

from cryptobot.management.commands import desk_start
from leadership import handover, services
from leadership.handover import Work
from leadership.keeper import Keeper
from leadership.models import Lease, Term
from ops.actions.base import Refusal
from ops.models import DeskState, HoldCause
from tests import factories
from tests.database import without_controls
from tests.integration.leadership.conftest import silent_for

pytestmark = pytest.mark.usefixtures("desk")
Make = Callable[[str], Keeper]


@pytest.fixture
def leading(keeper_of: Make) -> Keeper:
    """The keeper of this process's instance, which leads."""
    keeper = keeper_of(settings.INSTANCE)
    keeper.look()
    assert services.current().leader
    return keeper


def refused(name: str, action: str, **data: Any) -> str:
    with pytest.raises(Refusal) as no:
        factories.submit(name, action, **data)
    return no.value.code


def unknown(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(handover, "_work", lambda: Work(unknown=count))


# --- release -------------------------------------------------------------------------------


def test_release_is_hold_and_then_a_standby(leading: Keeper) -> None:
    factories.submit("alice", "leadership.release")
    assert HoldCause.objects.filter(source="leader.changed").exists()
    assert not services.standing().opens
    assert services.current().leader  # until nothing of it can reach a venue
    leading.look()
    assert not services.current().leader
    assert Term.objects.latest("began_at").ended_why == "released"
    for _ in range(3):
        leading.look()
    assert Lease.objects.get().state == "FREE"


def test_release_is_refused_where_it_would_lose_something(
    leading: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown(monkeypatch, 2)
    assert refused("alice", "leadership.release") == "leader.unknown_orders"
    request = factories.ask("alice", "leadership.release", accept_unknown=True)
    assert services.standing().opens  # one person alone does not
    factories.vote("bob", request)
    assert not services.standing().opens
    Lease.objects.update(owner="another")
    assert refused("alice", "leadership.release") == "leader.not_here"


def test_without_a_lock_there_is_nothing_to_give_or_take(leading: Keeper) -> None:
    settings.ENV = settings.ENV.model_copy(update={"feature_leader_lock": False})
    for action in ("release", "acquire", "steal"):
        assert refused("alice", f"leadership.{action}") == "leader.no_lock"


# --- taking --------------------------------------------------------------------------------


def test_what_was_given_away_comes_back_by_a_person_s_word(leading: Keeper) -> None:
    assert refused("alice", "leadership.acquire") == "leader.already"
    fence = Lease.objects.get().fence
    factories.submit("alice", "leadership.release")
    leading.look()
    assert Lease.objects.get().state == "FREE"
    factories.submit("alice", "leadership.acquire")
    leading.look()  # adopts the term, and writes it down
    assert (leading.leading, Term.objects.get(pk=fence + 1).recorded_at is not None) == (fence + 1, True)
    assert DeskState.objects.get().mode == "HOLD"


def test_a_held_lease_is_not_acquired(keeper_of: Make) -> None:
    keeper_of("another").look()
    assert refused("alice", "leadership.acquire") == "leader.held"


def test_two_people_take_a_fresh_one(keeper_of: Make) -> None:
    other = keeper_of("another")
    other.look()
    request = factories.ask("alice", "leadership.steal")
    assert request.payload["instance"] == settings.INSTANCE
    assert not services.current().leader
    factories.vote("bob", request)
    assert services.current().leader
    assert Term.objects.get(owner=settings.INSTANCE).how == "forced"
    other.look()
    assert other.leading is None
    other.look()
    assert services.current().leader


def test_a_request_for_one_instance_is_not_carried_out_by_another(keeper_of: Make) -> None:
    keeper_of("another").look()
    assert refused("alice", "leadership.steal", instance="elsewhere") == "leader.elsewhere"


# --- at a terminal -------------------------------------------------------------------------


def leader(*words: str) -> tuple[int, str]:
    """(exit code, what it said)."""
    out = io.StringIO()
    try:
        call_command("leader", *words, "--as-os", stdout=out, stderr=out)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_status_says_by_its_exit_code_who_leads(keeper_of: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    assert leader("status")[0] == 2
    keeper_of("another").look()
    code, text = leader("status", "--json")
    said = json.loads(text)
    assert (code, said["status"], said["holder"]) == (1, "standby", "another")
    assert leader("wait", "--timeout", "0.1")[0] == 1
    silent_for(settings.ENV.stale_sec + 1)
    ours = keeper_of(settings.INSTANCE)
    ours.look()
    code, text = leader("status")
    assert (code, "this instance leads" in text) == (0, True)
    assert leader("wait")[0] == 0
    monkeypatch.setattr(services, "standing", lambda: (_ for _ in ()).throw(LookupError("the row is gone")))
    assert leader("status")[0] == 3


def test_release_from_a_shell_of_the_host(leading: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: leading.look())  # the keeper beside it
    code, text = leader("release")
    assert (code, "released: this instance is a standby" in text) == (0, True)
    code, text = leader("release")
    assert (code, "leader.not_here" in text) == (1, True)


def test_release_without_a_keeper_says_so(leading: Keeper) -> None:
    code, text = leader("release", "--timeout", "0.1")
    assert (code, "is the keeper running?" in text) == (1, True)


def test_steal_names_the_age_of_a_fresh_heartbeat(keeper_of: Make) -> None:
    keeper_of("another").look()
    code, text = leader("steal")
    assert code == 1
    assert "leader.fresh: another was heard 0." in text
    silent_for(settings.ENV.stale_sec + 1)
    assert leader("steal")[0] == 0
    assert services.current().leader


# --- the start -----------------------------------------------------------------------------


def heard_without_a_lock(owner: str) -> None:
    with without_controls():
        Lease.objects.update(owner=owner, state="HELD", expires_at=None, hb_seq=3, renewed_at=timezone.now())


def test_two_without_a_lock_do_not_start_side_by_side() -> None:
    settings.ENV = settings.ENV.model_copy(update={"feature_leader_lock": False})
    heard_without_a_lock("another")
    with pytest.raises(CommandError, match="instance another leads this database"):
        desk_start.join()
    with without_controls():
        Lease.objects.update(renewed_at=timezone.now() - timedelta(hours=1))
    desk_start.join()
    assert services.current().leader


def test_the_lock_is_switched_on_and_off_by_a_restart(keeper_of: Make) -> None:
    heard_without_a_lock(settings.INSTANCE)
    desk_start.join()
    assert Lease.objects.get().state == "FREE"
    keeper = keeper_of(settings.INSTANCE)
    keeper.look()
    fence = Lease.objects.get().fence
    assert Lease.objects.get().expires_at is not None
    settings.ENV = settings.ENV.model_copy(update={"feature_leader_lock": False})
    desk_start.join()
    row = Lease.objects.get()
    assert (row.expires_at, row.owner, row.fence) == (None, settings.INSTANCE, fence + 1)
    desk_start.join()
    assert Lease.objects.get().fence == fence + 1  # one holder, one term


def test_a_standby_s_start_holds_nobody(keeper_of: Make) -> None:
    keeper_of("another").look()
    before = HoldCause.objects.count()
    desk_start.join()
    desk_start.hold()
    assert HoldCause.objects.count() == before


def test_timings_that_let_two_terms_meet_stop_the_start() -> None:
    settings.ENV = settings.ENV.model_copy(update={"leader_lock_ttl_sec": 30, "leader_lock_stale_sec": 37})
    with pytest.raises(CommandError, match=r"LEADER_LOCK_STALE_SEC=37: accepted: at least 37\.5"):
        desk_start.join()
