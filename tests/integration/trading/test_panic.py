"""Out with nothing but the venues: no database is asked, and the next start knows what was done."""

import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import settings

from ops.models import AuditEntry, DeskState, HoldCause, Incident
from tests import factories
from tests.in_process import paper_venues
from tests.integration.trading.execution.bench import A, B, Bench
from tests.integration.trading.execution.test_kill_switch import rest, resting
from trading import panic, panic_import
from trading.paper import orders as paper

ROOT = Path(__file__).parents[3]


@pytest.fixture
def venues(tmp_path: Path) -> Iterator[Bench]:
    with paper_venues(tmp_path) as paper_process:
        bench = Bench(paper_process)
        bench.pin()
        yield bench


def run(venues: Bench, *arguments: str) -> tuple[int, str]:
    """As somebody at the machine does, with neither PostgreSQL nor Valkey to be had."""
    environ = os.environ | {
        "DATA_DIR": str(venues.paper.data_dir),
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "EXCHANGE_PROFILE": "paper",
        "AUDIT_HMAC_KEY": settings.AUDIT_HMAC_KEY,
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "panic", *arguments],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def hold(venues: Bench, venue: str, qty: str) -> None:
    side = paper.Side.BUY if Decimal(qty) > 0 else paper.Side.SELL
    new = paper.NewOrder(
        "BTC", side, abs(Decimal(qty)), None, paper.TimeInForce.IOC, False, f"cbheld{venue[:2]}"
    )
    venues.paper[venue].engine.place(new)


def test_it_cancels_and_flattens_with_the_database_and_the_broker_gone(venues: Bench) -> None:
    for venue in (A, B):
        rest(venues, venue, 3)
        rest(venues, venue, 1, prefix="zz")
    hold(venues, A, "0.5")
    hold(venues, B, "-0.3")
    code, said = run(venues, "--flatten")
    assert code == 0, said
    assert "confirmed by the venues" in said
    for venue in (A, B):
        assert venues.net(venue) == 0
        assert resting(venues, venue) == 1, "somebody else's"


def test_one_venue_and_cancels_only(venues: Bench) -> None:
    for venue in (A, B):
        rest(venues, venue, 2)
    hold(venues, A, "0.5")
    code, said = run(venues, "--venue", A)
    assert code == 0, said
    assert (resting(venues, A), resting(venues, B), venues.net(A)) == (0, 2, Decimal("0.5"))
    code, said = run(venues, "--venue", "mtgox")
    assert (code, "there are: binanceusdm" in said) == (2, True), said


def test_what_the_venues_do_not_confirm_is_said(venues: Bench) -> None:
    rest(venues, A, 2)
    venues.fault(A, "venue_down", "any")
    code, said = run(venues, "--flatten")
    assert code == 1, said
    assert "UNVERIFIED" in said


@pytest.mark.django_db
def test_the_next_start_takes_it_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    factories.make_desk()
    monkeypatch.setattr(settings, "ENV", settings.ENV.model_copy(update={"data_dir": tmp_path}))
    journal = panic.Journal(tmp_path / panic.LOG, settings.AUDIT_HMAC_KEY, lambda _: None)
    journal.write("panic", venues="okx")
    panic.Journal(tmp_path / panic.LOG, settings.AUDIT_HMAC_KEY, lambda _: None).write("flat", venue="okx")
    panic_import.take_over()
    entries = AuditEntry.objects.filter(action="trading.panic").order_by("seq")
    assert [(e.target, e.verdict) for e in entries] == [("panic", "imported"), ("flat", "imported")]
    assert HoldCause.objects.filter(source="panic", state="open").exists()
    assert Incident.objects.get(code="desk.panic").severity == "P0"
    assert DeskState.objects.get(pk=1).mode == "HOLD"
    panic_import.take_over()
    assert entries.count() == 2, "once"


@pytest.mark.django_db
def test_a_line_that_was_changed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    factories.make_desk()
    monkeypatch.setattr(settings, "ENV", settings.ENV.model_copy(update={"data_dir": tmp_path}))
    log = tmp_path / panic.LOG
    journal = panic.Journal(log, settings.AUDIT_HMAC_KEY, lambda _: None)
    for venue in ("okx", "bybit"):
        journal.write("flat", venue=venue)
    log.write_text(log.read_text().replace("okx", "kox"))
    panic_import.take_over()
    verdicts = list(
        AuditEntry.objects.filter(action="trading.panic").order_by("seq").values_list("verdict", flat=True)
    )
    assert verdicts == ["seal broken", "imported"]
    assert "1 of them do not hold" in HoldCause.objects.get(source="panic").reason
