"""Runbook §1–§3 on a running desk, as written, by the people it names."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from cryptobot.demo.venues import until
from tests.desk import Desk
from tests.journeys.team import APPROVALS, Team, dec, team

pytestmark = pytest.mark.desk


@pytest.fixture
def us(desk: Desk) -> Iterator[Team]:
    with team(desk) as people:
        yield people


# --- §1 -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/api/health", "/live-readiness", "/api/ui/status/overview", "/api/deriv/status"]
)
def test_1_5_the_desk_answers_somebody_at_the_machine(us: Team, path: str) -> None:
    assert us.anybody.get(path).status == 200


def test_1_5_and_is_well(us: Team) -> None:
    assert us.anybody.get("/api/health")["ok"]
    ready = us.anybody.get("/live-readiness")
    assert ready["ready"]
    assert ready["leader"]
    overview = us.anybody.get("/api/ui/status/overview")
    assert overview["mode"] == "HOLD"
    # Nothing is wrong but, after another journey on this desk, that a person has said HOLD.
    said = {cause["source"] for cause in overview["hold"] if cause["state"] == "open"}
    assert overview["overall"] == ("HOLD" if said == {"operator"} else "OK"), overview["alerts"]
    for venue in us.anybody.get("/api/deriv/status")["venues"]:
        assert venue["connected"], venue
        assert abs(venue["clock_offset_ms"]) < 1000
        assert all(instrument["margin_mode"] == "cross" for instrument in venue["instruments"])


def test_1_6_state_shows_the_flags(us: Team) -> None:
    flags = us.anybody.get("/api/ui/state")["flags"]
    expected = {"MODE": "HOLD", "SAFE_MODE": True, "POST_ONLY": False, "REDUCE_ONLY": False, "ENV": "paper"}
    assert {name: flags[name] for name in expected} == expected


# --- §2 -----------------------------------------------------------------------


def test_2_the_curl_of_the_runbook(us: Team) -> None:
    """`curl -s http://127.0.0.1:8000/api/arb/preview | jq`: no login, no headers, JSON."""
    with urllib.request.urlopen(f"{us.desk.base_url}/api/arb/preview", timeout=10) as reply:
        assert json.loads(reply.read())["plan"]["pair"] == "BTCUSDT"


# --- §3 -----------------------------------------------------------------------


def test_3_preflight_checks_connectivity_filters_and_edge(us: Team) -> None:
    preview = us.viable()
    ok = {check["name"]: check["ok"] for check in preview["checks"]}
    assert ok["connectivity.okx"]
    assert ok["connectivity.binanceusdm"]
    assert ok["filters.okx"]
    assert ok["filters.binanceusdm"]
    assert ok["edge"]
    edge = preview["plan"]["edge"]
    parts = ["entry_spread", "exit_spread", "fees", "slippage_in", "slippage_out", "latency", "funding"]
    assert sum(dec(edge[f"{part}_bps"]) for part in parts) == dec(edge["net_bps"])
    assert dec(edge["fees_bps"]) < 0
    assert dec(edge["slippage_in_bps"]) <= 0


def test_3_safe_mode_answers_with_the_dry_run_plan_and_sends_nothing(us: Team) -> None:
    before, orders = us.orders_at_venues(), us.alice.get("/api/ui/orders")["results"]
    plan = us.viable()["plan"]
    answer = us.alice.post("/api/arb/execute", plan_id=plan["id"], digest=plan["digest"], reason="practice")
    assert (answer.status, answer["status"]) == (200, "dry_run")
    steps = [step["state"] for step in answer["plan"]["steps"]]
    assert steps[0] == "PLANNED"
    assert {"ARMED", "WORKING", "BALANCED"} <= set(steps)
    assert answer["plan"]["rescue"]
    # One rescue for each way in which a leg of either venue can fail, and for both.
    ways = {(scenario["failure"], scenario["venue"]) for scenario in answer["plan"]["rescue"]}
    assert {("rejected", "okx"), ("rejected", "binanceusdm"), ("both_failed", None)} <= ways
    assert all(scenario["does"] for scenario in answer["plan"]["rescue"])

    assert us.orders_at_venues() == before
    assert us.alice.get("/api/ui/orders")["results"] == orders


def test_3_a_viewer_reads_and_executes_nothing(us: Team) -> None:
    assert us.victor.get("/api/ui/positions").status == 200
    refused = us.victor.post("/api/arb/execute", symbol="BTCUSDT", reason="please")
    assert (refused.status, refused["code"]) == (403, "permission.denied")


def matching(us: Team) -> Any:
    """A screen's venue side may be a second old."""
    positions = us.alice.get("/api/ui/positions")["positions"]
    return positions if all(p["matches"] for p in positions) else None


def test_3_two_operators_execute_and_flatten(us: Team) -> None:
    # Preflight is green, so SAFE_MODE comes off and the desk leaves HOLD: two people each time.
    us.viable()
    asked = us.alice.post("/api/v1/actions/ops.safe_mode", enabled=False, reason="runbook 3.2")
    request = asked["approval"]
    waiting = us.bob.get(f"{APPROVALS}?state=pending")["results"]
    assert request["id"] in [row["id"] for row in waiting]
    path = f"{APPROVALS}/{request['id']}/approve"
    self_approval = us.alice.post(path, digest=request["digest"])
    assert (self_approval.status, self_approval["code"]) == (403, "vote.self")
    assert us.alice.get("/api/ui/state")["flags"]["SAFE_MODE"]
    us.approve(asked)
    held = us.viable()["plan"]
    blocked = us.alice.post("/api/arb/execute", plan_id=held["id"], digest=held["digest"], reason="early")
    assert (blocked.status, blocked["code"]) == (423, "desk.hold")
    us.approve(us.alice.post("/api/ui/resume_request", reason="runbook 3.2: preflight is green"))
    flags = us.alice.get("/api/ui/state")["flags"]
    assert (flags["MODE"], flags["SAFE_MODE"]) == ("RUN", False)

    # POST /api/arb/execute with IOC, as the config says.
    plan = us.viable(tif="IOC")["plan"]
    assert {leg["tif"] for leg in plan["legs"]} == {"IOC"}
    row = us.execute(plan)
    assert row["state"] == "BALANCED", row["transitions"]
    assert {leg["filled"] for leg in row["legs"]} == {plan["legs"][0]["qty"]}

    # Both venues hold what the desk says that they hold.
    positions = until("positions read after the fills", lambda: matching(us))
    held_now = {p["venue"]: dec(p["net"]) for p in positions if dec(p["net"])}
    assert sum(held_now.values()) == 0
    assert len(held_now) == 2
    assert {name for name, venue in us.venues.items() if not venue.flat()} == set(held_now)

    # After the trade: flatten, reduce-only, all legs.
    done = us.flatten()
    assert "flat" in done["result"]["verification"]
    assert all(venue.flat() for venue in us.venues.values())
    closing = [
        order for leg in us.alice.get(f"/api/ui/executions/{row['id']}")["legs"] for order in leg["orders"]
    ]
    assert {order["reduce_only"] for order in closing if order["purpose"] == "close"} == {True}
    assert us.alice.get(f"/api/ui/executions/{row['id']}")["state"] == "SETTLED"
    assert all(dec(p["net"]) == 0 for p in us.alice.get("/api/ui/positions")["positions"])
