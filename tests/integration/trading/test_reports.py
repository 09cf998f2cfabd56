"""Profit by day, pair and venue, and the loss of today: from the ledger's rows, in the zone asked for."""

import csv
import io
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from tests import factories
from tests.in_process import Caller
from tests.integration.trading.execution.books import accepted_break
from trading.config import ReportsConfig
from trading.domain import ledger, pnl
from trading.domain.ledger import EntryKind, Trade
from trading.domain.market import Side
from trading.ledger import reports
from trading.ledger.daily import UnknownLoss, loss_today
from trading.ledger.posting import post, post_adjustment
from trading.models import Position

D = Decimal
A, B = "binanceusdm", "okx"
BTC, SOL = "BTC/USDT:USDT", "SOL/USDT:USDT"
BERLIN, UTC_ZONE = ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")
LATE = datetime(2026, 11, 22, 23, 30, tzinfo=UTC)  # half past midnight in Berlin: its 23rd
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = date(2026, 11, 23)


@pytest.fixture(autouse=True)
def desk(db: None) -> None:
    factories.make_desk()


class Trader:
    """Fills on one instrument, booked as the execution worker does."""

    def __init__(self, venue: str, symbol: str = BTC) -> None:
        self.venue, self.symbol, self.held, self.number = venue, symbol, pnl.FLAT, 0

    def trade(
        self, side: str, qty: str, price: str, *, at: datetime, fee: str = "0", currency: str = "USDT"
    ) -> None:
        self.number += 1
        before, step = self.held, Side(side)
        self.held = pnl.apply_fill(before, side=step, qty=D(qty), price=D(price), fee=D(fee))
        trade = Trade(
            venue=self.venue,
            symbol=self.symbol,
            trade_id=str(self.number),
            side=step,
            qty=D(qty),
            fee=D(fee),
            fee_currency=currency,
            at=at,
            before=before,
            after=self.held,
        )
        post(ledger.of_fill(trade))
        Position.objects.update_or_create(
            venue=self.venue,
            symbol=self.symbol,
            defaults={"net": self.held.net, "cost": self.held.cost, "realised": self.held.realised},
        )


def funded(venue: str, amount: str, at: datetime) -> None:
    entry = ledger.of_bill(
        EntryKind.FUNDING,
        venue=venue,
        bill_id=f"f{at:%H%M}",
        symbol=BTC,
        currency="USDT",
        amount=D(amount),
        fee=D(0),
        at=at,
    )
    post(entry)


@pytest.fixture
def two_days() -> None:
    """Late on the 22nd (UTC) 100 is earned on A; on the 23rd 7 is lost on B, and fees and funding come."""
    one, two = Trader(A), Trader(B, SOL)
    one.trade("buy", "1", "60000", at=LATE)
    one.trade("sell", "1", "60100", at=LATE, fee="2.5")
    two.trade("sell", "1", "150", at=NOON, fee="0.001", currency="BNB")
    two.trade("buy", "1", "157", at=NOON)
    funded(B, "0.25", NOON)


def nets(report: reports.Report) -> Mapping[tuple[str, ...], Decimal]:
    return {(*row.key, row.currency): row.money.net for row in report.rows}


def test_a_day_begins_at_the_zone_s_own_midnight(two_days: None) -> None:
    in_utc = reports.pnl(since=DAY, until=DAY, zone=UTC_ZONE, by=["venue"])
    in_berlin = reports.pnl(since=DAY, until=DAY, zone=BERLIN, by=["venue"])
    assert nets(in_utc) == {(B, "USDT"): D("-6.75"), (B, "BNB"): D("-0.001")}
    assert nets(in_berlin) == {**nets(in_utc), (A, "USDT"): D("97.5")}


def test_every_grouping_adds_up_to_the_same(two_days: None) -> None:
    since = date(2026, 11, 1)
    for by in (reports.BY, (), ("day",), ("pair", "venue"), ("strategy",)):
        totals = reports.pnl(since=since, until=DAY, zone=UTC_ZONE, by=by).totals()
        assert {currency: money.net for currency, money in totals.items()} == {
            "USDT": D("90.75"),
            "BNB": D("-0.001"),
        }
        assert totals["USDT"].fees == D("-2.5")
        assert totals["USDT"].funding == D("0.25")
        assert totals["USDT"].realised == D(93)


def test_days_and_pairs_are_rows_of_their_own(two_days: None) -> None:
    report = reports.pnl(since=date(2026, 11, 22), until=DAY, zone=UTC_ZONE, by=["pair", "day"])
    assert nets(report) == {
        ("2026-11-22", BTC, "USDT"): D("97.5"),
        ("2026-11-23", BTC, "USDT"): D("0.25"),
        ("2026-11-23", SOL, "USDT"): D("-7"),
        ("2026-11-23", SOL, "BNB"): D("-0.001"),
    }


def run(*words: str) -> str:
    out = io.StringIO()
    call_command("report", "daily", *words, stdout=out)
    return out.getvalue()


def test_the_daily_report_in_three_formats(two_days: None) -> None:
    told = json.loads(run("--date", "2026-11-23", "--zone", "utc", "--format", "json"))
    assert (told["from"], told["to"], told["zone"]) == ("2026-11-23", "2026-11-23", "UTC")
    assert {row["currency"]: row["net"] for row in told["totals"]} == {"USDT": "-6.75", "BNB": "-0.001"}
    rows = list(csv.DictReader(io.StringIO(run("--date", "2026-11-23", "--format", "csv"))))
    assert {(r["pair"], r["currency"]): r["net"] for r in rows} == {
        (BTC, "USDT"): "0.25",
        (SOL, "USDT"): "-7",
        (SOL, "BNB"): "-0.001",
    }
    assert "-6.75" in run("--date", "2026-11-23")
    assert "nothing was booked" in run("--date", "2020-01-01")
    with pytest.raises(CommandError, match="yesterday"):
        run("--date", "yesterday")


def test_a_viewer_reads_the_report(two_days: None) -> None:
    viewer = Caller(factories.person("victor"))
    answer = viewer.get("/api/reports/pnl?from=2026-11-22&to=2026-11-23&by=venue&zone=utc")
    assert answer.status == 200
    assert {(r["venue"], r["currency"]): r["net"] for r in answer["rows"]} == {
        (A, "USDT"): "97.5",
        (B, "USDT"): "-6.75",
        (B, "BNB"): "-0.001",
    }
    text = viewer.get("/api/reports/pnl?from=2026-11-23&zone=utc&format=csv")
    assert text.headers["content-type"] == "text/csv; charset=utf-8"
    assert text.body.splitlines()[0].startswith("day,pair,strategy,venue,currency,realised")
    assert len(text.body.splitlines()) == 4


@pytest.mark.parametrize(
    "query",
    [
        "from=x",
        "to=2026-02-30",
        "zone=mars",
        "by=hour",
        "format=xml",
        "from=2026-11-24&to=2026-11-23",
        "from=2020-01-01&to=2026-01-01",
        "to=9999-12-31",
    ],
)
def test_what_is_asked_wrongly_is_named(query: str) -> None:
    answer = Caller(factories.person("victor")).get(f"/api/reports/pnl?{query}")
    assert (answer.status, answer["code"]) == (422, "filter.invalid")


def test_who_has_no_role_reads_nothing() -> None:
    assert Caller(factories.person("otto")).get("/api/reports/pnl").status == 403
    assert Client().get("/api/reports/pnl").status_code in {401, 403}


# --- the loss of today ----------------------------------------------------------------


def test_the_loss_is_booked_and_unrealised(two_days: None) -> None:
    trader = Trader("bybit")
    trader.trade("buy", "2", "60000", at=NOON, fee="3")
    marks = {("bybit", BTC): D("59990")}
    rates = {"BNB": D(600)}
    lost = D("6.75") + D("0.6") + D(3) + D(20)
    assert loss_today(UTC_ZONE, marks=marks, rates=rates, now=NOON) == lost
    assert loss_today(BERLIN, marks=marks, rates=rates, now=NOON) == lost - D("97.5")


def test_a_position_carried_over_midnight_counts_from_its_mark_then() -> None:
    trader = Trader(A)
    trader.trade("sell", "1", "60000", at=LATE)
    then, now = {(A, BTC): D("60500")}, {(A, BTC): D("60450")}
    assert loss_today(UTC_ZONE, marks=now, now=NOON) == D(450)
    assert loss_today(UTC_ZONE, marks=now, opening_marks=then, now=NOON) == D(-50)
    trader.trade("buy", "1", "60600", at=NOON)
    assert loss_today(UTC_ZONE, marks={}, opening_marks=then, now=NOON) == D(100)


def test_an_unknown_loss_is_not_nothing() -> None:
    trader = Trader(A)
    trader.trade("buy", "1", "60000", at=NOON, fee="0.1", currency="BNB")
    with pytest.raises(UnknownLoss, match=BTC):
        loss_today(UTC_ZONE, marks={}, now=NOON)
    with pytest.raises(UnknownLoss, match="BNB"):
        loss_today(UTC_ZONE, marks={(A, BTC): D(60000)}, now=NOON)


def test_yesterday_s_loss_is_not_today_s() -> None:
    accepted_break(A, "1")
    post_adjustment("1", venue=A, currency="USDT", amount=D(-5), at=LATE, detail="accepted")
    assert loss_today(UTC_ZONE, marks={}, now=NOON) == 0
    assert loss_today(BERLIN, marks={}, now=NOON) == D(5)


# --- the desk's zone --------------------------------------------------------------------


def test_the_desk_s_zone_is_checked() -> None:
    assert ReportsConfig(zone="Europe/Berlin").zone == "Europe/Berlin"
    for name in ("Mars/Olympus", "../etc/passwd", "Europe", ""):
        with pytest.raises(ValueError, match="no time zone"):
            ReportsConfig(zone=name)
