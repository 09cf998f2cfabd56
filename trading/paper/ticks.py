"""A recorded market: raw Binance depth of one window (hftbacktest's `usdm_*.gz` and `spot_*.gz`).

Lines are `<local ns> <json>`: differences, trades, best quotes, and somewhere among them a REST snapshot; the
differences before it are kept and those it does not know yet applied to it. Time is the venue's own `E`: the
recording host's clock was 1.27 s off. The perpetual plays Binance, spot plays OKX and Bybit, who then quote
alike; the instrument is BTC. Kept in memory as the books' best levels at each market step. After the last
step the book stays and the log says so.
"""

import gzip
import heapq
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Any

from trading.paper.instruments import Instrument
from trading.paper.market import LEVELS, STEP_MS, Ladder, Levels

log = logging.getLogger(__name__)

PLAYED_BY = {"binanceusdm": "usdm", "okx": "spot", "bybit": "spot"}
MINUTE_MS = 60_000
Rows = list[tuple[str, str]]
Frame = tuple[Rows, Rows]  # bids and asks, best first, as recorded


@dataclass(slots=True)
class _Book:
    bids: dict[str, str] = field(default_factory=dict)
    asks: dict[str, str] = field(default_factory=dict)

    def apply(self, message: Mapping[str, Any], bids: str, asks: str) -> None:
        for side, rows in ((self.bids, message[bids]), (self.asks, message[asks])):
            for price, qty in rows:
                if float(qty):
                    side[price] = qty
                else:
                    side.pop(price, None)

    def best(self) -> Frame:
        """Twice as many as are shown: coarser ticks merge some."""
        bids = heapq.nlargest(2 * LEVELS, self.bids, key=float)
        asks = heapq.nsmallest(2 * LEVELS, self.asks, key=float)
        return [(p, self.bids[p]) for p in bids], [(p, self.asks[p]) for p in asks]


def tick_files(folder: Path) -> dict[str, Path]:
    """The first file of each kind there is; empty when the folder holds none."""
    found = {kind: sorted(folder.glob(f"{kind}_*.gz")) for kind in set(PLAYED_BY.values())}
    return {kind: files[0] for kind, files in found.items() if files}


def read_frames(file: Path) -> dict[int, Frame]:
    """By market step (`E` // STEP_MS) of the venue's clock, the book after the step's last change.

    Raises:
        ValueError: when there is no snapshot in it.
    """
    frames: dict[int, Frame] = {}
    book, step = _Book(), 0
    for message in _changes(file):
        if message["E"] // STEP_MS != step and step:
            frames[step] = book.best()
        step = message["E"] // STEP_MS
        book.apply(message, "b", "a")
    if not step:
        raise ValueError(f"{file}: no depth snapshot among the recorded lines")
    frames[step] = book.best()
    return frames


def _changes(file: Path) -> Iterator[dict[str, Any]]:
    """The snapshot as a first difference, then all differences that it does not contain."""
    early: list[dict[str, Any]] = []
    snapshot: dict[str, Any] | None = None
    with gzip.open(file, "rt") as lines:
        for line in lines:
            if "lastUpdateId" in line[:60]:
                snapshot = json.loads(line.partition(" ")[2])
                stamp = snapshot.get("E") or early[-1]["E"]
                yield {"E": stamp, "b": snapshot["bids"], "a": snapshot["asks"]}
                yield from (each for each in early if each["u"] > snapshot["lastUpdateId"])
            elif "@depth" in line[:60]:
                message = json.loads(line.partition(" ")[2])["data"]
                if snapshot is None:
                    early.append(message)
                elif message["u"] > snapshot["lastUpdateId"]:
                    yield message


class TickMarket:
    """`start_ms` is when the first step that both recorded begins; `speed` recorded seconds pass a second."""

    def __init__(self, path: Path, *, start_ms: int, speed: float = 1) -> None:
        recorded = {kind: read_frames(file) for kind, file in tick_files(path).items()}
        if recorded.keys() != set(PLAYED_BY.values()):
            raise ValueError(f"{path}: usdm_*.gz and spot_*.gz are needed, found {sorted(recorded)}")
        self._first = max(min(frames) for frames in recorded.values())
        self._last = min(max(frames) for frames in recorded.values())
        self._frames = {kind: _every_step(of, self._first, self._last) for kind, of in recorded.items()}
        self._anchor_ms, self._anchor_step, self._speed = start_ms, 0, speed
        self._ladders: dict[str, tuple[int, Ladder]] = {}
        self._ended = False

    def bases(self) -> Sequence[str]:
        return ("BTC",)

    @property
    def steps(self) -> int:
        return self._last - self._first + 1

    def step(self, now_ms: int) -> int:
        """Of the recording, counted from its first; at the end the last."""
        step = self._anchor_step + int((now_ms - self._anchor_ms) * self._speed) // STEP_MS
        if step >= self.steps and not self._ended:
            self._ended = True
            log.warning("recording ended after %d steps of %d ms: its last books stay", self.steps, STEP_MS)
        return min(max(step, 0), self.steps - 1)

    def minute(self, now_ms: int) -> int:
        return self.step(now_ms) * STEP_MS // MINUTE_MS

    def jump(self, minute: int, *, now_ms: int) -> None:
        """Make `now_ms` the start of recorded `minute`."""
        self._anchor_step, self._anchor_ms = minute * MINUTE_MS // STEP_MS, now_ms

    def ladder(self, venue: str, instrument: Instrument, now_ms: int) -> Ladder:
        step = self.step(now_ms)
        known = self._ladders.get(venue)
        if known is None or known[0] != step:
            known = (step, _ladder(self._frames[PLAYED_BY[venue]][step], instrument))
            self._ladders[venue] = known
        return known[1]

    def funding_rate(self, venue: str, base: str, at_ms: int) -> Decimal:
        """None was recorded."""
        return Decimal(0)


def _every_step(frames: Mapping[int, Frame], first: int, last: int) -> list[Frame]:
    """A step without a change keeps the book of the one before."""
    held = frames[max(step for step in frames if step <= first)]
    found = []
    for step in range(first, last + 1):
        held = frames.get(step, held)
        found.append(held)
    return found


def _ladder(frame: Frame, instrument: Instrument) -> Ladder:
    bids = _on_grid(frame[0], instrument, ROUND_FLOOR)
    asks = _on_grid(frame[1], instrument, ROUND_CEILING)
    mid = (bids[0][0] + asks[0][0]) / 2
    return Ladder(bids=bids, asks=asks, mark=mid, index=mid)


def _on_grid(rows: Rows, instrument: Instrument, rounding: str) -> Levels:
    """On this venue's tick, away from the touch, and in whole lots; what is less than one is left out."""
    tick, lot = instrument.tick, instrument.lot
    levels: dict[Decimal, Decimal] = {}
    for price, qty in rows:
        at = (Decimal(price) / tick).quantize(Decimal(1), rounding=rounding) * tick
        levels[at] = levels.get(at, Decimal(0)) + Decimal(qty)
    whole = ((price, qty // lot * lot) for price, qty in levels.items())
    return tuple((price, qty) for price, qty in whole if qty)[:LEVELS]
