"""A recorded market: Lean's two-venue minute quotes (a `cryptofuture` folder).

The first venue folder by name plays Binance, the second OKX and Bybit, who then quote alike; the instrument
is BTC, from the symbol that both have. A minute's closing quotes hold for that minute and, where minutes are
missing, until the next one there is: nothing is interpolated. After a venue's last row its quote stays and
the log says so.
"""

import csv
import io
import logging
import zipfile
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from trading.paper.instruments import Instrument
from trading.paper.market import Ladder

log = logging.getLogger(__name__)

PLAYED_BY = {"binanceusdm": 0, "okx": 1, "bybit": 1}  # the recorded folder, in order of name
MINUTE_MS = 60_000
DAY_MS = 86_400_000
# Lean's sizes of coin-margined contracts count contracts of so many USD; USDT-margined ones count coins.
CONTRACT_USD = {"binance": Decimal(100), "bybit": Decimal(1)}


@dataclass(frozen=True, slots=True)
class Quote:
    """Best bid and ask at the end of a minute; prices in USD, sizes in coins."""

    bid: Decimal
    bid_qty: Decimal
    ask: Decimal
    ask_qty: Decimal


@dataclass(frozen=True, slots=True)
class MinuteEdge:
    """What crossing both books would have given in a minute, in bps of the price bought at."""

    minute: int
    sell_first_bps: Decimal
    sell_second_bps: Decimal


def read_quotes(path: Path, *, contract_usd: Decimal | None) -> dict[int, Quote]:
    """Closing quotes by minute of the day from one `*_quote.zip`. `contract_usd` None: sizes are coins."""
    with zipfile.ZipFile(path) as archive:
        text = archive.read(archive.namelist()[0]).decode()
    quotes = {}
    for row in csv.reader(io.StringIO(text)):
        bid, bid_size, ask, ask_size = (Decimal(row[column]) for column in (4, 5, 9, 10))
        unit = contract_usd if contract_usd is not None else None
        quotes[int(row[0]) // MINUTE_MS] = Quote(
            bid=bid,
            bid_qty=bid_size if unit is None else bid_size * unit / bid,
            ask=ask,
            ask_qty=ask_size if unit is None else ask_size * unit / ask,
        )
    return quotes


def read_folder(path: Path) -> tuple[dict[int, Quote], dict[int, Quote]]:
    """Both venues' quotes of the first day and symbol that they share.

    Raises:
        ValueError: naming what is missing.
    """
    venues = _venues(path)
    files = [
        {(f.parent.name, f.name): f for f in (path / v / "minute").glob("*/*_quote.zip")} for v in venues
    ]
    shared = sorted(files[0].keys() & files[1].keys())
    if not shared:
        raise ValueError(f"{path}: {venues[0]} and {venues[1]} share no symbol and day")
    first, second = (_quotes_of(of[shared[0]]) for of in files)
    return first, second


def edges(first: Mapping[int, Quote], second: Mapping[int, Quote]) -> list[MinuteEdge]:
    """Edges of the minutes that both venues recorded, in order."""
    return [
        MinuteEdge(
            minute, _bps(first[minute].bid, second[minute].ask), _bps(second[minute].bid, first[minute].ask)
        )
        for minute in sorted(first.keys() & second.keys())
    ]


def recorded_edges(path: Path) -> list[MinuteEdge]:
    """`edges` of a Lean `cryptofuture` folder: what a scanner's figures can be laid beside."""
    return edges(*read_folder(path))


@dataclass(frozen=True, slots=True)
class Series:
    """Edges of one direction, in bps, one per minute that both recorded. `sell`, `buy`: "venue symbol"."""

    sell: str
    buy: str
    bps: tuple[Decimal, ...]


def recorded_series(path: Path) -> list[Series]:
    """Every contract of the first venue against every one of the second, both ways, where they share a day.

    Raises:
        ValueError: naming what is missing.
    """
    files = [_quote_files(path, venue) for venue in _venues(path)]
    found: list[Series] = []
    for (one, day), first in sorted(files[0].items()):
        for (two, other_day), second in sorted(files[1].items()):
            if other_day == day:
                found += _both_ways(one, two, _quotes_of(first), _quotes_of(second))
    return found


def _both_ways(
    one: str, two: str, first: Mapping[int, Quote], second: Mapping[int, Quote]
) -> tuple[Series, Series]:
    found = edges(first, second)
    return (
        Series(one, two, tuple(edge.sell_first_bps for edge in found)),
        Series(two, one, tuple(edge.sell_second_bps for edge in found)),
    )


def _venues(path: Path) -> list[str]:
    venues = sorted(p.name for p in path.glob("*") if (p / "minute").is_dir())
    if len(venues) < 2:
        raise ValueError(
            f"{path}: no recording. Accepted: a folder of two venue folders with minute/ (Lean; found "
            f"{venues}), or one of usdm_*.gz and spot_*.gz (hftbacktest)"
        )
    return venues[:2]


def _quote_files(path: Path, venue: str) -> dict[tuple[str, str], Path]:
    """By ("venue symbol", day)."""
    files = (path / venue / "minute").glob("*/*_quote.zip")
    return {(f"{venue} {file.parent.name}", file.name): file for file in files}


def _quotes_of(file: Path) -> dict[int, Quote]:
    venue, symbol = file.parents[2].name, file.parent.name
    return read_quotes(file, contract_usd=None if symbol.endswith("usdt") else CONTRACT_USD.get(venue))


def _bps(sold: Decimal, bought: Decimal) -> Decimal:
    return (sold - bought) / bought * 10_000


class RecordedMarket:
    """`start_ms` is when minute 0 begins; `speed` recorded minutes pass per minute."""

    def __init__(self, path: Path, *, start_ms: int, speed: float = 1) -> None:
        recorded = read_folder(path)
        self._quotes = {venue: recorded[folder] for venue, folder in PLAYED_BY.items()}
        self._minutes = {venue: sorted(quotes) for venue, quotes in self._quotes.items()}
        self._rates = _funding_rates(path)
        self._anchor_ms, self._anchor_minute, self._speed = start_ms, 0, speed
        self._ladders: dict[str, tuple[int, Ladder]] = {}
        self._ended: set[str] = set()

    def bases(self) -> Sequence[str]:
        return ("BTC",)

    def minute(self, now_ms: int) -> int:
        return self._anchor_minute + int((now_ms - self._anchor_ms) * self._speed) // MINUTE_MS

    def jump(self, minute: int, *, now_ms: int) -> None:
        """Make `now_ms` the start of recorded `minute`."""
        self._anchor_minute, self._anchor_ms = minute, now_ms

    def quote_minute(self, venue: str, minute: int) -> int:
        """The recorded minute whose quote holds in `minute`; before the first one, the first."""
        minutes = self._minutes[venue]
        if minute > minutes[-1] and venue not in self._ended:
            self._ended.add(venue)
            log.warning("recording of %s ended at minute %d: its last quote stays", venue, minutes[-1])
        return minutes[max(0, bisect_right(minutes, minute) - 1)]

    def ladder(self, venue: str, instrument: Instrument, now_ms: int) -> Ladder:
        minute = self.quote_minute(venue, self.minute(now_ms))
        known = self._ladders.get(venue)
        if known is None or known[0] != minute:
            known = (minute, self._build(self._quotes[venue][minute], instrument))
            self._ladders[venue] = known
        return known[1]

    def _build(self, quote: Quote, instrument: Instrument) -> Ladder:
        lot, mid = instrument.lot, (quote.bid + quote.ask) / 2
        return Ladder(
            bids=((quote.bid, max(lot, quote.bid_qty // lot * lot)),),
            asks=((quote.ask, max(lot, quote.ask_qty // lot * lot)),),
            mark=mid,
            index=mid,
        )

    def funding_rate(self, venue: str, base: str, at_ms: int) -> Decimal:
        """The recorded day's rate of that hour (00, 08 or 16 UTC); 0 where none was recorded."""
        return self._rates.get((venue, at_ms % DAY_MS // 3_600_000), Decimal(0))


def _funding_rates(path: Path) -> dict[tuple[str, int], Decimal]:
    """By (venue, hour), from `margin_interest/btcusd.csv`; a later day's row replaces an earlier one's."""
    rates, folders = {}, _venues(path)
    for venue, folder in PLAYED_BY.items():
        file = path / folders[folder] / "margin_interest" / "btcusd.csv"
        for row in csv.reader(file.read_text().splitlines()) if file.exists() else []:
            rates[venue, int(row[0].split()[1].split(":")[0])] = Decimal(row[1])
    return rates
