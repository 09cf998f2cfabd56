"""What goes over the wire, and what we make of a wire that misbehaves: real HTTP and ccxt."""

import json
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.integration.trading.venues.scripted import SYMBOL, Adapter, Answer, an_order, run, scripted
from trading.domain.market import TimeInForce
from trading.venues.binanceusdm import BinanceUsdm
from trading.venues.bybit import Bybit
from trading.venues.interface import OrderStatus, VenueError, Verdict
from trading.venues.okx import Okx

KINDS: tuple[type[Adapter], ...] = (BinanceUsdm, Okx, Bybit)
ACCEPTED: dict[type[Adapter], Answer] = {
    BinanceUsdm: Answer(
        {
            "symbol": "BTCUSDT",
            "orderId": 8389765,
            "clientOrderId": an_order().client_order_id,
            "side": "BUY",
            "origQty": "0.400",
            "executedQty": "0.123",
            "avgPrice": "61800.05",
            "status": "EXPIRED",
            "updateTime": 1700000000123,
        }
    ),
    Okx: Answer(
        {"code": "0", "msg": "", "data": [{"ordId": "312269865356374016", "clOrdId": "x", "sCode": "0"}]}
    ),
    Bybit: Answer(
        {"retCode": 0, "retMsg": "OK", "result": {"orderId": "c6f055d9-7f21", "orderLinkId": "x"}, "time": 1}
    ),
}
KEY = "cb0123456789abcdef0123456789abcd"


def place(kind: type[Adapter], answer: Answer, **options: Any) -> tuple[Any, Any]:
    """Place one order against a venue that gives `answer`: (report or VenueError, the server)."""
    order = an_order(**options.pop("order", {}))

    async def go() -> tuple[Any, Any]:
        async with scripted(kind, {kind.order_path: answer}, **options) as (venue, server):
            try:
                return await venue.place(order), server
            except VenueError as error:
                return error, server

    return run(go())


def test_binance_order_is_one_signed_post_with_a_short_window() -> None:
    report, server = place(BinanceUsdm, ACCEPTED[BinanceUsdm])
    assert [(seen.method, seen.path) for seen in server.seen] == [("POST", "/fapi/v1/order")]
    sent = {name: values[0] for name, values in parse_qs(server.seen[0].body).items()}
    assert len(sent.pop("signature")) == 64
    assert int(sent.pop("timestamp")) > 0
    assert sent == {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "IOC",
        "quantity": "0.4",
        "price": "61800.1",
        "newClientOrderId": KEY,
        "newOrderRespType": "RESULT",
        "recvWindow": "5000",
    }
    assert (report.status, report.filled, report.average_price) == (
        OrderStatus.CANCELED,
        Decimal("0.123"),
        Decimal("61800.05"),
    )


def test_okx_order_is_in_contracts_and_carries_its_own_expiry() -> None:
    report, server = place(Okx, ACCEPTED[Okx])
    assert [(seen.method, seen.path) for seen in server.seen] == [("POST", "/api/v5/trade/order")]
    assert json.loads(server.seen[0].body) == {
        "instId": "BTC-USDT-SWAP",
        "tdMode": "cross",
        "side": "buy",
        "ordType": "ioc",
        "sz": "40",
        "px": "61800.1",
        "clOrdId": KEY,
    }
    headers = {name.lower(): value for name, value in server.seen[0].headers.items()}
    assert headers["ok-access-timestamp"].endswith("Z")
    assert int(headers["exptime"]) > 0
    assert (report.status, report.filled, report.qty) == (None, None, Decimal("0.4"))


def test_bybit_order_is_one_signed_post_with_a_short_window() -> None:
    report, server = place(Bybit, ACCEPTED[Bybit])
    assert [(seen.method, seen.path) for seen in server.seen] == [("POST", "/v5/order/create")]
    assert json.loads(server.seen[0].body) == {
        "category": "linear",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "orderType": "Limit",
        "timeInForce": "IOC",
        "qty": "0.4",
        "price": "61800.1",
        "positionIdx": 0,
        "orderLinkId": KEY,
    }
    headers = {name.lower(): value for name, value in server.seen[0].headers.items()}
    assert headers["x-bapi-recv-window"] == "5000"
    assert len(headers["x-bapi-sign"]) == 64
    assert (report.status, report.filled, report.venue_order_id) == (None, None, "c6f055d9-7f21")


@pytest.mark.parametrize(
    ("order", "binance", "okx", "bybit"),
    [
        ({"post_only": True, "time_in_force": TimeInForce.GTC}, "GTX", "post_only", "PostOnly"),
        ({"time_in_force": TimeInForce.FOK}, "FOK", "fok", "FOK"),
        ({"time_in_force": TimeInForce.GTC}, "GTC", "limit", "GTC"),
    ],
)
def test_time_in_force_in_each_dialect(order: dict[str, Any], binance: str, okx: str, bybit: str) -> None:
    _, server = place(BinanceUsdm, ACCEPTED[BinanceUsdm], order=order)
    assert parse_qs(server.seen[0].body)["timeInForce"] == [binance]
    _, server = place(Okx, ACCEPTED[Okx], order=order)
    assert json.loads(server.seen[0].body)["ordType"] == okx
    _, server = place(Bybit, ACCEPTED[Bybit], order=order)
    assert json.loads(server.seen[0].body)["timeInForce"] == bybit


def test_reduce_only_in_each_dialect() -> None:
    _, server = place(BinanceUsdm, ACCEPTED[BinanceUsdm], order={"reduce_only": True})
    assert parse_qs(server.seen[0].body)["reduceOnly"] == ["true"]
    for kind in (Okx, Bybit):
        _, server = place(kind, ACCEPTED[kind], order={"reduce_only": True})
        assert json.loads(server.seen[0].body)["reduceOnly"] is True


SILENCES = [
    Answer(None),  # cut after the venue has read the order
    Answer("<html>502 Bad Gateway</html>", status=502),
    Answer("Service Unavailable", status=503),
    Answer('{"orderId": 83', status=200),
    Answer("", status=200),
    Answer({"hello": "world"}, status=200),  # an answer, but not to our question
    Answer([], status=200),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("answer", SILENCES, ids=lambda a: f"{a.status}-{a.body!r:.12}")
def test_no_clear_answer_is_ambiguous_and_is_never_asked_again(kind: type[Adapter], answer: Answer) -> None:
    error, server = place(kind, answer)
    assert isinstance(error, VenueError)
    assert error.verdict is Verdict.AMBIGUOUS
    assert len(server.seen) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_venue_that_is_down_is_ambiguous(kind: type[Adapter]) -> None:
    async def go() -> Verdict:
        async with scripted(kind, {}) as (venue, server):
            await venue.load()
            await server.stop()
            with pytest.raises(VenueError) as caught:
                await venue.place(an_order())
            return caught.value.verdict

    assert run(go()) is Verdict.AMBIGUOUS


@pytest.mark.parametrize("kind", KINDS)
def test_without_instruments_an_order_is_not_sent(kind: type[Adapter]) -> None:
    async def go() -> str:
        async with scripted(kind, {}) as (venue, server):
            await server.stop()
            with pytest.raises(VenueError) as caught:
                await venue.place(an_order())
            return caught.value.code

    assert run(go()) == "not_sent"


REFUSALS: list[tuple[type[Adapter], Answer, Verdict, str]] = [
    (BinanceUsdm, Answer({"code": -2019, "msg": "Margin is insufficient."}, 400), Verdict.REJECTED, "-2019"),
    (BinanceUsdm, Answer({"code": -1021, "msg": "Timestamp"}, 400), Verdict.REJECTED, "-1021"),
    (BinanceUsdm, Answer({"code": -2015, "msg": "Invalid API-key"}, 401), Verdict.AUTH, "-2015"),
    (BinanceUsdm, Answer({"code": -1007, "msg": "Timeout"}, 408), Verdict.AMBIGUOUS, "-1007"),
    (BinanceUsdm, Answer({"code": -1003, "msg": "Too many"}, 429), Verdict.RATE_LIMITED, "-1003"),
    (BinanceUsdm, Answer({"code": -4140, "msg": "Invalid symbol status"}, 400), Verdict.MAINTENANCE, "-4140"),
    (Okx, Answer({"code": "1", "data": [{"sCode": "51008", "sMsg": "margin"}]}), Verdict.REJECTED, "51008"),
    (Okx, Answer({"code": "50102", "data": [], "msg": "Timestamp"}, 401), Verdict.REJECTED, "50102"),
    (Okx, Answer({"code": "50113", "data": [], "msg": "Invalid Sign"}, 401), Verdict.AUTH, "50113"),
    (Okx, Answer({"code": "50004", "data": [], "msg": "timeout"}, 400), Verdict.AMBIGUOUS, "50004"),
    (Okx, Answer({"code": "50013", "data": [], "msg": "busy"}, 429), Verdict.RATE_LIMITED, "50013"),
    (Okx, Answer({"code": "50013", "data": [], "msg": "busy"}, 503), Verdict.AMBIGUOUS, "50013"),
    (Okx, Answer({"code": "50001", "data": [], "msg": "upgrade"}, 503), Verdict.MAINTENANCE, "50001"),
    (Bybit, Answer({"retCode": 110007, "retMsg": "ab not enough"}), Verdict.REJECTED, "110007"),
    (Bybit, Answer({"retCode": 10002, "retMsg": "recv_window"}), Verdict.REJECTED, "10002"),
    (Bybit, Answer({"retCode": 10004, "retMsg": "error sign"}), Verdict.AUTH, "10004"),
    (Bybit, Answer({"retCode": 10006, "retMsg": "Too many visits"}), Verdict.RATE_LIMITED, "10006"),
    (Bybit, Answer("access too frequent", 403), Verdict.RATE_LIMITED, "http_403"),
    (Bybit, Answer({"retCode": 10016, "retMsg": "Server error"}), Verdict.AMBIGUOUS, "10016"),
    (Bybit, Answer({"retCode": 10000, "retMsg": "Server Timeout"}), Verdict.AMBIGUOUS, "10000"),
    (Bybit, Answer({"retCode": 110066, "retMsg": "not allowed"}), Verdict.MAINTENANCE, "110066"),
]


@pytest.mark.parametrize(("kind", "answer", "verdict", "code"), REFUSALS)
def test_refusals_come_back_by_the_venues_own_code(
    kind: type[Adapter], answer: Answer, verdict: Verdict, code: str
) -> None:
    error, server = place(kind, answer)
    assert (error.verdict, error.code) == (verdict, code)
    assert len(server.seen) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_an_order_held_back_after_signing_is_not_sent(kind: type[Adapter]) -> None:
    asked: list[tuple[str, str]] = []

    def refuse(method: str, url: str) -> None:
        asked.append((method, url))
        raise RuntimeError("past the deadline")

    error, server = place(kind, ACCEPTED[kind], before_send=refuse)
    assert (error.verdict, error.code) == (Verdict.REJECTED, "not_sent")
    assert "past the deadline" in error.detail
    assert server.seen == []
    assert asked == [("POST", f"{server.url}{kind.order_path}")]


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_look_is_for_orders_only(kind: type[Adapter]) -> None:
    def refuse(method: str, url: str) -> None:
        raise RuntimeError(f"{method} {url}")

    answers = {
        "/fapi/v1/order": Answer({}),
        "/api/v5/trade/cancel-order": Answer({"code": "0", "data": []}),
        "/v5/order/cancel": Answer({"retCode": 0, "result": {}}),
    }

    async def go() -> list[str]:
        async with scripted(kind, answers, before_send=refuse) as (venue, server):
            await venue.cancel(SYMBOL, KEY)
            return [seen.method for seen in server.seen]

    assert len(run(go())) == 1


BAD_ORDERS: list[dict[str, Any]] = [
    {"client_order_id": "cb-1"},
    {"client_order_id": ""},
    {"client_order_id": "a" * 33},
    {"symbol": "NOPE/USDT:USDT"},
    {"qty": Decimal(0)},
    {"price": Decimal(-1)},
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", BAD_ORDERS, ids=str)
def test_what_no_venue_would_take_never_leaves(kind: type[Adapter], order: dict[str, Any]) -> None:
    error, server = place(kind, ACCEPTED[kind], order=order)
    assert (error.verdict, error.code) == (Verdict.REJECTED, "not_sent")
    assert server.seen == []


def test_a_quantity_off_the_contract_grid_is_sent_as_it_is_never_rounded() -> None:
    _, server = place(Okx, ACCEPTED[Okx], order={"qty": Decimal("0.40005")})
    assert json.loads(server.seen[0].body)["sz"] == "40.005"


def test_numbers_that_a_float_would_spoil_come_through() -> None:
    bids, asks = '[["61800.10","0.1000000000000000000001"]]', "[[0.1,3]]"
    body = f'{{"lastUpdateId":1,"T":1700000000123,"bids":{bids},"asks":{asks}}}'

    async def go() -> Any:
        async with scripted(BinanceUsdm, {"/fapi/v1/depth": Answer(body)}) as (venue, _):
            return await venue.book(SYMBOL)

    book = run(go())
    assert book.bids[0].qty == Decimal("0.1000000000000000000001")
    assert book.asks[0].price == Decimal("0.1")


def test_told_to_stay_away_we_do_but_cancels_still_go() -> None:
    busy = Answer({"code": -1003, "msg": "banned"}, 418, {"Retry-After": "60"})
    answers = {"/fapi/v1/time": busy, "/fapi/v1/order": Answer({})}

    async def go() -> tuple[list[str], list[str]]:
        async with scripted(BinanceUsdm, answers) as (venue, server):
            await venue.load()
            codes = []
            for coroutine in (venue.clock(), venue.clock(), venue.place(an_order())):
                with pytest.raises(VenueError) as caught:
                    await coroutine
                assert caught.value.verdict is Verdict.RATE_LIMITED
                codes.append(caught.value.code)
            await venue.cancel(SYMBOL, KEY)
            return codes, [f"{seen.method} {seen.path}" for seen in server.seen]

    codes, seen = run(go())
    assert codes == ["-1003", "cooling_down", "cooling_down"]
    assert seen == ["GET /fapi/v1/time", "DELETE /fapi/v1/order"]


def test_weight_used_is_what_the_headers_say() -> None:
    headers = {"X-MBX-USED-WEIGHT-1M": "37", "X-MBX-ORDER-COUNT-10S": "2"}

    async def go() -> Any:
        answer = Answer({"serverTime": 1700000000123}, headers=headers)
        async with scripted(BinanceUsdm, {"/fapi/v1/time": answer}) as (venue, _):
            assert venue.weight_used() == {}
            await venue.clock()
            return venue.weight_used()

    assert run(go()) == {"used-weight-1m": 37, "order-count-10s": 2}


def test_dear_answers_are_kept_and_the_position_mode_only_until_it_is_set() -> None:
    answers = {
        "/fapi/v1/positionSide/dual": Answer({"dualSidePosition": False}),
        "/fapi/v1/symbolConfig": Answer([{"marginType": "CROSSED", "leverage": 5}]),
        "/fapi/v1/commissionRate": Answer({"makerCommissionRate": "0.0002", "takerCommissionRate": "0.0005"}),
        "/sapi/v1/account/apiRestrictions": Answer({"enableFutures": True, "enableWithdrawals": True}),
    }

    async def go() -> tuple[Any, list[str]]:
        async with scripted(BinanceUsdm, answers) as (venue, server):
            await venue.account(SYMBOL)
            account = await venue.account(SYMBOL)
            first = [seen.path.rpartition("/")[2] for seen in server.seen]
            await venue.set_position_mode(one_way=True)
            server.seen.clear()
            await venue.account(SYMBOL)
            return account, [*sorted(first), "then", *sorted(s.path.rpartition("/")[2] for s in server.seen)]

    account, asked = run(go())
    assert account.can_withdraw
    once = ["apiRestrictions", "commissionRate", "dual"]
    assert asked == [*once, "symbolConfig", "symbolConfig", "then", "dual", "symbolConfig"]
