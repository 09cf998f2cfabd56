"""Runbook "Pre-trade risk gate": over a cap the answer is 200, skipped, the reason and the cap; no order."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings

from cryptobot.demo.venues import until
from tests.in_process import Caller, Reply, fresh_desk, paper_venues
from trading.models import Execution, OrderIntent
from trading.paper.server import PaperVenues

People = dict[str, Caller]


@pytest.fixture(scope="module")
def venues(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PaperVenues]:
    with paper_venues(tmp_path_factory.mktemp("venues")) as running:
        yield running


@pytest.fixture
def people(venues: PaperVenues, db: None) -> People:
    """On a desk that would trade: RUN, SAFE_MODE off."""
    people = fresh_desk()
    agreed(people, "/api/v1/actions/ops.safe_mode", enabled=False, reason="test")
    agreed(people, "/api/ui/resume_request", reason="test")
    return people


def agreed(people: People, path: str, /, **body: Any) -> Reply:
    """Asked by alice, approved by bob: the answer to bob."""
    asked = people["alice"].post(path, **body)
    assert asked.status == 202, asked.body
    request = asked["approval"]
    return people["bob"].post(f"/api/ui/approvals/{request['id']}/approve", digest=request["digest"])


def execute(people: People) -> Reply:
    def viable() -> Reply | None:
        preview = people["alice"].post("/api/arb/preview", symbol="BTCUSDT")
        return preview if preview["viable"] else None

    plan = until("a viable plan", viable)["plan"]
    return agreed(people, "/api/arb/execute", plan_id=plan["id"], digest=plan["digest"], reason="test")


@pytest.mark.parametrize(
    ("caps", "reason", "cap"),
    [
        ({"max_total_notional_usdt": Decimal(100)}, "risk.max_notional", "max_total_notional_usdt"),
        ({"max_open_positions": 1}, "risk.max_open_positions", "max_open_positions"),
    ],
)
def test_over_a_cap_nothing_is_sent(
    people: People,
    venues: PaperVenues,
    monkeypatch: pytest.MonkeyPatch,
    caps: dict[str, Any],
    reason: str,
    cap: str,
) -> None:
    env = settings.ENV.model_copy(update={"risk_checks_enabled": True} | caps)
    monkeypatch.setattr(settings, "ENV", env)
    answer = execute(people)
    assert answer.status == 200
    assert {name: answer[name] for name in ("status", "reason", "cap")} == {
        "status": "skipped",
        "reason": reason,
        "cap": cap,
    }
    assert not Execution.objects.exists()
    assert not OrderIntent.objects.exists()
    assert not any(venue.engine.orders for venue in venues.venues.values())


def test_without_the_flag_the_caps_block_nothing(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    env = settings.ENV.model_copy(update={"max_total_notional_usdt": Decimal(100)})
    monkeypatch.setattr(settings, "ENV", env)
    answer = execute(people)
    assert (answer.status, answer["status"]) == (202, "accepted")
    assert OrderIntent.objects.count() == 2


def test_preview_shows_the_headroom_and_stays_viable(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate itself answers at execution (spec 4.5)."""
    caps = {"risk_checks_enabled": True, "max_total_notional_usdt": Decimal(100)}
    monkeypatch.setattr(settings, "ENV", settings.ENV.model_copy(update=caps))
    risk = people["alice"].post("/api/arb/preview", symbol="BTCUSDT")["risk"]
    assert risk["enabled"]
    assert risk["cap_max_total_notional_usdt"] == "100"
    assert Decimal(risk["plan_notional_usdt"]) > 100
