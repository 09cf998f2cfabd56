"""Runbook §2: `pytest -q tests/test_smoke.py`. From nothing to a priced plan, in this one process."""

from collections.abc import Iterator

import pytest

from cryptobot.demo.venues import until
from tests.in_process import Caller, Reply, fresh_desk, paper_venues


@pytest.fixture(scope="module")
def venues(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with paper_venues(tmp_path_factory.mktemp("venues")):
        yield


@pytest.fixture
def alice(venues: None, db: None) -> Caller:
    return fresh_desk()["alice"]


@pytest.fixture
def curl(alice: Caller) -> Caller:
    """Somebody at the machine itself, not logged in: `curl -s http://127.0.0.1:8000/...`."""
    return Caller()


def body(reply: Reply) -> Reply:
    assert reply.status == 200, reply.body
    assert reply.headers["content-type"].startswith("application/json")
    return reply


def test_health(curl: Caller) -> None:
    assert body(curl.get("/api/health"))["ok"]


def test_live_readiness(curl: Caller) -> None:
    ready = curl.get("/live-readiness")
    assert ready.status in {200, 503}
    assert {"ready", "leader", "fencing_id", "hb_age_sec"} <= set(ready.body)


def test_overview(curl: Caller) -> None:
    overview = body(curl.get("/api/ui/status/overview"))
    assert overview["overall"] in {"OK", "WARN", "ERROR", "HOLD"}
    assert overview["mode"] == "HOLD"


def test_state_shows_the_flags(curl: Caller) -> None:
    flags = body(curl.get("/api/ui/state"))["flags"]
    assert {name: flags[name] for name in ("MODE", "SAFE_MODE", "POST_ONLY", "REDUCE_ONLY", "ENV")} == {
        "MODE": "HOLD",
        "SAFE_MODE": True,
        "POST_ONLY": False,
        "REDUCE_ONLY": False,
        "ENV": "paper",
    }


def test_every_venue_is_connected(curl: Caller) -> None:
    rows = body(curl.get("/api/deriv/status"))["venues"]
    assert {(row["venue"], row["connected"]) for row in rows} == {
        ("binanceusdm", True),
        ("bybit", True),
        ("okx", True),
    }
    assert [row["venue"] for row in rows if row["instruments"]] == ["binanceusdm", "okx"]  # those of a pair
    for row in rows:
        assert all(i["position_mode"] == "one_way" and i["leverage"] == 10 for i in row["instruments"])


CHECKS = {
    "connectivity": 2,
    "clock": 2,
    "book": 2,
    "filters": 2,
    "balance": 2,
    "position_mode": 2,
    "setup": 2,
    "permissions": 2,
    "maintenance": 2,
    "edge": 1,
}


def test_preview_gives_a_priced_plan_with_all_checks(alice: Caller) -> None:
    # The half minute around a funding instant is not for opening: the only check that knows the time.
    preview = until("a viable preview", lambda: _viable(alice.post("/api/arb/preview", symbol="BTCUSDT")))
    names = [check["name"].partition(".")[0] for check in preview["checks"]]
    assert {name: names.count(name) for name in CHECKS} == CHECKS
    assert {check["class"] for check in preview["checks"]} == {"system", "opportunity", "mode"}
    assert all(check["detail"] for check in preview["checks"])
    plan = preview["plan"]
    assert {leg["venue"] for leg in plan["legs"]} == {"binanceusdm", "okx"}
    assert {leg["side"] for leg in plan["legs"]} == {"buy", "sell"}
    assert len({leg["qty"] for leg in plan["legs"]}) == 1
    assert plan["id"]
    assert plan["digest"]
    assert plan["steps"]
    assert plan["rescue"]
    assert not preview["executable"]
    assert {"safe_mode", "approval"} <= set(preview["blocked_by"])


def _viable(reply: Reply) -> Reply | None:
    return body(reply) if reply["viable"] else None


def test_curl_of_the_runbook_needs_no_login_on_loopback(curl: Caller) -> None:
    assert body(curl.get("/api/arb/preview"))["plan"]["pair"] == "BTCUSDT"


@pytest.mark.parametrize("header", ["X_Forwarded_For", "Forwarded", "X_Real_IP", "Via"])
def test_behind_a_proxy_it_does(curl: Caller, header: str) -> None:
    refused = curl.get("/api/arb/preview", **{header: "127.0.0.1"})
    assert (refused.status, refused["code"]) == (401, "auth.required")
    assert "plan" not in refused.body


def test_writing_always_does(curl: Caller) -> None:
    assert curl.post("/api/arb/preview", symbol="BTCUSDT").status == 401
    assert curl.post("/api/ui/hold").status == 401
