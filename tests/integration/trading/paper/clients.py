"""Real ccxt clients pointed at paper venues of this process, on the venues' own clock."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import ccxt.async_support as ccxt

from trading.paper.server import PaperVenues

BTC = "BTC/USDT:USDT"


class BinanceUsdm(ccxt.binanceusdm):  # type: ignore[misc]
    def get_exceptions_by_url(self, _url: str, exceptions: str) -> Any:
        """ccxt picks the error classes by the host of the URL; loopback gets those of the real one."""
        return super().get_exceptions_by_url("https://fapi.binance.com/fapi", exceptions)


OPTIONS: dict[str, dict[str, Any]] = {
    "binanceusdm": {},
    "okx": {"defaultType": "swap", "fetchMarkets": {"types": ["swap"]}},
    "bybit": {"fetchMarkets": {"types": ["linear"]}, "fetchOrder": {"acknowledged": True}},
}


def client_of(name: str, row: dict[str, str]) -> Any:
    """A ccxt client with every URL of its exchange on `row["base_url"]`."""
    config = {
        "apiKey": row["api_key"],
        "secret": row["api_secret"],
        "password": row.get("api_passphrase"),
        "enableRateLimit": False,
        "options": OPTIONS[name],
    }
    kinds = {"binanceusdm": BinanceUsdm, "okx": ccxt.okx, "bybit": ccxt.bybit}
    client = kinds[name](config)
    client.has["fetchCurrencies"] = False  # a private call to another host
    api = client.urls["api"]
    for key, url in api.items():
        if isinstance(url, str):
            path = url.split("/", 3)[3:]
            api[key] = "/".join([row["base_url"], *path])
    client.timeout_on_exit = 0
    return client


async def find_order(client: Any, client_order_id: str) -> Any:
    """By our own id. ccxt asks Bybit for the order "None" (facts §1): there the list of one is asked for."""
    if client.id == "bybit":
        (order,) = await client.fetch_open_orders(BTC, params={"orderLinkId": client_order_id})
        return order
    return await client.fetch_order(None, BTC, {"clientOrderId": client_order_id})


async def cancel_order(client: Any, client_order_id: str) -> None:
    """By our own id, by the name that the venue has for it."""
    name = "orderLinkId" if client.id == "bybit" else "clientOrderId"
    await client.cancel_order(None, BTC, {name: client_order_id})


class Desk:
    """Paper venues, a client for each, and the control endpoint."""

    def __init__(self, venues: PaperVenues, clients: dict[str, Any], http: aiohttp.ClientSession) -> None:
        self.venues, self.clients, self.http = venues, clients, http

    async def control(self, venue: str, method: str, verb: str, **body: Any) -> Any:
        url = f"{self.venues[venue].base_url}/paper/control/{verb}"
        headers = {"X-Paper-Control": self.venues.control_token}
        async with self.http.request(method, url, headers=headers, json=body or None) as answer:
            data = await answer.json()
            assert answer.status == 200, data
            return data


@asynccontextmanager
async def desk(data_dir: Path, *, virtual: bool = True, **options: Any) -> AsyncIterator[Desk]:
    """Virtual by default: prices stand still until the test moves the clock."""
    async with PaperVenues(data_dir, virtual=virtual, **options) as venues, aiohttp.ClientSession() as http:
        rows = venues.endpoints()["venues"]
        clients = {name: client_of(name, rows[name]) for name in rows}
        try:
            for client in clients.values():
                client.milliseconds = venues.clock.now_ms
                await client.load_markets()
            yield Desk(venues, clients, http)
        finally:
            await asyncio.gather(*(client.close() for client in clients.values()))


def play(data_dir: Path, script: Callable[[Desk], Awaitable[Any]], **options: Any) -> Any:
    """Run `script` against a desk of its own."""

    async def run() -> Any:
        async with desk(data_dir, **options) as one:
            return await script(one)

    return asyncio.run(run())
