"""Print the statistics of a recording that the generator's constants were taken from.

    python -m trading.paper.calibrate <hftbacktest *.gz | Lean cryptofuture folder>

Figures in floats: nobody trades on them. Which of them went where: docs/paper-venues.md.
"""

import gzip
import itertools
import json
import math
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from trading.paper.recording import MINUTE_MS, Quote, read_folder, recorded_edges

Top = tuple[float, float, float, float]  # bid, its size, ask, its size


def main(argv: Sequence[str]) -> int:
    if len(argv) != 1 or not Path(argv[0]).exists():
        print(__doc__, file=sys.stderr)
        return 2
    path = Path(argv[0])
    figures = lean_figures(path) if path.is_dir() else stream_figures(path)
    for name, value in figures:
        print(f"{name:<44} {value:.3f}")
    return 0


def lean_figures(path: Path) -> Iterator[tuple[str, float]]:
    """Edges and basis of two venues, bps."""
    found = recorded_edges(path)
    sell_first = [float(edge.sell_first_bps) for edge in found]
    yield "common minutes", len(found)
    yield "edge sell first, buy second: mean bps", statistics.mean(sell_first)
    yield "edge sell first, buy second: max bps", max(sell_first)
    yield "edge sell second, buy first: max bps", max(float(edge.sell_second_bps) for edge in found)
    first, second = read_folder(path)
    basis = {m: 1e4 * math.log(_mid(first[m]) / _mid(second[m])) for m in first.keys() & second.keys()}
    yield "basis: root mean square bps", math.sqrt(statistics.mean(b * b for b in basis.values()))
    for lag in (1, 10, 30):
        moves = [basis[m + lag] - basis[m] for m in basis if m + lag in basis]
        yield f"basis: sd of change over {lag} min, bps", statistics.pstdev(moves)
    returns = [1e4 * math.log(_mid(first[m + 1]) / _mid(first[m])) for m in first if m + 1 in first]
    yield "mid: sd of return over 60 s, bps", statistics.pstdev(returns)


def _mid(quote: Quote) -> float:
    return float(quote.bid + quote.ask) / 2


def stream_figures(path: Path) -> Iterator[tuple[str, float]]:
    """Volatility, touch and depth of one Binance stream."""
    tops = list(read_tops(path))
    for step_ms in (200, 1_000, 5_000, MINUTE_MS):
        mids = [(top[0] + top[2]) / 2 for top in _sampled(tops, step_ms)]
        returns = [1e4 * math.log(b / a) for a, b in itertools.pairwise(mids)]
        yield f"mid: sd of return over {step_ms / 1000:g} s, bps", statistics.pstdev(returns)
    seconds = _sampled(tops, 1_000)
    yield "spread: median", statistics.median(top[2] - top[0] for top in seconds)
    yield "size of the best bid: median", statistics.median(top[1] for top in seconds)
    yield "size of the best bid: mean", statistics.mean(top[1] for top in seconds)
    for side, levels in read_snapshot(path).items():
        for bps in (1, 2, 5, 10):
            within = [qty for price, qty in levels if abs(price / levels[0][0] - 1) * 1e4 <= bps]
            yield f"{side} within {bps} bps", sum(within)


def _lines(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """(local ms, message) of a `<local ns> <json>` file."""
    with gzip.open(path, "rt") as file:
        for line in file:
            stamp, _, text = line.partition(" ")
            yield int(stamp) // 1_000_000, json.loads(text)


def read_tops(path: Path) -> Iterator[tuple[int, Top]]:
    for at_ms, message in _lines(path):
        data = message.get("data")
        if isinstance(data, dict) and str(message.get("stream")).endswith("@bookTicker"):
            yield at_ms, (float(data["b"]), float(data["B"]), float(data["a"]), float(data["A"]))


def read_snapshot(path: Path) -> dict[str, list[tuple[float, float]]]:
    """The REST depth snapshot inside the stream: {"bids": [(price, quantity)], "asks": ...}."""
    message = next(message for _, message in _lines(path) if "lastUpdateId" in message)
    return {
        side: [(float(price), float(qty)) for price, qty in rows]
        for side, rows in message.items()
        if side in ("bids", "asks") and isinstance(rows, list)
    }


def _sampled(tops: Sequence[tuple[int, Top]], step_ms: int) -> list[Top]:
    """The top that held at each multiple of `step_ms`."""
    sampled, at_ms = [], tops[0][0]
    for (_, top), (next_ms, _) in itertools.pairwise(tops):
        while at_ms < next_ms:
            sampled.append(top)
            at_ms += step_ms
    return sampled


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
