"""What the dialects share: a request, a reply, an endpoint, and how a request is turned into a reply."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from trading.paper.engine import Engine
from trading.paper.instruments import Instrument
from trading.paper.market import FUNDING_MS, Levels
from trading.paper.orders import ZERO, Reason, Refused

PLAIN_NUMBER = re.compile(r"\d{1,20}(\.\d{1,20})?")


@dataclass(frozen=True, slots=True)
class Keys:
    api_key: str
    api_secret: str
    api_passphrase: str = ""


@dataclass(slots=True)
class Call:
    """One request. `query` and `body` raw, as they were signed; header names in lower case."""

    method: str
    path: str
    query: str
    body: str
    headers: Mapping[str, str]
    now_ms: int
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Reply:
    body: str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class Rejection(Exception):
    """The venue's own error: HTTP status, code, text."""

    def __init__(self, status: int, code: str, text: str, *, retry_after: int = 0) -> None:
        super().__init__(f"{code}: {text}")
        self.status, self.code, self.text, self.retry_after = status, code, text, retry_after


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`kind` is what faults match on; `cost` is in the venue's own measure of rate."""

    kind: str
    signed: bool
    cost: int
    run: Callable[[Call], Any]


class Dialect(ABC):
    """REST of one venue over its engine. Synchronous throughout: one request is one step of the venue."""

    def __init__(self, engine: Engine, keys: Keys) -> None:
        self.engine, self.keys = engine, keys
        self.by_symbol: dict[str, Instrument] = {i.id: i for i in engine.instruments.values()}
        self.fill_at_most: Decimal | None = None  # of the request that is being answered (fault "partial")
        self._sides: dict[tuple[str, int], tuple[object, str]] = {}
        self.routes: dict[tuple[str, str], Endpoint] = {}

    # -- the life of a request --

    def answer(self, call: Call, *, fill_at_most: Decimal | None = None) -> Reply:
        """Never raises for what a client did wrong: that is an answer."""
        try:
            endpoint = self._admitted(call)
            self.fill_at_most = fill_at_most
            reply = Reply(self.wrap(endpoint.run(call)))
        except Rejection as rejection:
            reply = self.rejected(rejection)
        except Refused as refused:
            reply = self.rejected(self.rejection_of(refused, call))
        reply.headers.update(self.rate_headers(call.now_ms))
        return reply

    def _admitted(self, call: Call) -> Endpoint:
        endpoint = self.endpoint(call)
        if endpoint is None:
            raise self.no_such_endpoint()
        self.charge(call, endpoint)
        if endpoint.signed:
            self.authenticate(call)
        return endpoint

    def endpoint(self, call: Call) -> Endpoint | None:
        return self.routes.get((call.method, call.path))

    @abstractmethod
    def parse(self, call: Call) -> None:
        """Fill `call.params`."""

    @abstractmethod
    def subject(self, call: Call) -> tuple[str, str]:
        """(symbol, side) of the request as far as it names them, for faults."""

    @abstractmethod
    def charge(self, call: Call, endpoint: Endpoint) -> None:
        """Count the request against the limits. Raises Rejection."""

    @abstractmethod
    def authenticate(self, call: Call) -> None:
        """Raises Rejection."""

    @abstractmethod
    def wrap(self, data: Any) -> str: ...

    @abstractmethod
    def rejected(self, rejection: Rejection) -> Reply: ...

    @abstractmethod
    def rejection_of(self, refused: Refused, call: Call) -> Rejection: ...

    @abstractmethod
    def no_such_endpoint(self) -> Rejection: ...

    @abstractmethod
    def throttled(self, *, banned: bool, retry_after: int) -> Rejection:
        """What this venue says to who asks too often."""

    @abstractmethod
    def unknown_outcome(self) -> Rejection:
        """What it says when it cannot tell whether a request was executed."""

    def rate_headers(self, now_ms: int) -> dict[str, str]:
        return {}

    # -- parameters --

    def instrument(self, call: Call, name: str) -> Instrument:
        """Raises Refused MISSING or UNKNOWN_SYMBOL."""
        symbol = call.params.get(name)
        if not symbol:
            raise Refused(Reason.MISSING, name)
        try:
            return self.by_symbol[str(symbol)]
        except KeyError:
            raise Refused(Reason.UNKNOWN_SYMBOL, str(symbol)) from None

    def instruments(self, call: Call, name: str) -> list[Instrument]:
        """The named one, or all of them."""
        return [self.instrument(call, name)] if call.params.get(name) else list(self.by_symbol.values())

    # -- books --

    def render_side(self, base: str, levels: Levels, number: int, render: Callable[[Levels], str]) -> str:
        """`levels` as JSON, rendered again only when they are not the very levels of the last time."""
        key = (base, number)
        known = self._sides.get(key)
        if known is None or known[0] is not levels:
            known = (levels, render(levels))
            self._sides[key] = known
        return known[1]

    def book_levels(self, base: str) -> tuple[Levels, Levels]:
        """Bids and asks; the ladder's own tuples where nothing of ours is in or missing from it."""
        if self.engine.untouched(base):
            ladder = self.engine.ladder(base)
            return ladder.bids, ladder.asks
        return self.engine.book(base)

    # -- figures --

    def liquidation_price(self, base: str) -> Decimal:
        """Where equity would meet maintenance if only this price moved; 0 when nowhere above 0."""
        account, instrument = self.engine.account, self.engine.instruments[base]
        position, mark = account.position(base), self.engine.mark(base)
        rate = instrument.maintenance_rate
        others = self.engine.equity() - position.unrealised(mark)
        kept_for_others = self.engine.maintenance() - abs(position.net) * mark * rate
        slope = position.net - abs(position.net) * rate
        price = (position.net * position.entry - others + kept_for_others) / slope if slope else ZERO
        return max(ZERO, round(price, instrument.price_decimals))


def next_funding(now_ms: int) -> int:
    return (now_ms // FUNDING_MS + 1) * FUNDING_MS


def compact(data: Any) -> str:
    return json.dumps(data, separators=(",", ":"))


def plain(value: Decimal) -> str:
    """The shortest decimal notation, never an exponent."""
    return f"{value.normalize():f}" if value else "0"


def number(text: Any, name: str) -> Decimal:
    """A plain non-negative decimal. Raises Refused MISSING or BAD_VALUE."""
    if text in (None, ""):
        raise Refused(Reason.MISSING, name)
    if not PLAIN_NUMBER.fullmatch(str(text)):
        raise Refused(Reason.BAD_VALUE, name)
    try:
        return Decimal(str(text))
    except InvalidOperation:
        raise Refused(Reason.BAD_VALUE, name) from None


def whole(text: Any, name: str, default: int | None = None) -> int:
    """Raises Refused MISSING (when there is no default) or BAD_VALUE."""
    if text in (None, "") and default is not None:
        return default
    value = number(text, name)
    if value != int(value):
        raise Refused(Reason.BAD_VALUE, name)
    return int(value)
