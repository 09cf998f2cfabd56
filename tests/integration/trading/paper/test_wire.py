"""Signatures, time windows, limits and addresses, signed by hand as the venues' documents say."""

import asyncio
import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.integration.trading.paper.clients import Desk, play

ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
Answer = tuple[int, Any, dict[str, str]]


async def binance(
    desk: Desk,
    method: str,
    path: str,
    params: dict[str, Any],
    *,
    body: dict[str, Any] | None = None,
    age_ms: int = 0,
    window: int | None = None,
    secret: str = "",
    key: str | None = None,
    sign: bool = True,
) -> Answer:
    """`params` in the query string, `body` in the form; the signature ends whichever comes last."""
    venue = desk.venues["binanceusdm"]
    stamp = {"timestamp": desk.venues.clock.now_ms() - age_ms}
    if window is not None:
        stamp["recvWindow"] = window
    query = urlencode(params if body is not None else {**params, **stamp})
    form = urlencode({**body, **stamp}) if body is not None else ""
    digest = hmac.new((secret or venue.keys.api_secret).encode(), (query + form).encode(), hashlib.sha256)
    if sign and form:
        form += f"&signature={digest.hexdigest()}"
    elif sign:
        query += f"&signature={digest.hexdigest()}"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    if key != "":
        headers["X-MBX-APIKEY"] = key or venue.keys.api_key
    url = f"{venue.base_url}{path}?{query}" if query else f"{venue.base_url}{path}"
    async with desk.http.request(method, url, data=form, headers=headers) as answer:
        return answer.status, await answer.json(), dict(answer.headers)


async def okx(
    desk: Desk, method: str, path: str, body: Any = None, *, age_ms: int = 0, **changed: str
) -> Answer:
    """`changed` replaces a header (OK-ACCESS-KEY as `key`) or adds `expTime`; "" leaves it out."""
    venue = desk.venues["okx"]
    now = desk.venues.clock.now_ms() - age_ms
    stamp = datetime.fromtimestamp(now / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    text = json.dumps(body) if body is not None else ""
    total = f"{stamp}{method}/api/v5{path}{text}".encode()
    digest = hmac.new(venue.keys.api_secret.encode(), total, hashlib.sha256).digest()
    given = {
        "key": venue.keys.api_key,
        "sign": base64.b64encode(digest).decode(),
        "timestamp": stamp,
        "passphrase": venue.keys.api_passphrase,
    } | {name: value for name, value in changed.items() if name != "expTime"}
    headers = {f"OK-ACCESS-{name.upper()}": value for name, value in given.items() if value}
    headers |= {"Content-Type": "application/json"} | {k: v for k, v in changed.items() if k == "expTime"}
    async with desk.http.request(
        method, f"{venue.base_url}/api/v5{path}", data=text, headers=headers
    ) as answer:
        return answer.status, await answer.json(), dict(answer.headers)


def test_binance_takes_parameters_in_query_or_body_or_both(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        order = {**ORDER, "price": "60000.0"}
        half = dict(list(order.items())[:3])
        rest = dict(list(order.items())[3:])
        for params, body in ((order, None), ({}, order), (half, rest)):
            status, answer, _ = await binance(desk, "POST", "/fapi/v1/order", params, body=body)
            assert (status, answer["status"]) == (200, "NEW")

    play(tmp_path, script)


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"secret": "wrong"}, 400, -1022),
        ({"key": "wrong"}, 401, -2015),
        ({"key": ""}, 401, -2014),
        ({"sign": False}, 400, -1102),
        ({"age_ms": 5001}, 400, -1021),
        ({"age_ms": 5000}, 200, None),
        ({"age_ms": 9000, "window": 10000}, 200, None),
        ({"age_ms": 101, "window": 100}, 400, -1021),
        ({"age_ms": -999}, 200, None),
        ({"age_ms": -1000}, 400, -1021),
        ({"window": 60001}, 400, -1131),
    ],
)
def test_binance_signature_and_window(
    changed: dict[str, Any], status: int, code: int | None, tmp_path: Path
) -> None:
    async def script(desk: Desk) -> None:
        got, answer, _ = await binance(
            desk, "POST", "/fapi/v1/order", {**ORDER, "price": "60000.0"}, **changed
        )
        assert (got, answer.get("code")) == (status, code)
        assert len(desk.venues["binanceusdm"].engine.orders) == (status == 200)

    play(tmp_path, script)


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"key": "wrong"}, 401, "50111"),
        ({"key": ""}, 401, "50103"),
        ({"sign": "wrong"}, 401, "50113"),
        ({"passphrase": "wrong"}, 401, "50105"),
        ({"timestamp": "yesterday"}, 401, "50112"),
        ({"age_ms": 30_001}, 401, "50102"),
        ({"age_ms": -30_001}, 401, "50102"),
        ({"age_ms": 30_000}, 200, "0"),
        ({"expTime": "1735689599999"}, 400, "50036"),
        ({"expTime": "1735689600000"}, 200, "0"),
    ],
)
def test_okx_signature_and_window(changed: dict[str, Any], status: int, code: str, tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        order = {"instId": "BTC-USDT-SWAP", "tdMode": "cross", "side": "buy", "ordType": "limit"}
        got, answer, _ = await okx(
            desk, "POST", "/trade/order", {**order, "sz": "1", "px": "61000"}, **changed
        )
        assert (got, answer["code"]) == (status, code)
        assert len(desk.venues["okx"].engine.orders) == (status == 200)

    play(tmp_path, script)


def test_okx_signs_the_query_too(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        _, answer, _ = await okx(desk, "GET", "/account/positions?instType=SWAP")
        assert answer == {"code": "0", "msg": "", "data": []}

    play(tmp_path, script)


def test_binance_counts_weight_and_orders(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        url = f"{desk.venues['binanceusdm'].base_url}/fapi/v1/depth?symbol=BTCUSDT&limit=1000"
        async with desk.http.get(url) as answer:
            before = int(answer.headers["X-MBX-USED-WEIGHT-1M"])
        async with desk.http.get(url) as answer:
            assert int(answer.headers["X-MBX-USED-WEIGHT-1M"]) == before + 20
        _, _, headers = await binance(desk, "POST", "/fapi/v1/order", {**ORDER, "price": "60000.0"})
        assert (headers["X-MBX-ORDER-COUNT-10S"], headers["X-MBX-ORDER-COUNT-1M"]) == ("1", "1")

    play(tmp_path, script)


def test_binance_over_the_limit_429_then_418(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        await desk.control("binanceusdm", "POST", "limits", weight_1m=3, orders_10s=1)
        await desk.control("binanceusdm", "POST", "clock", advance_ms=60_000)
        url = f"{desk.venues['binanceusdm'].base_url}/fapi/v1/time"
        statuses = []
        for _ in range(14):
            async with desk.http.get(url) as answer:
                statuses.append((answer.status, answer.headers.get("Retry-After")))
        assert statuses[:3] == [(200, None)] * 3
        assert statuses[3] == (429, "60")
        assert statuses[-1] == (418, "120")
        await desk.control("binanceusdm", "POST", "clock", advance_ms=120_000)
        codes = [
            (await binance(desk, "POST", "/fapi/v1/order", {**ORDER, "price": "60000.0"}))[1].get("code")
            for _ in range(2)
        ]
        assert codes == [None, -1015]

    play(tmp_path, script)


def test_okx_over_the_limit(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        answers = [await okx(desk, "GET", "/account/config") for _ in range(6)]
        assert [status for status, *_ in answers] == [200] * 5 + [429]
        assert answers[-1][1]["code"] == "50011"
        await desk.control("okx", "POST", "clock", advance_ms=2_000)
        assert (await okx(desk, "GET", "/account/config"))[0] == 200

    play(tmp_path, script)


def test_unknown_addresses_are_404(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        for venue in desk.venues.venues.values():
            async with desk.http.get(f"{venue.base_url}/api/v9/nothing") as answer:
                assert answer.status == 404

    play(tmp_path, script)


@pytest.mark.parametrize("body", ["", "{", "[]", "7", '[{"instId":1}]', '{"instId":"BTC-USDT-SWAP","sz":[]}'])
def test_okx_answers_nonsense_with_an_error_of_its_own(body: str, tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        parsed = json.loads(body) if body not in ("", "{") else body
        status, answer, _ = await okx(desk, "POST", "/trade/order", parsed)
        assert status == 200
        assert answer["code"] != "0"

    play(tmp_path, script)


def test_books_are_safe_to_ask_for_in_parallel(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        url = f"{desk.venues['okx'].base_url}/api/v5/market/books?instId=BTC-USDT-SWAP&sz=20"

        async def text() -> str:
            async with desk.http.get(url) as answer:
                return await answer.text()

        assert len(set(await asyncio.gather(*(text() for _ in range(20))))) == 1

    play(tmp_path, script)
