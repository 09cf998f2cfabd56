"""A venue of a few lines: real HTTP on loopback, with answers written down.

The paper venues prove what a venue means; this one proves what we do with bytes: it counts requests, and it
can answer HTML, half a JSON, or nothing at all.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar

from aiohttp import web

from trading.domain.market import Side
from trading.venues.base import BeforeSend
from trading.venues.binanceusdm import BinanceUsdm
from trading.venues.bybit import Bybit
from trading.venues.interface import NewOrder, VenueEndpoint
from trading.venues.okx import Okx

T = TypeVar("T")
Adapter = BinanceUsdm | Okx | Bybit
SYMBOL = "BTC/USDT:USDT"

_BINANCE_ROW = {
    "symbol": "BTCUSDT",
    "pair": "BTCUSDT",
    "contractType": "PERPETUAL",
    "status": "TRADING",
    "baseAsset": "BTC",
    "quoteAsset": "USDT",
    "marginAsset": "USDT",
    "orderTypes": ["LIMIT"],
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "0.10", "maxPrice": "1000000", "tickSize": "0.10"},
        {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
        {"filterType": "MIN_NOTIONAL", "notional": "100"},
    ],
}
_OKX_ROW = {
    "instType": "SWAP",
    "instId": "BTC-USDT-SWAP",
    "instFamily": "BTC-USDT",
    "uly": "BTC-USDT",
    "baseCcy": "",
    "quoteCcy": "",
    "settleCcy": "USDT",
    "ctVal": "0.01",
    "ctMult": "1",
    "ctValCcy": "BTC",
    "ctType": "linear",
    "lotSz": "0.1",
    "minSz": "0.1",
    "tickSz": "0.1",
    "maxLmtSz": "100000",
    "lever": "100",
    "state": "live",
    "listTime": "1573557408000",
    "expTime": "",
}
_BYBIT_ROW = {
    "symbol": "BTCUSDT",
    "contractType": "LinearPerpetual",
    "status": "Trading",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "settleCoin": "USDT",
    "launchTime": "1584230400000",
    "deliveryTime": "0",
    "priceScale": "2",
    "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
    "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
    "lotSizeFilter": {
        "maxOrderQty": "1190.000",
        "minOrderQty": "0.001",
        "qtyStep": "0.001",
        "minNotionalValue": "5",
    },
    "fundingInterval": 480,
}
INSTRUMENTS = {
    "/fapi/v1/exchangeInfo": {"symbols": [_BINANCE_ROW]},
    "/api/v5/public/instruments": {"code": "0", "data": [_OKX_ROW]},
    "/v5/market/instruments-info": {
        "retCode": 0,
        "result": {"category": "linear", "list": [_BYBIT_ROW], "nextPageCursor": ""},
    },
}


@dataclass(frozen=True)
class Answer:
    """`body` None: the connection is cut after the request was read."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    async def send(self, request: web.Request) -> web.StreamResponse:
        if self.body is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        return web.Response(
            text=text, status=self.status, headers=self.headers, content_type="application/json"
        )


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    headers: Mapping[str, str]
    body: str
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass
class ScriptedVenue:
    url: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    stop: Callable[[], Awaitable[None]] = field(init=False)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path in INSTRUMENTS:
            return await Answer(INSTRUMENTS[request.path]).send(request)
        seen = Seen(
            request.method, request.path, dict(request.headers), await request.text(), dict(request.query)
        )
        self.seen.append(seen)
        return await self.answers[request.path].send(request)


@asynccontextmanager
async def scripted(
    kind: type[Adapter], answers: Mapping[str, Answer], *, before_send: BeforeSend | None = None
) -> AsyncIterator[tuple[Adapter, ScriptedVenue]]:
    """Our adapter of `kind`, talking to a server that gives `answers` by path."""
    server = ScriptedVenue(answers=dict(answers))
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", server.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.stop = runner.cleanup
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    venue = connect(kind, server.url, before_send=before_send)
    try:
        yield venue, server
    finally:
        await venue.close()
        await runner.cleanup()


def connect(kind: type[Adapter], base_url: str, *, before_send: BeforeSend | None = None) -> Adapter:
    keys = {"api_key": "key", "api_secret": "secret", "api_passphrase": "phrase"}
    return kind(VenueEndpoint(kind.name, "paper", base_url=base_url, **keys), before_send=before_send)


def an_order(**changes: Any) -> NewOrder:
    fields: dict[str, Any] = {
        "symbol": SYMBOL,
        "side": Side.BUY,
        "qty": Decimal("0.4"),
        "price": Decimal("61800.1"),
        "client_order_id": "cb0123456789abcdef0123456789abcd",
    }
    return NewOrder(**(fields | changes))


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)
