"""What every ccxt venue shares: two clients, the wire under them, and the frame around each call.

We ask through ccxt's *implicit* endpoint methods (`fapiPrivatePostOrder`, `privatePostTradeOrder`, …): ccxt
builds the URL, signs, sends and discovers the markets; the answers we read ourselves, from the venue's own
strings into Decimal. ccxt's unified methods return floats (books too), truncate a quantity that is off the
grid instead of letting the venue refuse it, and on OKX drop fields that we need.

Two clients per venue: *orders* for the calls that an execution waits for, never throttled, and *data* for the
rest, paced by us. ccxt's own limiter is off on both: it adds 50–200 ms to an order that follows a book (facts
§1).
"""

import asyncio
import json
import re
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import wraps
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar
from urllib.parse import urlsplit

import ccxt

from trading.domain.market import Book, Instrument
from trading.venues.errors import not_sent, refusal, silence
from trading.venues.interface import (
    CLIENT_TIMEOUT_MS,
    ClockSample,
    DeadMan,
    NewOrder,
    OrderReport,
    VenueEndpoint,
    VenueError,
    Verdict,
)
from trading.venues.loopback import assert_loopback, rebased
from trading.venues.streams import News, Streams

ACCEPT_WINDOW_MS = 5_000  # recvWindow, expTime: how long a signed order stays acceptable (spec 5)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MODE_SEC, PERMISSION_SEC, FEE_SEC, FUNDING_SEC = 2.0, 60.0, 600.0, 3600.0  # how long answers are kept
KEPT = timedelta(days=90)  # how far back both venues answer for trades and bills, in full
CLIENT_ORDER_ID = re.compile(r"[A-Za-z0-9]{1,32}")  # the narrowest of the venues (OKX)

BeforeSend = Callable[[str, str], None]
P = ParamSpec("P")
T = TypeVar("T")
V = TypeVar("V", bound="CcxtVenue")


class Wire:
    """Mixed into a ccxt class: exact numbers in, our verdicts out, a last look before an order leaves."""

    venue: "CcxtVenue"

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        """Runs after `sign()`: the last place where an order can still be held back (spec 5)."""
        if method == "POST" and urlsplit(url).path == self.venue.order_path:
            self.venue.check_before_send(method, url)
        return await super().fetch(url, method, headers, body)  # type: ignore[misc]

    def on_json_response(self, text: str) -> Any:
        return json.loads(text, parse_float=Decimal)

    def handle_errors(
        self,
        status: int,
        _reason: str,
        _url: str,
        _method: str,
        headers: dict[str, str],
        text: str,
        answer: Any,
        *_: Any,
    ) -> None:
        """ccxt calls this with every answer, good or bad, before it looks at the HTTP status itself."""
        self.venue.heard({name.lower(): value for name, value in headers.items()})
        error = refusal(self.venue.name, status=status, answer=answer, text=text)
        if error is not None:
            raise error


def guarded(
    method: Callable[Concatenate[V, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[V, P], Coroutine[Any, Any, T]]:
    """Nothing but `VenueError` leaves: no answer, or one that we cannot read, is AMBIGUOUS."""

    @wraps(method)
    async def inner(self: V, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await method(self, *args, **kwargs)
        except (
            ccxt.BaseError,
            OSError,
            TimeoutError,
            ArithmeticError,
            LookupError,
            TypeError,
            ValueError,
        ) as error:
            raise silence(self.name, error) from error

    return inner


def paced(
    method: Callable[Concatenate[V, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[V, P], Coroutine[Any, Any, T]]:
    """A `guarded` read that waits its turn, and is refused here while the venue told us to stay away."""

    read = guarded(method)

    @wraps(method)
    async def inner(self: V, /, *args: P.args, **kwargs: P.kwargs) -> T:
        self.check_not_cooling()
        await self.turn()
        return await read(self, *args, **kwargs)

    return inner


class CcxtVenue(ABC):
    """A `Venue` but for the dialect. Not thread-safe: all calls from one event loop."""

    name: str
    order_path: str
    dead_man: DeadMan
    fenced: ClassVar[bool]
    reads_per_sec: ClassVar[float] = 10.0  # under half of what the venues allow; nothing retries
    burst: ClassVar[int] = 20

    def __init__(self, endpoint: VenueEndpoint, *, before_send: BeforeSend | None = None) -> None:
        if endpoint.profile == "paper" and endpoint.base_url is None:
            raise ValueError(f"{self.name}: profile paper needs a base_url on loopback")
        self.before_send = before_send
        self.orders, self.data = self._connect(endpoint), self._connect(endpoint)
        self._streams = Streams(self, lambda kind: self._connect(endpoint, kind))
        self._loading = asyncio.Lock()
        self._instruments: dict[str, Instrument] = {}
        self._by_id: dict[str, Instrument] = {}  # delisted ones too: an old position still has a size
        self._answers: dict[str, tuple[float, Any]] = {}
        self._asking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._weight: dict[str, int] = {}
        self._next_turn = self._cool_until = 0.0
        self._due: defaultdict[str, float] = defaultdict(float)

    # -- clients --

    @abstractmethod
    def _client(self, credentials: dict[str, Any], kind: type | None) -> Any:
        """A ccxt client of this venue with `Wire` in front; `kind`: another class of it (ccxt.pro's)."""

    @abstractmethod
    def _use_testnet(self, client: Any) -> None: ...

    def _connect(self, endpoint: VenueEndpoint, kind: type | None = None) -> Any:
        client = self._client(
            {
                "apiKey": endpoint.api_key,
                "secret": endpoint.api_secret,
                "password": endpoint.api_passphrase,
                "enableRateLimit": False,
                "timeout": CLIENT_TIMEOUT_MS,
            },
            kind,
        )
        client.venue = self
        client.options["maxRetriesOnFailure"] = 0  # a retry would be signed anew, past our last look
        if client.options.get("recvWindow", 0) > ACCEPT_WINDOW_MS:
            raise ValueError(f"{self.name}: recvWindow above {ACCEPT_WINDOW_MS} ms is not accepted (spec 5)")
        client.has["fetchCurrencies"] = False  # a private call to another host, of no use here
        if endpoint.base_url is not None:
            client.urls = {"api": rebased(client.urls["api"], endpoint.base_url)}
            assert_loopback(client)
            client.timeout_on_exit = 0  # ccxt waits for TLS goodbyes; there is no TLS here
        elif endpoint.profile == "testnet":
            self._use_testnet(client)
        return client

    async def close(self) -> None:
        await asyncio.gather(self.orders.close(), self.data.close(), self._streams.close())

    # -- what the wire tells us --

    def check_before_send(self, method: str, url: str) -> None:
        """Raise `VenueError(REJECTED, code="not_sent")` when the hook does, whatever it raises."""
        if self.before_send is None:
            return
        try:
            self.before_send(method, url)
        except Exception as error:  # whatever the hook raises, the order does not leave
            raise not_sent(self.name, f"held back after signing: {error}") from error

    def heard(self, headers: Mapping[str, str]) -> None:
        """Weight used, and for how long to stay away, as an answer's headers state them."""
        for header, value in headers.items():
            if header.startswith(("x-mbx-used-weight-", "x-mbx-order-count-")) and value.isdigit():
                self._weight[header.removeprefix("x-mbx-")] = int(value)
        if headers.get("retry-after", "").isdigit():
            self.stay_away(int(headers["retry-after"]))

    def stay_away(self, seconds: int) -> None:
        """No reads and no new orders for so long, see `check_not_cooling`."""
        self._cool_until = time.monotonic() + seconds

    def weight_used(self) -> Mapping[str, int]:
        return dict(self._weight)

    def check_not_cooling(self) -> None:
        """Binance bans who keeps asking after a 429: reads and new orders stop here, cancels do not."""
        left = self._cool_until - time.monotonic()
        if left > 0:
            detail = f"the venue asked us to stay away for another {left:.0f} s"
            raise VenueError(Verdict.RATE_LIMITED, venue=self.name, code="cooling_down", detail=detail)

    async def turn(self) -> None:
        """At most `reads_per_sec` in the long run, `burst` at once."""
        now = time.monotonic()
        step = 1 / self.reads_per_sec
        self._next_turn = max(self._next_turn, now - self.burst * step) + step
        if self._next_turn > now:
            await asyncio.sleep(self._next_turn - now)

    async def spaced(self, name: str, seconds: float) -> None:
        """At most one request of `name` in `seconds`, whoever asks: a long statement is many pages."""
        now = time.monotonic()
        due = max(now, self._due[name])
        self._due[name] = due + seconds
        await asyncio.sleep(due - now)

    def _sample(self, venue_time: datetime, before: datetime, round_trip: float) -> ClockSample:
        """`round_trip` seconds by the monotonic clock, begun at `before` by ours."""
        offset = venue_time - (before + timedelta(seconds=round_trip / 2))
        offset_ms = round(offset / timedelta(milliseconds=1))
        return ClockSample(self.name, offset_ms=offset_ms, round_trip_ms=round(round_trip * 1000))

    async def _kept(self, name: str, seconds: float, ask: Callable[[], Awaitable[Any]]) -> Any:
        """An answer that changes rarely and is dear to ask for (Binance: position mode 30 of 2,400 a minute,
        fees 20; OKX: 5 in 2 s), kept for `seconds` and asked for by one at a time."""
        async with self._asking[name]:
            asked_at, answer = self._answers.get(name, (float("-inf"), None))
            if time.monotonic() - asked_at > seconds:
                asked_at = time.monotonic()
                answer = await ask()
                self._answers[name] = asked_at, answer
            return answer

    # -- instruments --

    async def load(self) -> Mapping[str, Instrument]:
        async with self._loading:
            if not self._instruments:
                await self._load()
        return self._instruments

    @paced
    async def _load(self) -> None:
        await self.data.load_markets()
        for market in _swaps(self.data.markets):
            try:
                instrument = self._instrument(market)
            except (LookupError, ArithmeticError, TypeError):
                continue  # one row that we cannot read is one unknown symbol, not a venue that is down
            self._by_id[market["id"]] = instrument
            if market["active"]:
                self._instruments[instrument.symbol] = instrument

    @abstractmethod
    def _instrument(self, market: Mapping[str, Any]) -> Instrument: ...

    async def _market_id(self, symbol: str) -> str:
        await self.load()
        if symbol not in self._instruments:
            raise not_sent(self.name, f"unknown symbol {symbol}")
        return str(self.data.markets[symbol]["id"])

    def contract_size(self, symbol: str) -> Decimal:
        """Base coin per unit of the venue's quantities. Raises `VenueError` REJECTED `not_sent`."""
        if symbol not in self._instruments:
            raise not_sent(self.name, f"unknown symbol {symbol}")
        return self._instruments[symbol].contract_size

    # -- streams --

    def watch_orders(self) -> AsyncIterator[News]:
        return self._streams.orders()

    @property
    def listening(self) -> bool:
        return self._streams.listening

    @property
    def gaps(self) -> Mapping[str, datetime]:
        return self._streams.gaps

    def watch_book(self, symbol: str, *, depth: int = 50) -> AsyncIterator[Book]:
        return self._streams.book(symbol, depth=depth)

    @abstractmethod
    def news(self, message: Mapping[str, Any]) -> Iterable[News]:
        """What a message of the private stream says of orders and fills; of other things, nothing."""

    # -- orders --

    async def place(self, order: NewOrder) -> OrderReport:
        """One attempt. What we refuse ourselves is REJECTED `not_sent`, since no byte left."""
        if not CLIENT_ORDER_ID.fullmatch(order.client_order_id):
            raise not_sent(
                self.name, f"client order id {order.client_order_id!r}: 1 to 32 letters and digits"
            )
        if order.qty <= 0 or order.price <= 0:
            raise not_sent(self.name, f"quantity {order.qty} and price {order.price} must be above 0")
        try:
            market_id = await self._market_id(order.symbol)
        except VenueError as error:
            raise not_sent(self.name, f"instrument not known: {error}") from error
        self.check_not_cooling()
        return await self._place(order, market_id)

    def check_kept(self, since: datetime, *, now: datetime) -> None:
        """Raises `VenueError` REJECTED `not_sent`: without what is forgotten it would only look complete."""
        if since < now - KEPT:
            raise not_sent(
                self.name, f"since {since:%Y-%m-%d}: the venue keeps its records for {KEPT.days} days"
            )

    def check_dead_man(self, timeout_sec: int) -> None:
        """Raises `VenueError` REJECTED `not_sent` for what the venue's timer does not take; 0 disarms."""
        low, high = self.dead_man.min_sec, self.dead_man.max_sec
        if timeout_sec and not low <= timeout_sec <= high:
            raise not_sent(self.name, f"dead-man timer of {timeout_sec} s: {low} to {high} s, or 0 to disarm")

    @abstractmethod
    async def _place(self, order: NewOrder, market_id: str) -> OrderReport: ...


# -- values --


def utcnow() -> datetime:
    return datetime.now(UTC)


def _swaps(markets: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for market in markets.values():
        if market["swap"] and market["linear"] and market["quote"] == market["settle"] == "USDT":
            yield market


def at(milliseconds: Any) -> datetime:
    return EPOCH + timedelta(milliseconds=int(milliseconds))


def milliseconds(moment: datetime) -> int:
    """Whole milliseconds since the epoch, rounded down. Raises TypeError for a naive `moment`."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


def plain(value: Decimal) -> str:
    """No exponent, no trailing zeros: 4E+1 → 40."""
    return f"{value.normalize():f}"


def some(text: Any) -> Decimal | None:
    """Decimal, or None for what the venues write for "none": "", "0", null."""
    return Decimal(text) or None if text else None
