"""What a venue tells by itself, over ccxt.pro's sockets: books, and our own orders and fills.

A stream ends with `VenueError` AMBIGUOUS when its connection does; whoever reads it comes back when it likes,
and reads over REST what it may have missed. Nothing here says how old the last word is: a half-open socket is
silent for minutes before anything notices, so the reader keeps the time.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import ccxt

from trading.domain.market import Book, Level
from trading.venues.errors import silence
from trading.venues.interface import FillReport, OrderReport

if TYPE_CHECKING:
    from trading.venues.base import CcxtVenue
    from trading.venues.pro import Listening

News = OrderReport | FillReport
SNAPSHOT_SEC = 3.0  # after a gap, before the connection itself is given up
BEHIND = 10_000  # news that a reader may be behind before it is told to begin anew


class Streams:
    """Of one venue; `connect` makes its client at the first watch."""

    def __init__(self, venue: "CcxtVenue", connect: Callable[[type["Listening"]], Any]) -> None:
        self._venue, self._connect = venue, connect
        self._client: Any = None
        self._opening = asyncio.Lock()
        self.gaps: dict[str, datetime] = {}  # by symbol, since when; healed ones are gone
        self._readers: set[asyncio.Queue[News | BaseException]] = set()

    async def _ready(self) -> Any:
        async with self._opening:
            if self._client is None:
                from trading.venues import pro

                await self._venue.load()
                client = self._connect(pro.CLIENTS[self._venue.name])
                client.set_markets(list(self._venue.data.markets.values()), self._venue.data.currencies)
                client.told = self._told
                self._client = client
            return self._client

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    # -- our orders --

    def _told(self, message: dict[str, Any]) -> None:
        """A message that cannot be read ends the stream: what it said is asked for over REST."""
        try:
            news: list[News | BaseException] = list(self._venue.news(message))
        except (ArithmeticError, LookupError, TypeError, ValueError) as unreadable:
            news = [unreadable]
        for reader in self._readers:
            for each in news:
                _put(reader, each)

    @property
    def listening(self) -> bool:
        sockets = self._client.clients.items() if self._client is not None else ()
        private = (socket for url, socket in list(sockets) if "/private" in url)
        return any(socket.connectionEstablished and not socket.closed() for socket in private)

    async def orders(self) -> AsyncIterator[News]:
        client = await self._ready()
        reader: asyncio.Queue[News | BaseException] = asyncio.Queue(BEHIND)
        self._readers.add(reader)
        subscribed = asyncio.create_task(client.private())
        subscribed.add_done_callback(lambda task: _put(reader, _end(task)))
        try:
            while not isinstance(news := await reader.get(), BaseException):
                yield news
            client.forget_login()
            raise silence(self._venue.name, news) from news
        finally:
            self._readers.discard(reader)
            subscribed.cancel()
            with contextlib.suppress(asyncio.CancelledError, ccxt.BaseError, OSError, TimeoutError):
                await subscribed

    # -- books --

    async def book(self, symbol: str, *, depth: int) -> AsyncIterator[Book]:
        """A gap in the venue's sequence is healed by a new snapshot: no book from before it is yielded.

        When none comes in `SNAPSHOT_SEC`, the connection is given up and the stream ends."""
        client = await self._ready()
        size = self._venue.contract_size(symbol)
        while True:
            try:
                async with asyncio.timeout(SNAPSHOT_SEC if symbol in self.gaps else None):
                    book = await client.watch_order_book(symbol)
            except (ccxt.ChecksumError, ccxt.InvalidNonce):
                self.gaps.setdefault(symbol, datetime.now(UTC))
                continue
            except (ccxt.BaseError, OSError, TimeoutError) as error:
                if symbol in self.gaps:
                    self._hang_up_books()
                raise silence(self._venue.name, error) from error
            self.gaps.pop(symbol, None)
            yield self._book(symbol, book, size, depth)

    def _hang_up_books(self) -> None:
        """A snapshot that was lost is not asked for again on the same connection: begin a new one."""
        for url, socket in list(self._client.clients.items()):
            if "/private" not in url:
                socket.on_error(ccxt.NetworkError(f"{url}: no snapshot within {SNAPSHOT_SEC} s of a gap"))

    def _book(self, symbol: str, book: Any, size: Decimal, depth: int) -> Book:
        from trading.venues.base import at, utcnow

        bids, asks = (
            tuple(Level(_exact(row[0]), _exact(row[1]) * size) for row in book[side][:depth])
            for side in ("bids", "asks")
        )
        venue_at = at(book["timestamp"]) if book["timestamp"] else None
        return Book(self._venue.name, symbol, bids, asks, received_at=utcnow(), venue_at=venue_at)


def _put(reader: "asyncio.Queue[News | BaseException]", news: News | BaseException) -> None:
    """A reader that is too far behind loses its place and is told so."""
    if reader.full():
        while not reader.empty():
            reader.get_nowait()
        news = TimeoutError(f"{BEHIND} messages behind")
    reader.put_nowait(news)


def _end(task: "asyncio.Task[None]") -> BaseException:
    if task.cancelled():
        return asyncio.CancelledError()
    return task.exception() or ConnectionError("the stream ended")


def _exact(value: float) -> Decimal:
    """ccxt has made a float of the venue's text; its shortest notation is that text again."""
    return Decimal(repr(value))
