"""The keeper: takes, keeps, loses, gives away; what it writes down; what it does without a database."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db.models.functions import Now

from leadership import handover, readiness, services, terms
from leadership.handover import Work
from leadership.keeper import HEARTBEAT_FILE, Keeper
from leadership.models import Lease, Term
from ops.models import AuditEntry, DeskState, HoldCause, Incident
from tests.database import without_controls
from tests.integration.leadership.conftest import silent_for

pytestmark = pytest.mark.usefixtures("desk")
Make = Callable[[str], Keeper]


def test_it_takes_a_free_lease_and_writes_everything_down(keeper_of: Make) -> None:
    keeper = keeper_of("a")
    keeper.look()
    term = Term.objects.get(ended_at=None)
    assert (keeper.leading, term.owner, term.how) == (term.fence, "a", "free")
    assert term.recorded_at is not None
    written = json.loads((settings.ENV.data_dir / HEARTBEAT_FILE).read_text())
    assert written["fencing_id"] == f"{term.fence}-{term.nonce}"
    assert written.keys() == {"pid", "fencing_id", "ts"}
    assert DeskState.objects.get().mode == "HOLD"
    assert HoldCause.objects.filter(source=terms.CHANGED).exists()
    assert Incident.objects.get(code="leader.changed").events.exists()
    assert AuditEntry.objects.filter(action="leadership.begin_term", target=f"term:{term.fence}").count() == 1


def test_a_standby_waits_and_takes_what_is_stale(keeper_of: Make) -> None:
    leader, standby = keeper_of("a"), keeper_of("b")
    leader.look()
    standby.look()
    assert standby.leading is None
    assert "held by a" in standby.waits_for
    silent_for(settings.ENV.stale_sec - 5)
    standby.look()
    assert standby.leading is None  # lapsed, but what it sent last may still be accepted
    silent_for(settings.ENV.stale_sec + 1)
    standby.look()
    assert standby.leading == Lease.objects.get().fence
    assert Term.objects.get(owner="b").how == "stale"
    leader.look()
    assert leader.leading is None
    leader.look()
    assert Lease.objects.get().owner == "b"  # the old node does not race back
    old = Term.objects.get(owner="a")
    assert old.ended_at is not None
    assert old.last_hb_at is not None


def test_one_that_was_started_again_goes_on_with_its_term(keeper_of: Make) -> None:
    keeper_of("a").look()
    fence, again = Lease.objects.get().fence, keeper_of("a")
    again.look()
    assert (again.leading, Lease.objects.get().fence) == (fence, fence)
    assert AuditEntry.objects.filter(action="leadership.begin_term").count() == 1


def test_what_a_dead_keeper_left_unwritten_is_written_by_the_next(keeper_of: Make) -> None:
    """kill -9 between the lease and its HOLD."""
    first = keeper_of("a")
    first._write_down = lambda fence: None  # type: ignore[method-assign]
    first.look()
    assert Term.objects.get(ended_at=None).recorded_at is None
    keeper_of("a").look()
    assert Term.objects.get(ended_at=None).recorded_at is not None
    assert HoldCause.objects.filter(source=terms.CHANGED).count() == 1


def test_a_leader_that_cannot_renew_says_that_it_is_fenced(keeper_of: Make) -> None:
    """Without asking the database: by the deadline that this process knows."""
    keeper_of(settings.INSTANCE).look()
    assert services.current().leader
    known = readiness.deadline_facts()
    assert not known["self_fenced"]
    assert 0 < known["seconds_to_deadline"] <= 19.5
    with without_controls():
        Lease.objects.update(expires_at=Now() + timedelta(seconds=services.MARGIN_SEC))
    services.standing()
    assert readiness.deadline_facts() == {"self_fenced": True, "seconds_to_deadline": 0.0}


def test_a_database_that_is_gone_is_a_look_that_is_lost(keeper_of: Make) -> None:
    def nowhere() -> "psycopg.Connection[Any]":
        raise psycopg.OperationalError("no route")

    keeper = keeper_of("a")
    keeper.look()
    connect, keeper._connect = keeper._connect, nowhere
    keeper._hang_up()
    keeper.look()
    keeper._connect = connect
    keeper.look()
    assert keeper.leading == Lease.objects.get().fence


class TestAtTheEnd:
    @pytest.fixture
    def open_work(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[Work], None]:
        return lambda work: monkeypatch.setattr(handover, "_work", lambda: work)

    def test_it_gives_back_what_it_does_not_need(self, keeper_of: Make) -> None:
        keeper = keeper_of("a")
        keeper.look()
        assert keeper.stop(grace_sec=5) == "released"
        row = Lease.objects.get()
        assert (row.state, row.released_by) == ("FREE", "")
        keeper_of("a").look()  # a restart is no handover
        assert Lease.objects.get().owner == "a"

    def test_what_is_open_keeps_its_lease(self, keeper_of: Make, open_work: Callable[[Work], None]) -> None:
        keeper = keeper_of("a")
        keeper.look()
        open_work(Work(unsettled=1))
        assert keeper.stop(grace_sec=0.5) == "left to go stale after 60 s: 1 unsettled"
        row = Lease.objects.get()
        assert row.state == "HELD"
        assert row.draining_at is not None  # and opens nothing

    def test_drained_before_it_is_given_away(
        self, keeper_of: Make, open_work: Callable[[Work], None]
    ) -> None:
        keeper = keeper_of("a")
        keeper.look()
        Lease.objects.update(draining_at=Lease.objects.get().renewed_at)
        for held in (Work(sending=1), Work(drain_sec=0.1)):
            open_work(held)
            keeper.look()
            assert keeper.leading is not None
        open_work(Work(unknown=1))
        keeper.look()
        assert keeper.leading is None
        assert Lease.objects.get().released_by == "a"
        keeper.look()
        assert (keeper.leading, Lease.objects.get().state) == (None, "FREE")
