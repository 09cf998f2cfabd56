"""Each fault as a client meets it, put there through the control endpoint."""

import asyncio
from pathlib import Path
from typing import Any

import ccxt
import pytest

from tests.integration.trading.paper.clients import BTC, Desk, find_order, play

VENUES = ("binanceusdm", "okx", "bybit")
SYMBOL = {"binanceusdm": "BTCUSDT", "okx": "BTC-USDT-SWAP", "bybit": "BTCUSDT"}
LOTS = {"binanceusdm": 0.1, "okx": 10, "bybit": 0.1}
each = pytest.mark.parametrize("venue", VENUES)


async def take(desk: Desk, venue: str, client_order_id: str = "fault1") -> Any:
    """An IOC that would be filled whole."""
    client = desk.clients[venue]
    ask = (await client.fetch_order_book(BTC, 20))["asks"][-1][0]
    return await client.create_order(
        BTC, "limit", "buy", LOTS[venue], ask, {"timeInForce": "IOC", "clientOrderId": client_order_id}
    )


def net(desk: Desk, venue: str) -> float:
    return float(desk.venues[venue].engine.account.position("BTC").net)


@pytest.mark.parametrize(
    ("venue", "code", "error"),
    [
        ("binanceusdm", "-2019", ccxt.InsufficientFunds),
        ("okx", "50004", Exception),
        ("bybit", "10016", ccxt.ExchangeError),
    ],
)
def test_reject_does_nothing_once(venue: str, code: str, error: type[Exception], tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        await desk.control(venue, "POST", "faults", effect="reject", kind="place", code=code, message="no")
        with pytest.raises(error, match=code):
            await take(desk, venue)
        assert net(desk, venue) == 0
        await take(desk, venue)
        assert net(desk, venue) == pytest.approx(0.1)

    play(tmp_path, script)


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ({"status": 503, "code": "-1000"}, ccxt.OperationFailed),
        ({"status": 429, "code": "-1003", "retry_after": 7}, ccxt.DDoSProtection),
        ({"status": 502}, ccxt.ExchangeNotAvailable),
    ],
)
def test_a_gateway_can_answer_instead(rule: dict[str, Any], error: type[Exception], tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        client = desk.clients["binanceusdm"]
        await desk.control("binanceusdm", "POST", "faults", effect="reject", kind="query", **rule)
        with pytest.raises(error):
            await client.fetch_open_orders(BTC)
        assert client.last_response_headers.get("Retry-After") == ("7" if "retry_after" in rule else None)
        assert await client.fetch_open_orders(BTC) == []

    play(tmp_path, script)


@each
def test_partial(venue: str, tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        await desk.control(
            venue, "POST", "faults", effect="partial", kind="place", fraction="0.3", side="buy"
        )
        await take(desk, venue)
        order = await find_order(desk.clients[venue], "fault1")
        assert order["filled"] == pytest.approx(LOTS[venue] * 0.3)
        assert order["status"] in ("expired", "canceled")

    play(tmp_path, script)


@each
def test_the_answer_is_lost_but_the_order_lives(venue: str, tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        await desk.control(venue, "POST", "faults", effect="drop_answer_after_accept", kind="place")
        with pytest.raises(ccxt.NetworkError):
            await take(desk, venue)
        order = await find_order(desk.clients[venue], "fault1")
        assert order["filled"] == LOTS[venue]
        assert net(desk, venue) == pytest.approx(0.1)

    play(tmp_path, script)


@each
def test_a_venue_that_is_down_resets_everyone_but_the_control(venue: str, tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        await desk.control(venue, "POST", "faults", effect="venue_down")
        for _ in range(2):
            with pytest.raises(ccxt.NetworkError):
                await desk.clients[venue].fetch_time()
        other = next(name for name in VENUES if name != venue)
        assert await desk.clients[other].fetch_time()
        assert await desk.control(venue, "DELETE", "faults") == []
        assert await desk.clients[venue].fetch_time()

    play(tmp_path, script)


@pytest.mark.parametrize("after", [False, True])
def test_delay_before_or_after_the_venue_acts(after: bool, tmp_path: Path) -> None:
    """On the venue's clock: the request hangs until that has moved on."""

    async def script(desk: Desk) -> None:
        venue = "okx"
        rule = await desk.control(venue, "POST", "faults", effect="delay", kind="place", ms=2000, after=after)
        placing = asyncio.create_task(take(desk, venue))
        while (await desk.control(venue, "GET", "faults"))[0]["hits"] == 0:
            await asyncio.sleep(0)
        assert net(desk, venue) == pytest.approx(0.1 if after else 0)
        assert not placing.done()
        await desk.control(venue, "POST", "clock", advance_ms=2000)
        await placing
        assert net(desk, venue) == pytest.approx(0.1)
        await desk.control(venue, "DELETE", "faults", id=rule["id"])

    play(tmp_path, script)


@each
def test_prices_are_set_and_shifted_and_liquidity_withdrawn(venue: str, tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        client, symbol = desk.clients[venue], SYMBOL[venue]
        await desk.control(venue, "POST", "market", symbol=symbol, mid="50000")
        bid = (await client.fetch_order_book(BTC, 5))["bids"][0][0]
        assert bid == pytest.approx(50_000, abs=1)
        await desk.control(venue, "POST", "market", symbol=symbol, shift_bps=20)
        shifted = await client.fetch_order_book(BTC, 5)
        assert shifted["bids"][0][0] == pytest.approx(50_100, abs=1)
        await desk.control(venue, "POST", "market", symbol=symbol, withdraw="asks")
        book = await client.fetch_order_book(BTC, 5)
        assert (book["asks"], book["bids"]) == ([], shifted["bids"])
        await desk.control(venue, "DELETE", "market")
        book = await client.fetch_order_book(BTC, 5)
        assert book["asks"]
        assert book["bids"][0][0] != pytest.approx(50_100, abs=1)

    play(tmp_path, script)


def test_the_control_endpoint_asks_for_its_token(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        url = f"{desk.venues['okx'].base_url}/paper/control/state"
        for headers in ({}, {"X-Paper-Control": "wrong"}):
            async with desk.http.get(url, headers=headers) as answer:
                assert answer.status == 403
        state = await desk.control("okx", "GET", "state")
        assert state["account"]["wallet"] == "100000"

    play(tmp_path, script)


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("faults", {"effect": "explode"}),
        ("market", {"symbol": "DOGE", "mid": "1"}),
        ("market", {"symbol": "BTC-USDT-SWAP", "mid": "much"}),
        ("market", {"symbol": "BTC-USDT-SWAP", "price": "1"}),
        ("clock", {"set_ms": 1}),
        ("recording", {"minute": 5}),
        ("limits", {"weight_1m": 5}),
    ],
)
def test_control_says_what_is_wrong(verb: str, body: dict[str, Any], tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        url = f"{desk.venues['okx'].base_url}/paper/control/{verb}"
        headers = {"X-Paper-Control": desk.venues.control_token}
        async with desk.http.post(url, headers=headers, json=body) as answer:
            assert answer.status == 400
            assert (await answer.json())["error"]

    play(tmp_path, script)
