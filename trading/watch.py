"""What the venues last said to this process, for status and metrics: asked for in the background of a look.

A look waits a moment for answers that are due and then goes on with the last ones, whose ages it tells: a
venue that hangs must not hang the page that says so.
"""

import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from trading.config import TradingConfig
from trading.venues import get_hub
from trading.venues.hub import Fact, FactKey, VenueHub
from trading.venues.interface import VenueError

#: Answers younger than this are not asked for again.
FRESH_MS = 5_000
PATIENCE_SEC = 1.0
FIRST_PATIENCE_SEC = 4.0  # clients are made and connected


@dataclass(frozen=True, slots=True)
class Word:
    """An answer or a refusal. `at`: when we asked (an answer) or heard (a refusal)."""

    answer: Any
    error: VenueError | None
    at: datetime


Words = Mapping[FactKey, Word]


class Watch:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._words: dict[FactKey, Word] = {}
        self._asked: dict[str, tuple[list[FactKey], Future[None]]] = {}

    def look(self, keys: Iterable[FactKey]) -> Words:
        """The last word on each key; a key of which nothing was ever heard is missing.

        A question that somebody has waited for in vain is not waited for again: one page looks several times.
        """
        wanted = list(dict.fromkeys(keys))
        by_venue: dict[str, list[FactKey]] = {}
        for key in wanted:
            by_venue.setdefault(key.venue, []).append(key)
        new = [question for venue, mine in by_venue.items() if (question := self._put(venue, mine))]
        with self._lock:
            known = self._words.keys() >= set(wanted)
        wait(new, timeout=PATIENCE_SEC if known else FIRST_PATIENCE_SEC)
        with self._lock:
            return {key: self._words[key] for key in wanted if key in self._words}

    def _put(self, venue: str, keys: list[FactKey]) -> "Future[None] | None":
        """None while the venue still owes an answer to the same question."""
        with self._lock:
            before = self._asked.get(venue)
            if before is not None and before[0] == keys and not before[1].done():
                return None
            hub = get_hub()
            question = hub.submit(self._ask(hub, keys))
            self._asked[venue] = (keys, question)
            return question

    async def _ask(self, hub: VenueHub, keys: list[FactKey]) -> None:
        """Joins a question that is under way; ends with the venue's answer or the client's time-out."""
        found = await hub.afacts(keys, max_age_ms=FRESH_MS)
        with self._lock:
            self._words |= {key: _word(answer) for key, answer in found.items()}


def _word(answer: Fact[Any] | VenueError) -> Word:
    if isinstance(answer, VenueError):
        return Word(None, answer, timezone.now())
    age = timedelta(seconds=time.monotonic() - answer.asked_at)
    return Word(answer.value, None, timezone.now() - age)


def keys_of(config: TradingConfig) -> list[FactKey]:
    """All that status and metrics say of the enabled venues."""
    venues = [name for name, venue in config.venues.items() if venue.enabled]
    keys = [FactKey(kind, venue) for venue in venues for kind in ("clock", "positions")]
    for pair in config.pairs:
        for venue in pair.venues:
            if venue in venues:
                keys += [FactKey(kind, venue, pair.symbol) for kind in ("book", "funding")]
    return list(dict.fromkeys(keys))


_watch = Watch()


def look(config: TradingConfig) -> Words:
    """This process's watch."""
    return _watch.look(keys_of(config))


def forget() -> None:
    """Between tests: another desk's venues."""
    global _watch
    _watch = Watch()
