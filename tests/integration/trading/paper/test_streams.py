"""The venues' sockets by hand, as their documents say: handshake, subscription, ping, refusal, limits."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.integration.trading.paper.clients import Desk, play

DEPTH = {"method": "SUBSCRIBE", "params": ["btcusdt@depth@100ms"], "id": 7}


async def opened(desk: Desk, venue: str, path: str) -> aiohttp.ClientWebSocketResponse:
    return await desk.http.ws_connect(f"{desk.venues[venue].base_url}{path}")


async def asked(socket: aiohttp.ClientWebSocketResponse, words: Any) -> Any:
    await socket.send_str(words if isinstance(words, str) else json.dumps(words))
    text = await socket.receive_str()
    return text if text == "pong" else json.loads(text)


async def listen_key(desk: Desk, method: str = "POST", key: str | None = None) -> Any:
    venue = desk.venues["binanceusdm"]
    headers = {"X-MBX-APIKEY": venue.keys.api_key if key is None else key}
    async with desk.http.request(method, f"{venue.base_url}/fapi/v1/listenKey", headers=headers) as answer:
        return await answer.json()


def test_a_listen_key_is_good_for_an_hour_from_the_last_word(tmp_path: Path) -> None:
    async def go(desk: Desk) -> None:
        key = (await listen_key(desk))["listenKey"]
        assert (await listen_key(desk, "PUT"))["listenKey"] == key
        socket = await opened(desk, "binanceusdm", f"/private/ws?listenKey={key}")
        await socket.close()
        desk.venues.move_clock(desk.venues.clock.now_ms() + 3_600_001)
        assert (await listen_key(desk, "PUT"))["code"] == -1125
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await opened(desk, "binanceusdm", f"/private/ws?listenKey={key}")
        assert (await listen_key(desk, key="wrong"))["code"] == -2015

    play(tmp_path, go)


def test_binance_s_differences_follow_one_another_and_the_snapshot(tmp_path: Path) -> None:
    async def go(desk: Desk) -> None:
        venue = desk.venues["binanceusdm"]
        socket = await opened(desk, "binanceusdm", "/public/ws/1")
        assert await asked(socket, DEPTH) == {"result": None, "id": 7}
        async with desk.http.get(f"{venue.base_url}/fapi/v1/depth?symbol=BTCUSDT&limit=1000") as answer:
            snapshot = await answer.json()
        before = None
        for _ in range(3):
            desk.venues.move_clock(desk.venues.clock.now_ms() + 200)
            event = json.loads(await socket.receive_str())
            assert event["U"] <= event["u"]
            if before is None:
                assert event["pu"] <= snapshot["lastUpdateId"] <= event["u"]
            else:
                assert event["pu"] == before
            before = event["u"]
        refused = await asked(socket, {"method": "SUBSCRIBE", "params": ["nosuch@depth"], "id": 8})
        assert (refused["id"], refused["error"]["code"]) == (8, 2)

    play(tmp_path, go)


def okx_login(desk: Desk, **changed: str) -> dict[str, Any]:
    keys = desk.venues["okx"].keys
    stamp = changed.pop("timestamp", str(desk.venues.clock.now_ms() // 1000))
    digest = hmac.new(
        keys.api_secret.encode(), f"{stamp}GET/users/self/verify".encode(), hashlib.sha256
    ).digest()
    arg = {
        "apiKey": keys.api_key,
        "passphrase": keys.api_passphrase,
        "timestamp": stamp,
        "sign": base64.b64encode(digest).decode(),
    }
    return {"op": "login", "args": [arg | changed]}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({}, "0"),
        ({"apiKey": "x"}, "60005"),
        ({"timestamp": "1"}, "60006"),
        ({"timestamp": "now"}, "60006"),
        ({"sign": "x"}, "60007"),
        ({"passphrase": "x"}, "60024"),
    ],
)
def test_okx_s_login(tmp_path: Path, changed: dict[str, str], code: str) -> None:
    async def go(desk: Desk) -> None:
        socket = await opened(desk, "okx", "/ws/v5/private")
        assert await asked(socket, "ping") == "pong"
        orders = {"op": "subscribe", "args": [{"channel": "orders", "instType": "ANY"}]}
        assert (await asked(socket, orders))["code"] == "60011", "not before the login"
        assert (await asked(socket, okx_login(desk, **changed)))["code"] == code
        answer = await asked(socket, orders)
        assert answer["event"] == ("subscribe" if code == "0" else "error")
        unknown = {"op": "subscribe", "args": [{"channel": "books", "instId": "NO-SUCH-SWAP"}]}
        assert (await asked(socket, unknown))["code"] == "60018"
        assert (await asked(socket, "rubbish"))["code"] == "60012"

    play(tmp_path, go)


@pytest.mark.parametrize("wrong", ["", "key", "sign", "late"])
def test_bybit_s_auth(tmp_path: Path, wrong: str) -> None:
    async def go(desk: Desk) -> None:
        keys, now = desk.venues["bybit"].keys, desk.venues.clock.now_ms()
        expires = str(now - 1 if wrong == "late" else now + 10_000)
        digest = hmac.new(
            keys.api_secret.encode(), f"GET/realtime{expires}".encode(), hashlib.sha256
        ).hexdigest()
        args = ["x" if wrong == "key" else keys.api_key, expires, "x" if wrong == "sign" else digest]
        socket = await opened(desk, "bybit", "/v5/private")
        assert (await asked(socket, {"op": "ping"}))["ret_msg"] == "pong"
        assert not (await asked(socket, {"op": "subscribe", "args": ["order"]}))["success"]
        assert (await asked(socket, {"op": "auth", "args": args}))["success"] is not bool(wrong)
        assert (await asked(socket, {"op": "subscribe", "args": ["order"]}))["success"] is not bool(wrong)

    play(tmp_path, go)


@pytest.mark.parametrize(
    ("venue", "path"), [("binanceusdm", "/nowhere"), ("okx", "/ws/v6"), ("bybit", "/v5/x")]
)
def test_there_is_no_such_stream(tmp_path: Path, venue: str, path: str) -> None:
    async def go(desk: Desk) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await opened(desk, venue, path)
        assert refused.value.status == 404

    play(tmp_path, go)


def test_bybit_s_snapshot_and_deltas(tmp_path: Path) -> None:
    async def go(desk: Desk) -> None:
        socket = await opened(desk, "bybit", "/v5/public/linear")
        topic = {"op": "subscribe", "args": ["orderbook.50.BTCUSDT"]}
        assert (await asked(socket, topic))["success"]
        first = json.loads(await socket.receive_str())
        assert (first["type"], len(first["data"]["b"])) == ("snapshot", 25)
        desk.venues.move_clock(desk.venues.clock.now_ms() + 200)
        second = json.loads(await socket.receive_str())
        assert (second["type"], second["data"]["u"]) == ("delta", first["data"]["u"] + 1)

    play(tmp_path, go)


def test_faults_by_the_control_endpoint(tmp_path: Path) -> None:
    async def go(desk: Desk) -> None:
        url = f"{desk.venues['okx'].base_url}/paper/control/stream_faults"
        headers = {"X-Paper-Control": desk.venues.control_token}
        async with desk.http.post(url, json={"effect": "gap", "kind": "public"}, headers=headers) as answer:
            assert (await answer.json())["effect"] == "gap"
        for body, says in (({"effect": "rain"}, "half_open"), ({"gap": 1}, "unknown gap"), ({}, "required")):
            async with desk.http.post(url, json=body, headers=headers) as answer:
                assert answer.status == 400
                assert says in (await answer.json())["error"]
        async with desk.http.delete(url, headers=headers) as answer:
            assert await answer.json() == []

    play(tmp_path, go)
