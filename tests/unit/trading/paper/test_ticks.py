"""Recorded depth: a small file written here, and the real window where it is."""

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.unit.trading.paper.recordings import recording
from trading.paper.instruments import BINANCE, OKX
from trading.paper.market import LEVELS, STEP_MS
from trading.paper.recording import RecordedMarket
from trading.paper.ticks import TickMarket, read_frames, tick_files

D = Decimal
BTC, SWAP = (next(i for i in row if i.base == "BTC") for row in (BINANCE, OKX))
START_MS = 1_735_689_600_000


def depth(at_ms: int, first: int, last: int, bids: Any = (), asks: Any = ()) -> str:
    data = {"e": "depthUpdate", "E": at_ms, "U": first, "u": last, "b": bids, "a": asks}
    return f"1 {json.dumps({'stream': 'btcusdt@depth@0ms', 'data': data}, separators=(',', ':'))}"


def snapshot(at_ms: int, number: int, bids: Any, asks: Any) -> str:
    row = {"lastUpdateId": number, "E": at_ms, "bids": bids, "asks": asks}
    return f"1 {json.dumps(row, separators=(',', ':'))}"


def write(folder: Path, kind: str, *lines: str) -> Path:
    file = folder / f"{kind}_btcusdt_20240808.gz"
    file.write_bytes(gzip.compress("\n".join(lines).encode()))
    return file


WINDOW = (
    depth(1_000, 1, 5, [["99.0", "9"]]),  # older than the snapshot: known to it
    depth(1_100, 6, 12, [["100.0", "2"]]),  # reaches beyond it
    snapshot(1_050, 10, [["100.0", "1"], ["99.5", "3"]], [["101.0", "1"]]),
    depth(1_250, 13, 14, [["99.5", "0"]], [["100.5", "4"]]),
    depth(1_900, 15, 15, [], [["100.5", "0"]]),
)


def test_differences_before_the_snapshot_are_laid_over_it(tmp_path: Path) -> None:
    frames = read_frames(write(tmp_path, "usdm", *WINDOW))
    assert frames[1_000 // STEP_MS] == ([("100.0", "2"), ("99.5", "3")], [("101.0", "1")])
    assert frames[1_250 // STEP_MS] == ([("100.0", "2")], [("100.5", "4"), ("101.0", "1")])
    assert frames[1_900 // STEP_MS] == ([("100.0", "2")], [("101.0", "1")])


def test_no_snapshot(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no depth snapshot"):
        read_frames(write(tmp_path, "usdm", depth(1_000, 1, 2)))


def test_the_book_goes_on_with_the_clock_and_stays_at_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for kind in ("usdm", "spot"):
        write(tmp_path, kind, *WINDOW)
    market = TickMarket(tmp_path, start_ms=START_MS, speed=2)
    first = market.ladder("binanceusdm", BTC, START_MS)
    assert (first.bids[0], first.asks[0], first.mark) == ((D("100.0"), D(2)), (D("101.0"), D(1)), D("100.5"))
    assert market.ladder("binanceusdm", BTC, START_MS + 50) is first, "the same object while nothing changes"
    assert market.ladder("binanceusdm", BTC, START_MS + 100).asks[0][0] == D("100.5"), "twice as fast"
    assert market.ladder("binanceusdm", BTC, START_MS + 60_000).asks[0][0] == D("101.0")
    assert "recording ended" in caplog.text


@pytest.mark.parametrize("kinds", [(), ("usdm",)])
def test_a_folder_that_is_no_recording(tmp_path: Path, kinds: tuple[str, ...]) -> None:
    for kind in kinds:
        write(tmp_path, kind, *WINDOW)
    market = TickMarket if tick_files(tmp_path) else RecordedMarket
    with pytest.raises(ValueError, match=r"usdm_\*\.gz and spot_\*\.gz"):
        market(tmp_path, start_ms=START_MS)


@pytest.fixture(scope="module")
def real() -> TickMarket:
    return TickMarket(recording("hftbacktest"), start_ms=START_MS)


def test_the_real_window(real: TickMarket) -> None:
    """Spot over perpetual as its README has it: mean 3.7 bps, at most 6.8."""
    assert real.steps * STEP_MS / 1000 == pytest.approx(343, abs=4)
    gaps = []
    for step in range(real.steps):
        now = START_MS + step * STEP_MS
        perp, spot = real.ladder("binanceusdm", BTC, now), real.ladder("okx", SWAP, now)
        assert len(perp.bids) == len(perp.asks) == LEVELS
        assert perp.bids[0][0] < perp.asks[0][0]
        gaps.append((spot.mark - perp.mark) / perp.mark * 10_000)
    assert float(sum(gaps) / len(gaps)) == pytest.approx(3.7, abs=0.15)
    jumps = [gap for gap in gaps if gap > 7]  # in one book a moment before the other
    assert len(jumps) <= len(gaps) / 500
