"""The books' streams, followed for one question: is there a gap that a new snapshot did not heal?

One coroutine per configured book on the hub's loop. A quiet market is no gap: what counts is the time since a
lost message, or a lost connection, after which no whole book has come.
"""

import asyncio
from collections.abc import Mapping
from concurrent.futures import Future
from datetime import datetime

from django.utils import timezone

from trading import desk_config
from trading.venues import get_hub
from trading.venues.interface import VenueError

PAUSE_SEC = 1.0
Key = tuple[str, str]


class BookWatch:
    """`follow()` each second keeps it to the configuration; `gaps()` is what the guard reads."""

    def __init__(self) -> None:
        self._streams: dict[Key, Future[None]] = {}
        self._lost: dict[Key, datetime] = {}

    def follow(self) -> None:
        config = desk_config.active().trading
        wanted = {
            (str(venue), pair.symbol)
            for pair in config.pairs
            for venue in pair.venues
            if config.venues[venue].enabled
        }
        for key in self._streams.keys() - wanted:
            self._streams.pop(key).cancel()
            self._lost.pop(key, None)
        for key in wanted:
            stream = self._streams.get(key)
            if stream is None or stream.done():
                self._streams[key] = get_hub().submit(self._watch(*key))

    async def _watch(self, venue: str, symbol: str) -> None:
        while True:
            try:
                async for _ in get_hub().venue(venue).watch_book(symbol):
                    self._lost.pop((venue, symbol), None)
            except VenueError:
                self._lost.setdefault((venue, symbol), timezone.now())
            await asyncio.sleep(PAUSE_SEC)

    def gaps(self) -> Mapping[Key, datetime]:
        """Since when each book is not whole; those that are, are not there."""
        found = dict(self._lost)
        for venue, symbol in self._streams:
            since = get_hub().venue(venue).gaps.get(symbol)
            if since is not None:
                found.setdefault((venue, symbol), since)
        return found

    def stop(self) -> None:
        for stream in self._streams.values():
            stream.cancel()
        self._streams.clear()


watch = BookWatch()  # of this process; followed by the breaker only
