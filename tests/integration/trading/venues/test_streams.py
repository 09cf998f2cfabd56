"""What a venue tells by itself is what it answers when asked, to the last digit; and what goes wrong."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeVar

import pytest

from tests.integration.trading.venues.paper import KINDS, Desk, Kind, trade
from tests.integration.trading.venues.scripted import SYMBOL
from trading.domain.market import Book, Side
from trading.paper.faults import Fault
from trading.paper.orders import Forced
from trading.paper.streams.faults import StreamFault
from trading.venues.interface import FillReport, OrderReport, OrderStatus, VenueError, Verdict
from trading.venues.streams import News

T = TypeVar("T")
EACH = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
QTY = Decimal("0.4")
GIVE_UP_SEC = 20.0


async def until(what: str, true: Callable[[], Any]) -> None:
    async with asyncio.timeout(GIVE_UP_SEC):
        while not true():
            await asyncio.sleep(0.01)


class Listener:
    """Collects the news of an adapter; comes back when the stream breaks, as a desk does."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.news: list[News] = []
        self.broken: list[VenueError] = []

    async def listen(self) -> None:
        while True:
            try:
                async for news in self.desk.venue.watch_orders():
                    self.news.append(news)
            except VenueError as error:
                self.broken.append(error)
                await asyncio.sleep(0.05)

    def connected(self) -> bool:
        """As the venue sees it: proven and, where it is asked for, subscribed."""
        owners = [c for c in self.desk.paper.streams.connections if c.owner]
        topics = {"binanceusdm": 0, "okx": 1, "bybit": 2}[self.desk.paper.name]
        return any(len(c.topics) >= topics for c in owners)

    @property
    def reports(self) -> list[OrderReport]:
        return [each for each in self.news if isinstance(each, OrderReport)]

    @property
    def fills(self) -> list[FillReport]:
        return [each for each in self.news if isinstance(each, FillReport)]

    async def ended(self, count: int = 1) -> None:
        """That many orders have been told to their end."""
        await until(
            "the end of an order", lambda: sum(r.status.terminal for r in self.reports if r.status) >= count
        )


@asynccontextmanager
async def listening(desk: Desk) -> AsyncIterator[Listener]:
    listener = Listener(desk)
    task = asyncio.create_task(listener.listen())
    try:
        await until("a connection", lambda: task.done() or listener.connected())
        yield listener
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def heard(kind: Kind, story: Callable[[Desk, Listener], Awaitable[T]]) -> T:
    async def go(desk: Desk) -> T:
        async with listening(desk) as listener:
            return await story(desk, listener)

    return trade(kind, go)


# --- our orders -------------------------------------------------------------------


@EACH
def test_an_order_s_news_is_what_the_venue_answers(kind: Kind) -> None:
    async def go(desk: Desk, listener: Listener) -> None:
        order = await desk.crossing(Side.BUY, Decimal("12"))  # takes several levels
        await desk.venue.place(order)
        await listener.ended()
        asked = await desk.venue.order(SYMBOL, order.client_order_id)
        fills = await desk.venue.fills(SYMBOL, venue_order_id=asked.venue_order_id)
        assert len(fills) > 1
        told = {fill.trade_id: fill for fill in listener.fills}
        assert [told[f.trade_id] for f in fills] == [
            replace(f, client_order_id=order.client_order_id) for f in fills
        ]
        last = listener.reports[-1]
        assert replace(last, average_price=None) == replace(asked, average_price=None)
        assert last.average_price == pytest.approx(asked.average_price)
        seen = [report.filled or 0 for report in listener.reports]
        assert seen == sorted(seen), "the order's sum grows"

    heard(kind, go)


@EACH
def test_a_cancel_and_a_maker_fill_are_told(kind: Kind) -> None:
    async def go(desk: Desk, listener: Listener) -> None:
        first, second = [await desk.resting(Side.BUY, QTY) for _ in range(2)]
        for order in (first, second):
            await desk.venue.place(order)
        await desk.venue.cancel(SYMBOL, first.client_order_id)
        await listener.ended()
        assert [
            (r.client_order_id, r.status) for r in listener.reports if r.status and r.status.terminal
        ] == [(first.client_order_id, OrderStatus.CANCELED)]
        overlay = replace(desk.paper.market.overlay(desk.paper.name, "BTC"), shift_bps=Decimal(-200))
        desk.paper.market.change(desk.paper.name, "BTC", overlay)  # the market falls through the order
        await listener.ended(2)
        fills = {f.trade_id: f for f in listener.fills}.values()  # one or several: the tape's prints decide
        assert {(f.client_order_id, f.maker, f.price) for f in fills} == {
            (second.client_order_id, True, second.price)
        }
        assert sum(f.qty for f in fills) == second.qty

    heard(kind, go)


@EACH
def test_what_the_venue_closes_by_itself_is_told(kind: Kind) -> None:
    async def go(desk: Desk, listener: Listener) -> None:
        await desk.venue.place(await desk.crossing(Side.BUY, QTY))
        await listener.ended()
        desk.paper.engine.force_close("BTC", QTY, Forced.LIQUIDATION)
        desk.paper.settle()
        await listener.ended(2)
        assert listener.fills[-1].side is Side.SELL
        assert not listener.fills[-1].client_order_id.startswith("cbtest")

    heard(kind, go)


# --- what goes wrong ---------------------------------------------------------------


@EACH
@pytest.mark.parametrize(
    "fault",
    [
        StreamFault("duplicate", "private", count=None),
        StreamFault("late", "private", ms=100),
        StreamFault("reorder", "private"),
    ],
    ids=lambda fault: fault.effect,
)
def test_news_may_be_late_twice_or_out_of_order(kind: Kind, fault: StreamFault) -> None:
    """Whatever the order, the same trades are told, and one report has the end."""

    async def go(desk: Desk, listener: Listener) -> None:
        desk.paper.streams.faults.add(replace(fault))
        order = await desk.crossing(Side.BUY, Decimal("12"))
        await desk.venue.place(order)
        asked = await desk.venue.order(SYMBOL, order.client_order_id)
        fills = await desk.venue.fills(SYMBOL, venue_order_id=asked.venue_order_id)
        await until("all of it", lambda: {f.trade_id for f in listener.fills} == {f.trade_id for f in fills})
        await listener.ended()
        assert OrderStatus.FILLED in {r.status for r in listener.reports}

    heard(kind, go)


@EACH
@pytest.mark.parametrize("code", [1001, 1006])
def test_a_stream_that_ends_says_so_and_comes_back(kind: Kind, code: int) -> None:
    async def go(desk: Desk, listener: Listener) -> None:
        desk.paper.streams.end_all(code)
        await until("the end", lambda: listener.broken)
        assert listener.broken[0].verdict is Verdict.AMBIGUOUS
        await until("another connection", listener.connected)
        await desk.venue.place(await desk.crossing(Side.BUY, QTY))
        await listener.ended()

    heard(kind, go)


@EACH
def test_a_venue_that_was_away_is_found_again(kind: Kind) -> None:
    """Restarted on the same port: listen keys and logins are gone with it."""

    async def go(desk: Desk, listener: Listener) -> None:
        port = desk.paper.port
        await desk.paper.stop()
        await until("the end", lambda: listener.broken)
        again = desk.venues._open_venue(desk.paper.name, _identity(desk), desk.paper.market)
        await again.start(port)
        desk.paper = desk.venues.venues[desk.paper.name] = again
        await until("another connection", listener.connected)
        await desk.venue.place(await desk.crossing(Side.BUY, QTY))
        await listener.ended()

    heard(kind, go)


def _identity(desk: Desk) -> dict[str, Any]:
    return {"keys": {name: vars_of(venue.keys) for name, venue in desk.venues.venues.items()}}


def vars_of(keys: Any) -> dict[str, str]:
    return {name: getattr(keys, name) for name in ("api_key", "api_secret", "api_passphrase")}


@EACH
def test_a_half_open_stream_is_silent(kind: Kind) -> None:
    """Nothing ends, nothing comes: only the reader's own clock can tell."""

    async def go(desk: Desk, listener: Listener) -> None:
        desk.paper.streams.faults.add(StreamFault("half_open", "private"))
        order = await desk.crossing(Side.BUY, QTY)
        await desk.venue.place(order)
        assert (await desk.venue.order(SYMBOL, order.client_order_id)).status is OrderStatus.FILLED
        await desk.venue.place(await desk.crossing(Side.SELL, QTY))
        assert (listener.news, listener.broken) == ([], [])

    heard(kind, go)


@EACH
def test_a_wrong_key_hears_nothing(kind: Kind) -> None:
    async def go(desk: Desk) -> None:
        venue = desk.venue
        streams = venue._streams
        client = await streams._ready()
        client.secret = "wrong" if kind.name != "binanceusdm" else client.secret
        client.apiKey = "wrong" if kind.name == "binanceusdm" else client.apiKey
        with pytest.raises(VenueError):
            await anext(venue.watch_orders())
        assert not any(c.owner for c in desk.paper.streams.connections)

    trade(kind, go)


# --- books -------------------------------------------------------------------------


class Reader:
    """The latest book of an adapter; comes back when the stream breaks."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.books: list[Book] = []
        self.broken = 0

    async def read(self) -> None:
        while True:
            try:
                async for book in self.desk.venue.watch_book(SYMBOL, depth=20):
                    self.books.append(book)
            except VenueError:
                self.broken += 1
                await asyncio.sleep(0.05)

    async def more(self, count: int) -> None:
        wanted = len(self.books) + count
        await until("more books", lambda: len(self.books) >= wanted)

    async def agrees(self) -> None:
        """Once the market stands still, what was told is what is answered."""
        market = self.desk.paper.market
        market.market = Still(market.market, self.desk.paper.clock.now_ms())
        asked = await self.desk.venue.book(SYMBOL, depth=20)

        def same() -> bool:
            told = self.books[-1]
            return (told.bids, told.asks) == (asked.bids, asked.asks)

        await until("the same book", same)


class Still:
    """The market as it was at one moment."""

    def __init__(self, market: Any, now_ms: int) -> None:
        self._market, self._now_ms = market, now_ms

    def __getattr__(self, name: str) -> Any:
        return getattr(self._market, name)

    def ladder(self, venue: str, instrument: Any, _: int) -> Any:
        return self._market.ladder(venue, instrument, self._now_ms)


def read(kind: Kind, story: Callable[[Desk, Reader], Awaitable[T]]) -> T:
    async def go(desk: Desk) -> T:
        reader = Reader(desk)
        task = asyncio.create_task(reader.read())
        try:
            await until("books", lambda: task.done() or len(reader.books) > 2)
            return await story(desk, reader)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    return trade(kind, go)


@EACH
def test_the_book_told_is_the_book_answered(kind: Kind) -> None:
    async def go(desk: Desk, reader: Reader) -> None:
        await reader.more(3)
        await reader.agrees()

    read(kind, go)


@EACH
@pytest.mark.parametrize("effect", ["gap", "reorder", "duplicate", "hang_up"])
def test_a_book_heals(kind: Kind, effect: str) -> None:
    """A lost, doubled or misplaced message never leaves a wrong book behind."""

    async def go(desk: Desk, reader: Reader) -> None:
        fault = desk.paper.streams.faults.add(StreamFault(effect, "public"))
        await until("the fault", lambda: fault.hits)
        await reader.more(3)
        await reader.agrees()

    read(kind, go)


@EACH
def test_a_venue_that_is_down_ends_the_book(kind: Kind) -> None:
    async def go(desk: Desk, reader: Reader) -> None:
        desk.paper.faults.add(Fault("venue_down", kind="any"))
        await until("the end", lambda: reader.broken)
        desk.heal()
        await reader.more(1)
        await reader.agrees()

    read(kind, go)
