"""The kill switch: block, cancel, flatten, and a line that the venues themselves wrote."""

from decimal import Decimal
from typing import Any

import pytest

from ops import desk
from ops.actions.base import Refusal
from ops.models import AuditEntry, DeskState, Incident, Mode
from tests import factories
from tests.integration.trading.execution.bench import BTC, A, B, Bench
from tests.integration.trading.execution.books import assert_flat, assert_hedged
from trading.execution import flatten as flattening
from trading.models import FlattenJob
from trading.paper import orders as paper

C = "bybit"
QTY = Decimal("0.033")


def rest(bench: Bench, venue: str, count: int, prefix: str = "cb") -> None:
    """Orders straight into the venue, far below the market."""
    engine = bench.paper[venue].engine
    instrument = engine.instruments["BTC"]
    price = engine.mark("BTC") * Decimal("0.97") // instrument.tick * instrument.tick
    for number in range(count):
        key = f"{prefix}rest{venue[:2]}{number:03d}"
        new = paper.NewOrder("BTC", paper.Side.BUY, Decimal("0.01"), price, paper.TimeInForce.GTC, False, key)
        engine.place(new)


def resting(bench: Bench, venue: str) -> int:
    return len(bench.paper[venue].engine.live)


def kill(**data: Any) -> FlattenJob:
    outcome = factories.submit("alice", "trading.kill", **data)
    job = FlattenJob.objects.get(pk=outcome.body["job_id"])
    while flattening.advance(job.pk) is not None:
        FlattenJob.objects.filter(pk=job.pk).update(next_at=job.created_at)
    job.refresh_from_db()
    return job


def test_sixty_orders_on_three_venues_are_gone_and_the_desk_is_flat(bench: Bench) -> None:
    bench.drive(bench.open())
    for venue in (A, B, C):
        rest(bench, venue, 20)
        bench.fault(venue, "delay", "any", ms=50, count=None)
    job = kill()
    assert job.state == "done", job.result
    assert job.result["verification"].startswith(
        f"{A}: 20/20 cancelled; {C}: 20/20 cancelled; {B}: 20/20 cancelled; {A}: 0 open orders of ours, flat"
    )
    assert job.result["last_cancel_ms"] > 0
    assert [resting(bench, venue) for venue in (A, B, C)] == [0, 0, 0]
    assert_flat(bench)
    assert DeskState.objects.get(pk=1).mode == Mode.HOLD
    assert AuditEntry.objects.filter(action="trading.kill", verdict="done", target=str(job.pk)).exists()


def test_a_venue_that_answers_errors_is_unverified_until_it_heals(bench: Bench) -> None:
    for venue in (A, B):
        rest(bench, venue, 3)
    bench.fault(B, "html", "cancel", count=None)
    job = kill()
    assert job.state == "unverified"
    assert "UNVERIFIED" in job.result["verification"]
    assert f"{B}: 0/3 cancelled" in job.result["verification"]
    assert (resting(bench, A), resting(bench, B)) == (0, 3)
    assert Incident.objects.filter(code="flatten.unverified").exists()
    bench.heal()
    assert kill().state == "done"
    assert resting(bench, B) == 0


def test_it_blocks_first_and_nothing_hedges_by_opening(bench: Bench) -> None:
    row = bench.open()
    factories.submit("alice", "trading.kill", flatten=False)
    bench.drive(row)
    assert not bench.orders(A) + bench.orders(B)
    assert row.state in {"ABORTED_CLEAN", "QUARANTINED"}


def test_one_venue_only(bench: Bench) -> None:
    for venue in (A, B):
        rest(bench, venue, 2)
    job = kill(scope="venue", key=A, flatten=False)
    assert job.state == "done"
    assert (resting(bench, A), resting(bench, B)) == (0, 2)
    assert DeskState.objects.get(pk=1).mode == Mode.RUN
    assert "kill" in desk.blocking_sources({("venue", A)})
    assert "kill" not in desk.blocking_sources({("venue", B)})


def test_orders_of_others_stay_unless_told(bench: Bench) -> None:
    rest(bench, A, 2, prefix="zz")
    assert kill(flatten=False).state == "done"
    assert resting(bench, A) == 2
    assert kill(flatten=False, include_foreign=True).state == "done"
    assert resting(bench, A) == 0


def test_it_works_in_hold_in_safe_mode_and_with_the_gate_saying_no(bench: Bench) -> None:
    row = bench.drive(bench.open())
    factories.submit("alice", "ops.hold")
    factories.submit("alice", "ops.safe_mode", enabled=True)
    assert kill().state == "done"
    row.refresh_from_db()
    assert row.state == "SETTLED"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"scope": "all", "key": "okx"}, "scope.key"),
        ({"scope": "venue", "key": "mtgox"}, "venue.unknown"),
        ({"scope": "instrument", "key": "DOGEUSDT"}, "pair.unknown"),
    ],
)
def test_a_scope_that_is_not_there(bench: Bench, data: dict[str, Any], code: str) -> None:
    with pytest.raises(Refusal) as refused:
        factories.submit("alice", "trading.kill", **data)
    assert refused.value.code == code


def test_a_pair_only(bench: Bench) -> None:
    btc, sol = bench.drive(bench.open()), bench.drive(bench.open("SOLUSDT"))
    assert kill(scope="instrument", key="BTCUSDT").state == "done"
    btc.refresh_from_db()
    sol.refresh_from_db()
    assert (btc.state, sol.state) == ("SETTLED", "BALANCED")
    assert "kill" in desk.blocking_sources({("instrument", f"{A}:{BTC}")})


def test_two_people_end_it(bench: Bench) -> None:
    kill()
    factories.resume()
    assert DeskState.objects.get(pk=1).mode == Mode.RUN
    assert bench.drive(bench.open()).state == "BALANCED"
    assert_hedged(bench, QTY)
