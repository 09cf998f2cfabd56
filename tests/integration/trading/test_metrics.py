"""Every exported series is documented, and every documented one exported, by a desk that has everything."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client

from ops import audit, status
from ops.config import versions
from ops.heartbeat import beat, expected
from tests import factories
from tests.in_process import paper_venues
from trading import watch
from trading.models import Execution

DOCUMENT = settings.BASE_DIR / "docs" / "metrics.md"


@pytest.fixture
def scrape(db: None, tmp_path: Path) -> Iterator[str]:
    from django.utils import timezone

    factories.make_desk()
    for role in expected():
        beat(role, started_at=timezone.now(), health={"loop_age_sec": 0.1})
    audit.append_system(
        action="trading.execute", verdict="skipped", after={"reason": "risk.max_notional", "cap": "x"}
    )
    Execution.objects.create(
        plan_id="6f9619ff-8b86-d011-b42d-00cf4fc964ff", state="SETTLED", symbol="BTC/USDT:USDT",
        policy="simultaneous", dry_run=True, plan={}, plan_digest="d", config_version=1, fence=1,
    )  # fmt: skip
    watch.forget()
    status.forget()
    with paper_venues(tmp_path, seed=1):
        reply = Client().get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
        assert reply.status_code == 200
        assert reply["Content-Type"].startswith("text/plain; version=")
        yield reply.content.decode()
    watch.forget()
    status.forget()
    versions.forget()


def exported(text: str) -> dict[str, str]:
    """Name and type of each family that the scrape has, with its own suffix."""
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))


def documented() -> dict[str, str]:
    return dict(re.findall(r"^\| `(cryptobot_\w+)` \| (\w+) \|", DOCUMENT.read_text(), re.M))


def test_names_and_types_are_the_documented_ones(scrape: str) -> None:
    assert exported(scrape) == documented()


def test_nothing_failed(scrape: str) -> None:
    assert re.findall(r'cryptobot_scrape_failed\{source="(\w+)"\} 1.0', scrape) == []


def test_values(scrape: str) -> None:
    lines = scrape.splitlines()
    for line in (
        'cryptobot_mode{mode="HOLD"} 1.0',
        'cryptobot_mode{mode="RUN"} 0.0',
        "cryptobot_safe_mode 1.0",
        "cryptobot_leader 1.0",
        "cryptobot_config_version 1.0",
        f"cryptobot_audit_head {float(audit.last_seq())}",
        'cryptobot_gate_denials_total{reason="risk.max_notional"} 1.0',
        'cryptobot_executions{dry_run="true",state="SETTLED"} 1.0',
        'cryptobot_venue_up{venue="okx"} 1.0',
        'cryptobot_component_score{component="process.web",group="P0"} 1.0',
    ):
        assert line in lines
