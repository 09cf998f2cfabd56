"""Runbook §3, "Для реального исполнения", as written: two people confirm, the service is restarted with
SAFE_MODE=false, then execute. On a desk of its own, since it is restarted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cryptobot.embedded import throwaway
from tests.desk import Desk
from tests.journeys.team import Team

# Beside the shared desk, not at the same time: two desks on two cores only wait for each other.
pytestmark = [pytest.mark.desk, pytest.mark.xdist_group("desk")]

ENVELOPE = {
    "pair": "BTCUSDT",
    "max_notional": "2000",
    "min_edge_bps": "-25",
    "max_slippage_bps": "5",
    "count": 1,
    "minutes": 30,
}


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    throwaway.remove(tmp_path)


def flags(us: Team) -> tuple[str, bool]:
    found = us.alice.get("/api/ui/state")["flags"]
    return found["MODE"], found["SAFE_MODE"]


def test_3_two_people_confirm_restart_with_safe_mode_off_execute(data_dir: Path) -> None:
    first = Desk(data_dir).start()
    try:
        us = Team(first)
        us.viable()
        asked = us.alice.post("/api/v1/actions/ops.launch", at="start", reason="runbook 3", **ENVELOPE)
        approved = us.approve(asked)["approval"]
        assert (approved["state"], approved["execution"]["state"]) == ("approved", "not_run")
        assert flags(us) == ("HOLD", True)  # confirmed is not launched
        assert first.stop() == 0
    finally:
        first.kill_if_running()

    second = Desk(data_dir, SAFE_MODE="false").start()
    try:
        us = Team(second)
        assert flags(us) == ("RUN", False), second.tail()
        row = us.alice.get(f"/api/ui/approvals/{approved['id']}")
        assert row["execution"]["state"] == "executed"
        covered = us.alice.post("/api/arb/execute", **_order(us.viable(max_slippage_bps="5")))
        assert (covered.status, covered["status"]) == (202, "accepted"), covered.body
        assert us.rested(covered["location"])["state"] == "BALANCED"
        again = us.alice.post("/api/arb/execute", **_order(us.viable(max_slippage_bps="5")))
        assert (again.status, again["status"]) == (202, "pending_approval")  # the envelope was for one
        us.flatten()
        assert us.alice.post("/api/ui/hold", reason="over").status == 200
        assert second.stop() == 0
    finally:
        second.kill_if_running()

    third = Desk(data_dir, SAFE_MODE="false").start()
    try:
        assert flags(Team(third)) == ("HOLD", True)  # nobody confirmed this one
        assert "no approved ops.launch waits for this start" in third.tail()
        assert third.stop() == 0
    finally:
        third.kill_if_running()


def _order(preview: dict[str, Any]) -> dict[str, str]:
    plan = preview["plan"]
    return {"plan_id": plan["id"], "digest": plan["digest"], "reason": "runbook 3"}
