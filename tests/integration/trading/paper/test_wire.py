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


async def bybit(
    desk: Desk,
    method: str,
    path: str,
    given: Any,
    *,
    age_ms: int = 0,
    window: str = "5000",
    key: str | None = None,
    secret: str = "",
    sign: str | None = None,
) -> Answer:
    """`given` is the query string of a GET, the JSON (or raw text) of a POST."""
    venue = desk.venues["bybit"]
    stamp = str(desk.venues.clock.now_ms() - age_ms)
    text = given if isinstance(given, str) else json.dumps(given)
    key = venue.keys.api_key if key is None else key
    total = f"{stamp}{key}{window}{text}".encode()
    digest = hmac.new((secret or venue.keys.api_secret).encode(), total, hashlib.sha256).hexdigest()
    headers = {
        "X-BAPI-API-KEY": key,
        "X-BAPI-TIMESTAMP": stamp,
        "X-BAPI-RECV-WINDOW": window,
        "X-BAPI-SIGN": digest if sign is None else sign,
        "Content-Type": "application/json",
    }
    url, body = f"{venue.base_url}/v5{path}", text if method == "POST" else None
    if method == "GET":
        url += f"?{text}"
    async with desk.http.request(method, url, data=body, headers=headers) as answer:
        return answer.status, await answer.json(), dict(answer.headers)


BYBIT_ORDER = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit"} | {
    "qty": "0.01",
    "price": "61000",
}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"key": "wrong"}, 10003),
        ({"key": ""}, 10003),
        ({"secret": "wrong"}, 10004),
        ({"sign": ""}, 10004),
        ({"window": "soon"}, 10001),
        ({"age_ms": 5001}, 10002),
        ({"age_ms": 5000}, 0),
        ({"age_ms": 9000, "window": "10000"}, 0),
        ({"age_ms": 101, "window": "100"}, 10002),
        ({"age_ms": -999}, 0),
        ({"age_ms": -1000}, 10002),
    ],
)
def test_bybit_signature_and_window(changed: dict[str, Any], code: int, tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        status, answer, _ = await bybit(desk, "POST", "/order/create", BYBIT_ORDER, **changed)
        assert (status, answer["retCode"]) == (200, code)
        assert len(desk.venues["bybit"].engine.orders) == (code == 0)

    play(tmp_path, script)


def test_bybit_signs_the_query_too(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        query = "category=linear&settleCoin=USDT"
        _, answer, headers = await bybit(desk, "GET", "/position/list", query)
        assert answer["result"]["list"] == []
        assert (headers["X-Bapi-Limit"], headers["X-Bapi-Limit-Status"]) == ("50", "49")
        _, answer, _ = await bybit(desk, "GET", "/position/list", query, sign="0" * 64)
        assert answer["retCode"] == 10004

    play(tmp_path, script)


@pytest.mark.parametrize("body", ["", "{", "[]", "7", '{"category":"linear"}', '{"request":[1]}'])
@pytest.mark.parametrize("path", ["/order/create", "/order/create-batch", "/order/cancel"])
def test_bybit_answers_nonsense_with_an_error_of_its_own(path: str, body: str, tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        status, answer, _ = await bybit(desk, "POST", path, body)
        assert (status, answer["retCode"]) == (200, 10001)

    play(tmp_path, script)


def test_bybit_tells_the_rows_of_a_batch_apart(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        row = {name: value for name, value in BYBIT_ORDER.items() if name != "category"}
        rows = [{**row, "orderLinkId": "good"}, {**row, "qty": "99"}, 7]
        _, answer, _ = await bybit(
            desk, "POST", "/order/create-batch", {"category": "linear", "request": rows}
        )
        assert answer["retCode"] == 0
        assert [code["code"] for code in answer["retExtInfo"]["list"]] == [0, 110007, 10001]
        assert [row["orderLinkId"] for row in answer["result"]["list"]] == ["good", "", ""]
        assert len(desk.venues["bybit"].engine.orders) == 1

    play(tmp_path, script)


def test_bybit_over_the_limit_of_an_account(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        answers = [await bybit(desk, "POST", "/order/create", BYBIT_ORDER) for _ in range(11)]
        assert [answer["retCode"] for _, answer, _ in answers] == [0] * 10 + [10006]
        assert [headers["X-Bapi-Limit-Status"] for *_, headers in answers] == [
            str(left) for left in (*range(9, -1, -1), 0)
        ]
        await desk.control("bybit", "POST", "clock", advance_ms=1_000)
        assert (await bybit(desk, "POST", "/order/create", BYBIT_ORDER))[1]["retCode"] == 0

    play(tmp_path, script)


def test_bybit_bars_an_address_for_ten_minutes(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        url = f"{desk.venues['bybit'].base_url}/v5/market/time"

        async def status() -> int:
            async with desk.http.get(url) as answer:
                return answer.status

        await desk.control("bybit", "POST", "clock", advance_ms=5_000)
        assert [await status() for _ in range(601)] == [200] * 600 + [403]
        await desk.control("bybit", "POST", "clock", advance_ms=599_999)
        assert await status() == 403
        await desk.control("bybit", "POST", "clock", advance_ms=1)
        assert await status() == 200

    play(tmp_path, script)
