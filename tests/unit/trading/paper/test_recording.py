"""The recorded two-venue minutes, as the data folder's README measures them."""

from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.unit.trading.paper.recordings import recording
from trading.paper.instruments import BINANCE, BYBIT, OKX
from trading.paper.recording import MINUTE_MS, RecordedMarket, recorded_edges

D = Decimal
START_MS = 1_735_689_600_000


@pytest.fixture(scope="module")
def lean() -> Path:
    return recording("lean/cryptofuture")


def test_edges_are_those_of_the_readme(lean: Path) -> None:
    edges = recorded_edges(lean)
    sell_first = [edge.sell_first_bps for edge in edges]
    assert len(edges) == 398
    assert round(sum(sell_first) / len(edges), 1) == D("3.7")
    assert round(max(sell_first), 1) == D("9.7")
    assert all(edge.sell_first_bps + edge.sell_second_bps < 0 for edge in edges)


def test_the_command_prints_them_beside_the_readmes(lean: Path) -> None:
    said = StringIO()
    call_command("recording_edges", str(lean), stdout=said)
    lines = [" ".join(line.split()) for line in said.getvalue().splitlines()]
    assert "binance btcusd bybit btcusd 398 +3.68 +9.71 mean +3.7, max +9.7" in lines
    assert "binance btcusd bybit btcusdt 402 +6.42 +14.79 max +14.8" in lines
    assert len([line for line in lines if " btcusd" in line]) == 4  # both ways


def test_the_command_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="two venue folders"):
        call_command("recording_edges", str(tmp_path))


def test_a_minutes_close_holds_for_that_minute(lean: Path) -> None:
    market = RecordedMarket(lean, start_ms=START_MS)
    ladder = market.ladder("binanceusdm", BINANCE[0], START_MS)
    assert (ladder.bids[0][0], ladder.asks[0][0]) == (D("17207.5"), D("17207.6"))
    assert ladder.bids[0][1] == D("9.094")  # 1565 contracts of 100 USD
    assert market.ladder("binanceusdm", BINANCE[0], START_MS + MINUTE_MS - 1) is ladder
    assert market.ladder("binanceusdm", BINANCE[0], START_MS + MINUTE_MS).bids[0][0] == D("17219.8")
    assert market.ladder("okx", OKX[0], START_MS).asks[0][0] == D("17210.5")


def test_a_third_venue_quotes_as_the_second_recorded_one(lean: Path) -> None:
    market = RecordedMarket(lean, start_ms=START_MS)
    second, third = market.ladder("okx", OKX[0], START_MS), market.ladder("bybit", BYBIT[0], START_MS)
    assert [(side[0][0]) for side in (third.bids, third.asks)] == [
        side[0][0] for side in (second.bids, second.asks)
    ]
    assert third.asks[0][1] % BYBIT[0].lot == 0 < third.asks[0][1]
    rates = {market.funding_rate(venue, "BTC", START_MS) for venue in ("okx", "bybit")}
    assert len(rates) == 1


def test_speed_and_jumps(lean: Path) -> None:
    market = RecordedMarket(lean, start_ms=START_MS, speed=60)
    assert market.minute(START_MS + 10_000) == 10
    market.jump(700, now_ms=START_MS + 10_000)
    assert market.minute(START_MS + 12_000) == 702


def test_after_its_end_a_venue_keeps_its_last_quote_and_says_so(
    lean: Path, caplog: pytest.LogCaptureFixture
) -> None:
    market = RecordedMarket(lean, start_ms=START_MS)
    after = START_MS + 13 * 60 * MINUTE_MS
    assert market.ladder("okx", OKX[0], after).bids[0][0] == D("17449")
    assert market.ladder("okx", OKX[0], after + MINUTE_MS).bids[0][0] == D("17449")
    assert [r.getMessage() for r in caplog.records] == [
        "recording of okx ended at minute 720: its last quote stays"
    ]


def test_funding_is_the_recorded_days(lean: Path) -> None:
    market = RecordedMarket(lean, start_ms=START_MS)
    assert market.funding_rate("binanceusdm", "BTC", START_MS) == D("-0.00004062")
    assert market.funding_rate("okx", "BTC", START_MS + 8 * 3_600_000) == D("-0.00035916")


def test_a_folder_that_is_no_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two venue folders"):
        recorded_edges(tmp_path)
