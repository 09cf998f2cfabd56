"""The process's one place for venue clients: an asyncio loop in a daemon thread, and reads shared by
everybody.

Django views, Celery tasks and commands are synchronous and many; a venue client belongs to one loop and has
warm connections. So a process has one hub: coroutines go in with `submit`/`call`, reads of facts come out of
a cache where each fact is fetched at most once at a time, however many ask. No Django here, and no ccxt
before the first venue is used.
"""

import asyncio
import gc
import os
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from trading.domain.market import Book
from trading.venues.errors import not_sent, silence
from trading.venues.interface import Venue, VenueEndpoint, VenueError

T = TypeVar("T")
Endpoints = Callable[[], Mapping[str, VenueEndpoint]]
BeforeSend = Callable[[str, str], None]

BOOK_DEPTH = 50  # Binance: weight 2 up to here, 5 above
CALL_TIMEOUT_SEC = 10.0

READS: Mapping[str, Callable[[Venue, str], Awaitable[Any]]] = {
    "instruments": lambda venue, symbol: venue.load(),
    "book": lambda venue, symbol: venue.book(symbol, depth=BOOK_DEPTH),
    "funding": lambda venue, symbol: venue.funding(symbol),
    "account": lambda venue, symbol: venue.account(symbol),
    "clock": lambda venue, symbol: venue.clock(),
    "balance": lambda venue, symbol: venue.balance(),
    "positions": lambda venue, symbol: venue.positions(),
    "open_orders": lambda venue, symbol: venue.open_orders(),
}
PER_SYMBOL = {"book", "funding", "account"}


class FactKey(NamedTuple):
    """`kind` is one of READS; `symbol` only for book, funding and account."""

    kind: str
    venue: str
    symbol: str = ""


@dataclass(frozen=True, slots=True)
class Fact(Generic[T]):
    """What a venue said, and when we asked (monotonic clock): it was true at some time after that."""

    value: T
    asked_at: float

    @property
    def age_ms(self) -> int:
        return round((time.monotonic() - self.asked_at) * 1000)


class VenueHub:
    """Venue clients of this process. Its methods may be called from any thread but the loop's own, except for
    those that say otherwise (`afacts`, `venue`).

    `before_send(method, url)`, when set, is asked after an order was signed and before it leaves: if it
    raises, the order is not sent and `place` raises REJECTED `not_sent`. It runs in the context of the
    placing coroutine, so that a ContextVar may carry that order's own deadline.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self.before_send: BeforeSend | None = None
        self._lock = threading.Lock()
        self._pid = 0
        self._reset()

    def _reset(self) -> None:
        """Nothing of a parent process survives a fork: neither its thread nor its sockets are ours."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._venues: dict[str, tuple[VenueEndpoint, Venue]] = {}
        self._facts: dict[FactKey, Fact[Any]] = {}
        self._asking: dict[FactKey, tuple[float, asyncio.Task[Fact[Any]]]] = {}

    # -- loop --

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._pid != os.getpid():
            self._lock = threading.Lock()  # the parent's may have been held by a thread that we do not have
            self._reset()
            self._pid = os.getpid()
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                run = self._loop.run_forever
                self._thread = threading.Thread(target=run, name="venue-hub", daemon=True)
                self._thread.start()
            return self._loop

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        """Start on the hub's loop; the future's exception is the coroutine's own (`VenueError`)."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._running())

    def call(self, coroutine: Coroutine[Any, Any, T], *, timeout: float = CALL_TIMEOUT_SEC) -> T:
        """Run to the end and return. `timeout` in seconds; past it the coroutine is cancelled.

        Raises:
            VenueError: the venue's; AMBIGUOUS with code `TimeoutError` past `timeout`, since bytes may have
            left.
        """
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("hub.call on the hub's own loop would wait for itself: await instead")
        future = self.submit(coroutine)
        try:
            return future.result(timeout)
        except TimeoutError as error:
            future.cancel()
            raise silence("hub", error) from error

    def gather(
        self, *coroutines: Coroutine[Any, Any, T], timeout: float = CALL_TIMEOUT_SEC
    ) -> list[T | VenueError]:
        """All at once; a `VenueError` comes back in its place instead of being raised."""
        return self.call(_settled(coroutines), timeout=timeout)

    # -- venues --

    def names(self) -> tuple[str, ...]:
        return tuple(self._endpoints())

    def venue(self, name: str) -> Venue:
        """The venue, connected anew when its endpoint changed (a paper venue restarted on another port). From
        any thread; its coroutines run only on the hub's loop, so hand them to `submit` or `call`.

        Raises:
            VenueError: REJECTED `not_sent` when no such venue is configured, or its endpoint cannot be read.
        """
        loop = self._running()
        endpoint = self._endpoint(name)
        with self._lock:
            known = self._venues.get(name)
            if known is not None and known[0] == endpoint:
                return known[1]
            venue = _connect(endpoint, self._last_look)
            self._venues[name] = (endpoint, venue)
        if known is not None:
            asyncio.run_coroutine_threadsafe(known[1].close(), loop)
        return venue

    def _last_look(self, method: str, url: str) -> None:
        if self.before_send is not None:
            self.before_send(method, url)

    def _endpoint(self, name: str) -> VenueEndpoint:
        try:
            return self._endpoints()[name]
        except (OSError, ValueError) as error:
            raise not_sent(name, f"endpoint unreadable: {error}") from error
        except KeyError as error:
            raise not_sent(name, "no such venue is configured") from error

    def close(self) -> None:
        """Close every client and stop the loop; the hub may be used again afterwards."""
        if self._loop is None or self._pid != os.getpid():
            return
        loop, venues = self._loop, [venue for _, venue in self._venues.values()]
        self.gather(*(venue.close() for venue in venues))
        loop.call_soon_threadsafe(loop.stop)
        self._reset()

    # -- facts --

    def books(
        self, keys: Iterable[tuple[str, str]], *, max_age_ms: int
    ) -> dict[tuple[str, str], Book | VenueError]:
        """Books by (venue, symbol), none asked for longer ago than `max_age_ms`; failures as values."""
        wanted = {(venue, symbol): FactKey("book", venue, symbol) for venue, symbol in keys}
        found = self.facts(wanted.values(), max_age_ms=max_age_ms)
        heard = {pair: found[key] for pair, key in wanted.items()}
        return {pair: fact.value if isinstance(fact, Fact) else fact for pair, fact in heard.items()}

    def fact(self, kind: str, venue: str, symbol: str = "", *, max_age_ms: int) -> Fact[Any]:
        """One fact, see `facts`.

        Raises:
            VenueError: when the venue's answer is not to be had.
        """
        key = FactKey(kind, venue, symbol)
        found = self.facts([key], max_age_ms=max_age_ms)[key]
        if isinstance(found, VenueError):
            raise found
        return found

    def facts(self, keys: Iterable[FactKey], *, max_age_ms: int) -> dict[FactKey, Fact[Any] | VenueError]:
        """All at once, from memory where asked within `max_age_ms`; a failure stands in its place."""
        wanted = list(dict.fromkeys(keys))
        known = self._remembered(wanted, max_age_ms)
        if len(known) == len(wanted):
            return known
        try:
            return self.call(self.afacts(wanted, max_age_ms=max_age_ms))
        except VenueError as error:
            return dict.fromkeys(wanted, error)

    def _remembered(self, wanted: list[FactKey], max_age_ms: int) -> dict[FactKey, Fact[Any] | VenueError]:
        """Those known already and young enough, without a visit to the loop: most previews need no more."""
        if self._pid != os.getpid():
            return {}
        oldest = time.monotonic() - max_age_ms / 1000
        known = ((key, self._facts.get(key)) for key in wanted)
        return {key: fact for key, fact in known if fact is not None and fact.asked_at >= oldest}

    async def afacts(
        self, keys: Iterable[FactKey], *, max_age_ms: int
    ) -> dict[FactKey, Fact[Any] | VenueError]:
        """`facts` for a coroutine that already runs on the hub's loop."""
        wanted = list(dict.fromkeys(keys))
        answers = await _settled([self._afact(key, max_age_ms) for key in wanted])
        return dict(zip(wanted, answers, strict=True))

    async def _afact(self, key: FactKey, max_age_ms: int) -> Fact[Any]:
        """Join a question that is under way only when it was asked within `max_age_ms`: positions read with 0
        after a fill must not come from a question put before it."""
        oldest = time.monotonic() - max_age_ms / 1000
        known = self._facts.get(key)
        if known is not None and known.asked_at >= oldest:
            return known
        asked_at, task = self._asking.get(key, (0.0, None))
        if task is None or task.done() or asked_at < oldest:
            asked_at = time.monotonic()
            task = asyncio.create_task(self._ask(key, asked_at))
            self._asking[key] = asked_at, task
        return await asyncio.shield(task)  # one asker giving up must not fail the others

    async def _ask(self, key: FactKey, asked_at: float) -> Fact[Any]:
        if key.kind not in READS or (key.kind in PER_SYMBOL) != bool(key.symbol):
            raise ValueError(
                f"{key}: kind is one of {', '.join(READS)}; a symbol goes with {sorted(PER_SYMBOL)}"
            )
        fact = Fact(await READS[key.kind](self.venue(key.venue), key.symbol), asked_at)
        known = self._facts.get(key)
        if known is None or known.asked_at < asked_at:
            self._facts[key] = fact
        return fact


async def _settled(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T | VenueError]:
    """In order; a `VenueError` is a value, anything else is a bug and is raised."""
    answers = await asyncio.gather(*coroutines, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, VenueError):
            raise answer
    return answers  # type: ignore[return-value]


def _connect(endpoint: VenueEndpoint, before_send: BeforeSend) -> Venue:
    from trading.venues.binanceusdm import BinanceUsdm
    from trading.venues.bybit import Bybit
    from trading.venues.okx import Okx

    kinds: Mapping[str, Callable[..., Venue]] = {"binanceusdm": BinanceUsdm, "okx": Okx, "bybit": Bybit}
    if endpoint.venue not in kinds:
        raise not_sent(endpoint.venue, f"no adapter; there are: {', '.join(kinds)}")
    venue = kinds[endpoint.venue](endpoint, before_send=before_send)
    # ccxt brought 160,000 objects that stay for good. Walking them at each full collection stops every thread
    # of the process for 0.2 s, in the middle of an order as well: the collector need not look at them again.
    gc.freeze()
    return venue
