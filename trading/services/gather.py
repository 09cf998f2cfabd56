"""Everything that pricing and checking a pair needs from its two venues, asked at once, with ages.

Books are as fresh as `max_book_age_ms / 4`, so that a burst of previews shares one request; slow facts
(balance, account, funding, clock, instruments) as fresh as `facts_max_age_ms`. A venue that does not answer
is a value here (`VenueError`), never an exception: preflight says so in its own words.
"""

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from trading.config import PairConfig, PreflightConfig
from trading.domain.basis import ExitEstimate, RollingMedian
from trading.domain.edge import LegMarket, exit_basis_bps
from trading.domain.market import Book, Funding, Instrument
from trading.venues import get_hub
from trading.venues.hub import Fact, FactKey
from trading.venues.interface import AccountSetup, Balance, ClockSample, VenueError

INSTRUMENTS_MAX_AGE_MS = 3_600_000
PER_SYMBOL = ("funding", "account")
PER_VENUE = ("balance", "clock")


@dataclass(frozen=True, slots=True)
class VenueFacts:
    """One venue's answers about one symbol. `ages` in ms, by kind; `errors` by kind for what is missing."""

    venue: str
    symbol: str
    book: Book | None
    instrument: Instrument | None
    funding: Funding | None
    account: AccountSetup | None
    balance: Balance | None
    clock: ClockSample | None
    ages: Mapping[str, int]
    errors: Mapping[str, VenueError]

    def market(self) -> LegMarket | None:
        """None while anything that a price rests on is missing."""
        if not (self.book and self.instrument and self.funding and self.account):
            return None
        return LegMarket(self.instrument, self.book, self.account.fees, self.funding)


@dataclass(frozen=True, slots=True)
class Gathered:
    pair: PairConfig
    venues: tuple[VenueFacts, VenueFacts]
    took_ms: float


def gather(pair: PairConfig, config: PreflightConfig) -> Gathered:
    """Both venues of a pair at once."""
    started = time.perf_counter()
    hub = get_hub()
    slow = [_key(kind, venue, pair.symbol) for venue in pair.venues for kind in (*PER_SYMBOL, *PER_VENUE)]
    instruments = [FactKey("instruments", venue) for venue in pair.venues]
    books = [FactKey("book", venue, pair.symbol) for venue in pair.venues]
    found: dict[FactKey, Fact[Any] | VenueError] = {}
    for keys, age in (
        (instruments, INSTRUMENTS_MAX_AGE_MS),
        (slow, config.facts_max_age_ms),
        (books, config.max_book_age_ms // 4),
    ):
        found |= hub.facts(keys, max_age_ms=age)
    first, second = (_venue_facts(venue, pair.symbol, found) for venue in pair.venues)
    return Gathered(pair, (first, second), (time.perf_counter() - started) * 1000)


def _key(kind: str, venue: str, symbol: str) -> FactKey:
    return FactKey(kind, venue, symbol if kind in PER_SYMBOL else "")


def _venue_facts(venue: str, symbol: str, found: Mapping[FactKey, Fact[Any] | VenueError]) -> VenueFacts:
    mine = {key.kind: answer for key, answer in found.items() if key.venue == venue}
    values = {kind: a.value for kind, a in mine.items() if isinstance(a, Fact)}
    errors = {kind: a for kind, a in mine.items() if isinstance(a, VenueError)}
    return VenueFacts(
        venue=venue,
        symbol=symbol,
        book=values.get("book"),
        instrument=values.get("instruments", {}).get(symbol),
        funding=values.get("funding"),
        account=values.get("account"),
        balance=values.get("balance"),
        clock=values.get("clock"),
        ages={kind: a.age_ms for kind, a in mine.items() if isinstance(a, Fact)},
        errors=errors,
    )


class ExitBasis:
    """This process's rolling exit basis per (symbol, long venue), fed by every pricing it does.

    A process that has just started has few samples and says so: the plan then names the configured fallback.
    Requests price side by side, each in a thread of its own, hence the lock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._medians: dict[tuple[str, str, str], RollingMedian] = {}
        self._seen: dict[tuple[str, str, str], object] = {}

    def estimate(
        self, long: LegMarket, short: LegMarket, config: PreflightConfig, *, now: datetime
    ) -> ExitEstimate:
        """Of the direction, from what was seen within the window; counts each pair of books once."""
        key = (long.instrument.symbol, long.instrument.venue, short.instrument.venue)
        stamp = (long.book.received_at, short.book.received_at)
        with self._lock:
            median = self._medians.get(key) or self._medians.setdefault(key, _median(config))
            if self._seen.get(key) != stamp:
                self._seen[key] = stamp
                median.add(exit_basis_bps(long.book, short.book), at=max(stamp))
            return median.estimate(now=now, fallback_bps=config.exit_spread_fallback_bps)

    def forget(self) -> None:
        """Between tests: another market."""
        with self._lock:
            self._medians.clear()
            self._seen.clear()


def _median(config: PreflightConfig) -> RollingMedian:
    return RollingMedian(
        window=timedelta(seconds=config.exit_spread_window_sec),
        max_samples=20_000,
        min_samples=config.exit_spread_min_samples,
    )


EXIT_BASIS = ExitBasis()


def missing(facts: Iterable[VenueFacts]) -> list[str]:
    """One sentence per fact that a price would need and nobody gave."""
    lines = []
    for venue in facts:
        for kind in ("instruments", "book", "funding", "account"):
            if kind in venue.errors:
                lines.append(f"{venue.venue} {kind}: {venue.errors[kind].code} {venue.errors[kind].detail}")
        if "instruments" not in venue.errors and venue.instrument is None:
            lines.append(f"{venue.venue} has no instrument {venue.symbol}")
    return lines
