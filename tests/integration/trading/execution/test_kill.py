"""kill -9 of the real worker between the two legs, on a running desk."""

import os
import signal
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from cryptobot.demo.story import EDGE_BPS
from tests.desk import Desk, eventually
from tests.integration.trading.execution.bench import A, B
from tests.journeys.team import Team, team

pytestmark = [pytest.mark.desk, pytest.mark.faults]


@pytest.fixture
def us(desk: Desk) -> Iterator[Team]:
    with team(desk) as people:
        # The checklist may still show the second before another test's flatten.
        eventually(lambda: _ready(people), "the desk does not become ready", 20)
        people.start_trading()
        people.venues[B].control("POST", "market", symbol=people.venues[B].btc, shift_bps=EDGE_BPS)
        yield people
        people.venues[B].control("DELETE", "stream_faults")


@pytest.mark.parametrize("stream", [False, True], ids=["no news", "news"])
@pytest.mark.parametrize("after", [True, False], ids=["answer late", "accept late"])
def test_kill_9_between_the_legs(us: Team, after: bool, stream: bool) -> None:
    """A is filled; B has the order (or will take it only when its sender is dead) and has not answered. Where
    its stream speaks, nobody need ask."""
    before = {name: ids(us, name) for name in (A, B)}
    if not stream:
        us.venues[B].control("POST", "stream_faults", effect="gap", kind="private", count=None)
    us.venues[B].control("POST", "faults", effect="delay", kind="place", ms=2_000, after=after, count=1)
    worker = us.desk.pids()["worker-execution"]

    location = us.approve(_ask(us))["location"]
    eventually(lambda: len(ids(us, A)) > len(before[A]), "leg A never reached its venue", 20)
    os.kill(worker, signal.SIGKILL)

    row = us.rested(location)
    assert row["state"] == "BALANCED", row["transitions"]
    if not stream:
        assert "UNKNOWN" in [t["state"] for t in row["transitions"]]
    nets = {name: net(us, name) for name in (A, B)}
    assert nets[A] == -nets[B] > 0
    for name in (A, B):
        sent = ids(us, name)[len(before[name]) :]
        mine = {order["client_order_id"] for leg in row["legs"] for order in leg["orders"]}
        assert len(sent) == 1, f"{name} has {sent}"
        assert set(sent) <= mine
    assert all(p["matches"] for p in us.alice.get("/api/ui/positions")["positions"])
    eventually(lambda: us.desk.pids().get("worker-execution") not in {None, worker}, "no new worker", 60)


def _ready(us: Team) -> bool:
    lines = us.alice.get("/api/ui/resume_checklist")["lines"]
    return all(line["ok"] for line in lines if line["name"] == "positions_match")


def _ask(us: Team) -> Any:
    plan = us.viable(long_venue=A)["plan"]
    body = {"plan_id": plan["id"], "digest": plan["digest"], "reason": "kill -9"}
    return us.alice.post("/api/arb/execute", **body)


def ids(us: Team, venue: str) -> list[str]:
    """Client ids of all orders that the venue ever accepted, oldest first."""
    return [order["client_order_id"] for order in us.venues[venue].state()["orders"]]


def net(us: Team, venue: str) -> Decimal:
    position = us.venues[venue].state()["positions"].get("BTC", {"net": "0"})
    return Decimal(position["net"])
