"""The hub: one loop per process, reads shared by who asks, a failure in its place, no stale answer."""

import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.integration.trading.venues.scripted import INSTRUMENTS, SYMBOL, an_order
from trading.domain.market import Book
from trading.venues.endpoints import PAPER_FILE, load_endpoints
from trading.venues.hub import Fact, FactKey, VenueHub
from trading.venues.interface import VenueError, Verdict

BOOK = {"T": 1700000000123, "bids": [["61800.1", "1.5"]], "asks": [["61800.2", "2.5"]]}


class Binance:
    """A venue on the hub's own loop that can be made to wait, and counts what it was asked."""

    def __init__(self, hub: VenueHub, directory: Path) -> None:
        self.hub, self.directory = hub, directory
        self.asked: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.arrived = threading.Event()
        self.hub.call(self._start())

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        base_url = f"http://127.0.0.1:{self.runner.addresses[0][1]}"
        row = {"base_url": base_url, "api_key": "k", "api_secret": "s"}
        draft = self.directory / f"draft-{id(self)}"
        draft.write_text(json.dumps({"venues": {"binanceusdm": row}}))
        draft.replace(self.directory / PAPER_FILE)

    async def _answer(self, request: web.Request) -> web.Response:
        if request.path in INSTRUMENTS:
            return web.json_response(INSTRUMENTS[request.path])
        self.asked.append(request.path)
        self.arrived.set()
        loop = self.hub._running()
        await loop.run_in_executor(None, self.gate.wait, 5)
        return web.json_response(BOOK)

    def stop(self) -> None:
        self.gate.set()
        self.hub.call(self.runner.cleanup())


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[VenueHub]:
    hub = VenueHub(lambda: load_endpoints("paper", tmp_path, {}))
    yield hub
    hub.close()


@pytest.fixture
def binance(hub: VenueHub, tmp_path: Path) -> Iterator[Binance]:
    venue = Binance(hub, tmp_path)
    yield venue
    venue.stop()


def read(hub: VenueHub, max_age_ms: int) -> Book | VenueError:
    return hub.books([("binanceusdm", SYMBOL)], max_age_ms=max_age_ms)["binanceusdm", SYMBOL]


def test_many_askers_one_question(hub: VenueHub, binance: Binance) -> None:
    binance.gate.clear()
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(read, hub, 60_000)
        assert binance.arrived.wait(5)
        others = [pool.submit(read, hub, 60_000) for _ in range(7)]
        binance.gate.set()
        books = [future.result() for future in (first, *others)]
    assert all(isinstance(book, Book) for book in books)
    assert binance.asked == ["/fapi/v1/depth"]


def test_a_question_under_way_is_too_old_for_who_needs_now(hub: VenueHub, binance: Binance) -> None:
    binance.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(read, hub, 60_000)
        assert binance.arrived.wait(5)
        binance.arrived.clear()
        second = pool.submit(read, hub, 0)
        assert binance.arrived.wait(5), "the second asker joined a question put before it"
        binance.gate.set()
        assert isinstance(first.result(), Book)
        assert isinstance(second.result(), Book)
    assert len(binance.asked) == 2


def test_within_its_age_an_answer_is_used_again_and_not_after(hub: VenueHub, binance: Binance) -> None:
    assert read(hub, 60_000) is read(hub, 60_000)
    assert len(binance.asked) == 1
    read(hub, 0)
    assert len(binance.asked) == 2


def test_one_failing_venue_does_not_hide_the_other(hub: VenueHub, binance: Binance) -> None:
    keys = [("binanceusdm", SYMBOL), ("binanceusdm", "NOPE/USDT:USDT"), ("okx", SYMBOL)]
    books = hub.books(keys, max_age_ms=0)
    assert isinstance(books["binanceusdm", SYMBOL], Book)
    for key in keys[1:]:
        error = books[key]
        assert isinstance(error, VenueError)
        assert error.code == "not_sent"


def test_a_fact_knows_its_age_and_a_failed_one_is_raised(hub: VenueHub, binance: Binance) -> None:
    fact = hub.fact("instruments", "binanceusdm", max_age_ms=60_000)
    assert SYMBOL in fact.value
    assert fact.age_ms >= 0
    with pytest.raises(VenueError, match="okx"):
        hub.fact("clock", "okx", max_age_ms=60_000)


def test_a_failure_is_not_remembered(hub: VenueHub, binance: Binance) -> None:
    key = FactKey("balance", "binanceusdm")
    for _ in range(2):  # BOOK is no account
        assert isinstance(hub.facts([key], max_age_ms=60_000)[key], VenueError)
    assert len(binance.asked) == 2


@pytest.mark.parametrize(
    "key", [FactKey("weather", "okx"), FactKey("book", "okx"), FactKey("clock", "okx", "BTC")]
)
def test_a_question_that_makes_no_sense_is_a_bug_not_an_answer(hub: VenueHub, key: FactKey) -> None:
    with pytest.raises(ValueError, match="kind is one of"):
        hub.facts([key], max_age_ms=0)


def test_a_venue_restarted_elsewhere_is_followed(hub: VenueHub, binance: Binance, tmp_path: Path) -> None:
    before = hub.venue("binanceusdm")
    assert hub.venue("binanceusdm") is before
    again = Binance(hub, tmp_path)
    try:
        assert isinstance(read(hub, 0), Book)
        assert hub.venue("binanceusdm") is not before
        assert (binance.asked, again.asked) == ([], ["/fapi/v1/depth"])
    finally:
        again.stop()


def test_a_call_that_takes_too_long_is_ambiguous(hub: VenueHub, binance: Binance) -> None:
    hub.venue("binanceusdm")
    binance.gate.clear()
    with pytest.raises(VenueError) as caught:
        hub.call(hub.venue("binanceusdm").book(SYMBOL), timeout=0.3)
    assert (caught.value.verdict, caught.value.code) == (Verdict.AMBIGUOUS, "TimeoutError")


def test_gather_gives_errors_in_their_place(hub: VenueHub, binance: Binance) -> None:
    venue = hub.venue("binanceusdm")
    book, error = hub.gather(venue.book(SYMBOL), venue.book("NOPE/USDT:USDT"))
    assert isinstance(book, Book)
    assert isinstance(error, VenueError)


def test_a_forked_child_has_a_hub_of_its_own(hub: VenueHub, binance: Binance) -> None:
    """The child inherits the hub without its thread; asking through the parent's loop would hang for ever."""
    assert isinstance(read(hub, 60_000), Book)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        answer: Any = hub.facts([FactKey("instruments", "binanceusdm")], max_age_ms=60_000)
        os.write(writing, b"fact" if isinstance(next(iter(answer.values())), Fact) else b"error")
        os._exit(0)
    os.close(writing)
    assert os.read(reading, 10) == b"fact"
    os.waitpid(child, 0)
    os.close(reading)


def test_the_last_look_sees_the_placing_coroutines_own_context(hub: VenueHub, binance: Binance) -> None:
    deadline: ContextVar[str] = ContextVar("deadline", default="none")

    def too_late(method: str, url: str) -> None:
        raise RuntimeError(f"deadline was {deadline.get()}")

    async def place() -> None:
        deadline.set("12:00:05")
        await hub.venue("binanceusdm").place(an_order())

    hub.venue("binanceusdm")  # connected before the hook is set: it is asked for at each order
    hub.before_send = too_late
    with pytest.raises(VenueError, match=r"not_sent.*deadline was 12:00:05"):
        hub.call(place())
    assert binance.asked == []


def test_waiting_for_oneself_is_an_error_not_a_deadlock(hub: VenueHub) -> None:
    async def inner() -> None:
        hub.call(hub.afacts([], max_age_ms=0))

    with pytest.raises(RuntimeError, match="await instead"):
        hub.call(inner())
