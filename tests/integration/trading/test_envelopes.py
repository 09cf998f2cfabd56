"""Envelopes on real paper venues: one approval for several executions, exactly inside its bounds."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from ops import audit, envelopes
from ops.actions.base import Outcome, Refusal
from ops.actions.inputs import InvalidInput
from ops.models import ApprovalRequest, AuditEntry, Envelope
from tests import factories
from tests.database import without_controls
from tests.factories import ask, submit, vote
from tests.integration.trading.execution.bench import A, B, Bench, opened
from tests.integration.trading.execution.books import assert_books_agree
from tests.integration.trading.execution.conftest import bench, busy_bench, venues
from tests.integration.trading.execution.test_side_by_side import side_by_side
from trading.models import Execution
from trading.services.gather import EXIT_BASIS
from trading.venues import get_hub

__all__ = ["bench", "busy_bench", "venues"]  # fixtures
BOUNDS = {
    "pair": "BTCUSDT",
    "venues": f"{A},{B}",
    "max_notional": "2000",
    "min_edge_bps": "2",
    "max_slippage_bps": "3",
    "count": 2,
    "minutes": 60,
}
#: At every edge of the bounds at once.
RUN: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "long_venue": A,
    "notional": "2000",
    "min_edge_bps": "2",
    "max_slippage_bps": "3",
}


def grant(**bounds: Any) -> Envelope:
    request = ask("alice", "trading.grant_envelope", **{**BOUNDS, **bounds})
    assert vote("bob", request).status.value == "executed"
    return Envelope.objects.get(request=request)


def execute(name: str = "carol", **terms: Any) -> Outcome:
    get_hub()._facts.clear()
    return submit(name, "trading.execute", **{**RUN, **terms})


def asks_for_approval(**terms: Any) -> None:
    """Not covered: two people are asked, as without any envelope; and nothing is counted."""
    used = list(Envelope.objects.values_list("used", flat=True))
    outcome = execute(**terms)
    assert outcome.status.value == "pending_approval", outcome
    assert not Execution.objects.filter(envelope=None).exists()
    assert list(Envelope.objects.values_list("used", flat=True)) == used


# --- granting --------------------------------------------------------------------------


def test_it_is_granted_by_two_people_who_saw_its_bounds(bench: Bench) -> None:
    request = ask("alice", "trading.grant_envelope", **BOUNDS)
    shown = {row["field"]: row["after"] for row in request.diff}
    assert shown == {
        "envelope symbol": "BTC/USDT:USDT",
        "envelope venues": f"{A}, {B}",
        "envelope max_notional": "2000",
        "envelope min_edge_bps": "2",
        "envelope max_slippage_bps": "3",
        "envelope count": 2,
        "envelope minutes": 60,
    }
    asks_for_approval()  # asked for is not granted
    with pytest.raises(Refusal, match="own request"):
        vote("alice", request)
    assert not Envelope.objects.exists()
    outcome = vote("bob", request)
    row = Envelope.objects.get()
    assert (row.request, row.count, row.used, row.action) == (request, 2, 0, "trading.execute")
    assert row.expires_at - row.created_at == timedelta(hours=1)
    assert outcome.body["result"]["id"] == str(row.pk)
    voted, done = AuditEntry.objects.filter(correlation_id=str(request.pk)).order_by("seq")
    assert (voted.action, done.action) == ("approval.approve", "trading.grant_envelope")
    assert f"ops_envelope:{row.pk}" in voted.touches  # one transaction: its first entry names its rows
    assert (done.after or {})["bounds"]["max_notional"] == "2000"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"pair": "DOGEUSDT"}, "pair"),
        ({"venues": A}, "venues"),
        ({"venues": f"{A},mtgox"}, "venues"),
        ({"max_notional": "0"}, "max_notional"),
        ({"max_notional": "50000.01"}, "max_notional"),
        ({"max_slippage_bps": "-0.1"}, "max_slippage_bps"),
        ({"count": 0}, "count"),
        ({"count": 1001}, "count"),
        ({"minutes": 0}, "minutes"),
        ({"minutes": 721}, "minutes"),
    ],
)
def test_bounds_that_are_none_are_refused_by_name(bench: Bench, wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as no:
        ask("alice", "trading.grant_envelope", **{**BOUNDS, **wrong})
    assert [error["field"] for error in no.value.errors] == [field]
    assert "accepted" in no.value.errors[0]["detail"]


@pytest.mark.parametrize("minutes", [1, 720])
def test_the_shortest_and_the_longest(bench: Bench, minutes: int) -> None:
    row = grant(minutes=minutes, count=1000)
    assert row.expires_at - row.created_at == timedelta(minutes=minutes)


# --- covering ---------------------------------------------------------------------------


def test_at_its_bounds_it_covers_and_everything_names_it(bench: Bench) -> None:
    row = grant()
    done = opened(execute())
    assert (done.envelope, done.approval, done.dry_run) == (row, None, False)
    entry = AuditEntry.objects.get(action="trading.execute", verdict="accepted")
    assert (entry.after or {})["envelope"] == str(row.pk)
    assert f"ops_envelope:{row.pk}" in entry.touches
    assert (entry.actor_name, (entry.before or {})["input"]["notional"]) == ("carol", "2000")
    row.refresh_from_db()
    assert row.used == 1
    assert bench.drive(done).state == "BALANCED"
    assert_books_agree(bench)


OUTSIDE = [
    {"notional": "2000.01"},
    {"min_edge_bps": "1.99"},
    {"max_slippage_bps": "3.01"},
    {"symbol": "ETHUSDT"},
]


@pytest.mark.parametrize("terms", OUTSIDE, ids=lambda terms: next(iter(terms)))
def test_one_unit_outside_two_people_are_asked(bench: Bench, terms: dict[str, str]) -> None:
    grant()
    asks_for_approval(**terms)


def test_of_two_that_cover_the_one_that_ends_first_is_used(bench: Bench) -> None:
    grant(minutes=60)
    first = grant(minutes=30)
    assert opened(execute()).envelope == first


def test_a_narrow_one_does_not_hide_a_wide_one(bench: Bench) -> None:
    grant(max_notional="100", minutes=5)
    wide = grant()
    assert opened(execute()).envelope == wide


def test_it_waives_the_second_person_and_nothing_else(bench: Bench) -> None:
    """SAFE_MODE, REDUCE_ONLY, permission and the plan's own bounds are asked as ever."""
    row = grant()
    with pytest.raises(Refusal) as no:
        execute("victor")
    assert no.value.code == "permission.denied"
    with pytest.raises(Refusal) as no:
        execute(min_edge_bps="39")
    assert no.value.code == "plan.not_viable"
    submit("rita", "ops.reduce_only", enabled=True)
    with pytest.raises(Refusal) as no:
        execute()
    assert no.value.code == "desk.reduce_only"
    submit("alice", "ops.safe_mode", enabled=True)
    assert execute().status.value == "dry_run"
    row.refresh_from_db()
    assert row.used == 0
    assert not Execution.objects.exists()


def test_a_gate_that_says_no_uses_no_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.conf import settings

    row = grant()
    env = settings.ENV.model_copy(update={"risk_checks_enabled": True, "max_total_notional_usdt": 100})
    monkeypatch.setattr(settings, "ENV", env)
    assert execute().status.value == "skipped"
    row.refresh_from_db()
    assert row.used == 0


# --- ending ------------------------------------------------------------------------------


def test_it_counts_to_its_number_and_then_asks(bench: Bench) -> None:
    row = grant(count=2)
    for used in (1, 2):
        opened(execute())
        row.refresh_from_db()
        assert row.used == used
    assert not envelopes.usable("trading.execute").exists()
    asks_for_used_up(row)


def asks_for_used_up(row: Envelope) -> None:
    assert execute().status.value == "pending_approval"
    assert Execution.objects.count() == row.count


def test_a_hold_ends_it_for_good(bench: Bench) -> None:
    row = grant()
    submit("carol", "ops.hold", reason="lunch")
    row.refresh_from_db()
    assert (row.ended_at is not None, row.ended_why) == (True, "HOLD: operator")
    assert f"ops_envelope:{row.pk}" in AuditEntry.objects.filter(action="ops.hold").latest("seq").touches
    factories.resume()
    asks_for_approval()


def test_a_hold_of_a_venue_only_leaves_it(bench: Bench) -> None:
    row = grant()
    submit("carol", "ops.hold", scope="venue", key="bybit")
    row.refresh_from_db()
    assert row.ended_at is None


@pytest.mark.parametrize("name", ["carol", "rita"])
def test_one_person_ends_it(bench: Bench, name: str) -> None:
    row = grant()
    submit(name, "trading.revoke_envelope", envelope_id=str(row.pk), reason="enough")
    row.refresh_from_db()
    assert row.ended_why == f"revoked by {name}: enough"
    asks_for_approval()
    with pytest.raises(Refusal) as no:
        submit(name, "trading.revoke_envelope", envelope_id=str(row.pk))
    assert no.value.code == "envelope.ended"


def test_its_time_ends_it_by_the_database_s_clock(bench: Bench) -> None:
    row = grant()
    with without_controls():
        Envelope.objects.filter(pk=row.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    asks_for_approval()


def test_a_start_of_the_desk_ends_it(bench: Bench) -> None:
    from ops import desk

    row = grant()
    desk.desk_started()
    row.refresh_from_db()
    assert row.ended_at is not None


# --- at the same time ----------------------------------------------------------------------


def test_two_at_once_on_the_last_run(busy_bench: Bench) -> None:
    """Through the action: one is accepted, the other becomes a request."""
    grant(count=1)
    answers: list[Outcome] = []
    side_by_side(
        lambda: answers.append(submit("carol", "trading.execute", **RUN)),
        lambda: answers.append(submit("bob", "trading.execute", **RUN)),
    )
    assert sorted(answer.status.value for answer in answers) == ["accepted", "pending_approval"]
    assert Execution.objects.count() == 1
    assert ApprovalRequest.objects.filter(action="trading.execute", state="pending").count() == 1


@pytest.fixture(autouse=True)
def chain(request: pytest.FixtureRequest) -> Iterator[None]:
    """And each test begins without the process's memory of exits, which would fill up and cost the edge."""
    request.getfixturevalue("busy_bench" if "busy_bench" in request.fixturenames else "bench")
    EXIT_BASIS._medians.clear()
    yield
    assert audit.verify().ok
