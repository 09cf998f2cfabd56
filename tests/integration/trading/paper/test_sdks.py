"""Binance's and OKX's paper venues through the venues' own clients, which share nothing with ccxt: their own
paths, parameter names and signatures. They keep real time, and so do the venues here."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from binance.error import ClientError
from binance.um_futures import UMFutures
from okx.Account import AccountAPI
from okx.MarketData import MarketAPI
from okx.PublicData import PublicAPI
from okx.Trade import TradeAPI

from trading.paper.server import PaperVenues

SWAP = "BTC-USDT-SWAP"
REST = {"instId": SWAP, "tdMode": "cross", "side": "buy", "ordType": "limit"}


# python-okx speaks to httpx, and reads the clock, in ways that both have deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning"),
]


class Okx(NamedTuple):
    trade: Any
    account: Any
    market: Any
    public: Any


def with_binance(data_dir: Path, script: Callable[[Any], Any], **changed: str) -> Any:
    """Run `script` with a UMFutures in a thread, beside the venue's loop; `changed`: key or secret."""

    async def run() -> Any:
        async with PaperVenues(data_dir) as venues:
            venue = venues["binanceusdm"]
            keys = {"key": venue.keys.api_key, "secret": venue.keys.api_secret} | changed
            client = UMFutures(base_url=venue.base_url, **keys)
            try:
                return await asyncio.to_thread(script, client)
            finally:
                client.session.close()

    return asyncio.run(run())


def with_okx(data_dir: Path, script: Callable[[Okx], Any], **changed: str) -> Any:
    """As `with_binance`; `changed`: api_key, api_secret_key or passphrase."""

    async def run() -> Any:
        async with PaperVenues(data_dir) as venues:
            venue = venues["okx"]
            keys = {
                "api_key": venue.keys.api_key,
                "api_secret_key": venue.keys.api_secret,
                "passphrase": venue.keys.api_passphrase,
            } | changed
            kinds = (TradeAPI, AccountAPI, MarketAPI, PublicAPI)
            clients = Okx(*(kind(**keys, flag="0", domain=venue.base_url) for kind in kinds))
            try:
                return await asyncio.to_thread(script, clients)
            finally:
                for client in clients:
                    client.close()

    return asyncio.run(run())


def refused(call: Callable[..., Any], *args: Any, **params: Any) -> tuple[int, int]:
    with pytest.raises(ClientError) as caught:
        call(*args, **params)
    return caught.value.status_code, caught.value.error_code


# -- Binance --


def binance_best(client: Any) -> tuple[Decimal, Decimal]:
    book = client.depth("BTCUSDT", limit=5)
    return Decimal(book["bids"][0][0]), Decimal(book["asks"][0][0])


def resting(client: Any, key: str) -> dict[str, Any]:
    price = str(binance_best(client)[0] - 500)
    fields = {"timeInForce": "GTC", "quantity": "0.02", "price": price, "newClientOrderId": key}
    return {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT"} | fields


def test_binance_an_order_is_placed_found_and_cancelled(tmp_path: Path) -> None:
    def script(client: Any) -> None:
        made = client.new_order(**resting(client, "rest-1_a:b/c.d"))
        by_key = {"symbol": "BTCUSDT", "origClientOrderId": "rest-1_a:b/c.d"}
        found = client.query_order(**by_key)
        assert (found["orderId"], found["status"], found["origQty"]) == (made["orderId"], "NEW", "0.020")
        assert [row["clientOrderId"] for row in client.get_orders()] == ["rest-1_a:b/c.d"]
        assert client.get_open_orders(**by_key)["orderId"] == made["orderId"]
        assert client.cancel_order(**by_key)["status"] == "CANCELED"
        assert client.get_orders(symbol="BTCUSDT") == []
        assert client.query_order("BTCUSDT", orderId=made["orderId"])["status"] == "CANCELED"
        assert refused(client.cancel_order, **by_key) == (400, -2011)
        assert refused(client.query_order, "BTCUSDT", origClientOrderId="never") == (400, -2013)

    with_binance(tmp_path, script)


def test_binance_a_fill_is_a_position_with_trades_and_income(tmp_path: Path) -> None:
    def script(client: Any) -> None:
        before = Decimal(client.balance()[0]["balance"])
        order = resting(client, "take1") | {"price": str(binance_best(client)[1] + 100), "timeInForce": "IOC"}
        made = client.new_order(**order, newOrderRespType="RESULT")
        assert (made["status"], made["executedQty"]) == ("FILLED", "0.020")
        (position,) = client.get_position_risk()
        assert (position["symbol"], Decimal(position["positionAmt"])) == ("BTCUSDT", Decimal("0.02"))
        trades = client.get_account_trades("BTCUSDT", orderId=made["orderId"])
        assert sum(Decimal(row["qty"]) for row in trades) == Decimal("0.02")
        assert client.get_account_trades("BTCUSDT", fromId=trades[0]["id"]) == trades
        income = client.get_income_history(incomeType="COMMISSION", startTime=trades[0]["time"], limit=1000)
        assert {row["tradeId"] for row in income} == {str(row["id"]) for row in trades}
        paid = sum(Decimal(row["income"]) for row in income)
        assert Decimal(client.account()["totalWalletBalance"]) - before == paid < 0

    with_binance(tmp_path, script)


def test_binance_refusals_come_with_their_codes(tmp_path: Path) -> None:
    def script(client: Any) -> None:
        order = resting(client, "bad1")
        for change, code in (
            ({"quantity": "0.0001"}, -1111),
            ({"quantity": "0.001"}, -4164),
            ({"quantity": "900"}, -2019),
            ({"reduceOnly": "true"}, -2022),
            ({"price": str(Decimal(order["price"]) + Decimal("0.05"))}, -4014),
            ({"timeInForce": "GTX", "price": str(binance_best(client)[1] + 100)}, -5022),
        ):
            assert refused(client.new_order, **(order | change)) == (400, code), change
        assert client.get_orders() == []
        client.new_order(**order)
        assert refused(client.new_order, **order) == (400, -4116)

    with_binance(tmp_path, script)


def test_binance_batch_timer_settings_and_public_reads(tmp_path: Path) -> None:
    def script(client: Any) -> None:
        rows = [resting(client, "batch1"), resting(client, "batch2") | {"reduceOnly": "true"}]
        made = client.new_batch_order(rows)
        assert (made[0]["clientOrderId"], made[1]["code"]) == ("batch1", -2022)
        assert client.countdown_cancel_order("BTCUSDT", countdownTime=30_000)["countdownTime"] == "30000"
        assert client.cancel_open_orders("BTCUSDT")["code"] == 200
        assert client.get_orders() == []
        assert client.change_leverage("BTCUSDT", leverage=7)["leverage"] == 7
        assert client.get_position_mode() == {"dualSidePosition": False}
        assert refused(client.change_position_mode, "false") == (400, -4059)
        assert client.commission_rate("BTCUSDT")["takerCommissionRate"] == "0.000500"
        assert Decimal(client.mark_price("BTCUSDT")["markPrice"]) > 0
        assert client.time()["serverTime"] > 1_700_000_000_000
        assert "BTCUSDT" in {row["symbol"] for row in client.exchange_info()["symbols"]}

    with_binance(tmp_path, script)


@pytest.mark.parametrize(("changed", "code"), [({"secret": "wrong"}, -1022), ({"key": "wrong"}, -2015)])
def test_binance_a_wrong_secret_is_told_apart_from_a_wrong_key(
    changed: dict[str, str], code: int, tmp_path: Path
) -> None:
    assert with_binance(tmp_path, lambda client: refused(client.account)[1], **changed) == code


# -- OKX --


def okx_best(client: Okx) -> tuple[Decimal, Decimal]:
    book = client.market.get_orderbook(SWAP, sz="1")["data"][0]
    return Decimal(book["bids"][0][0]), Decimal(book["asks"][0][0])


def test_okx_an_order_is_placed_found_and_cancelled(tmp_path: Path) -> None:
    def script(client: Okx) -> None:
        price = str(okx_best(client)[0] - 500)
        made = client.trade.place_order(**REST, sz="2", px=price, clOrdId="rest1")
        assert (made["code"], made["data"][0]["sCode"]) == ("0", "0")
        order_id = made["data"][0]["ordId"]
        (found,) = client.trade.get_order(SWAP, clOrdId="rest1")["data"]
        assert (found["ordId"], found["state"], found["sz"], found["px"]) == (order_id, "live", "2", price)
        assert [row["clOrdId"] for row in client.trade.get_order_list(instType="SWAP")["data"]] == ["rest1"]
        assert client.trade.cancel_order(SWAP, clOrdId="rest1")["data"][0]["ordId"] == order_id
        assert client.trade.get_order_list()["data"] == []
        assert client.trade.get_order(SWAP, ordId=order_id)["data"][0]["state"] == "canceled"
        again = client.trade.cancel_order(SWAP, clOrdId="rest1")
        assert (again["code"], again["data"][0]["sCode"]) == ("1", "51401")
        assert client.trade.get_order(SWAP, clOrdId="never")["code"] == "51603"

    with_okx(tmp_path, script)


def test_okx_a_fill_is_a_position_with_fills_and_bills(tmp_path: Path) -> None:
    def script(client: Okx) -> None:
        order = REST | {"ordType": "ioc", "px": str(okx_best(client)[1] + 100)}
        made = client.trade.place_order(**order, sz="2", clOrdId="take1")["data"][0]
        assert client.trade.get_order(SWAP, clOrdId="take1")["data"][0]["state"] == "filled"
        (position,) = client.account.get_positions(instType="SWAP")["data"]
        assert (position["instId"], position["pos"]) == (SWAP, "2")
        fills = client.trade.get_fills(ordId=made["ordId"])["data"]
        assert sum(Decimal(row["fillSz"]) for row in fills) == 2
        assert client.trade.get_fills_history("SWAP", ordId=made["ordId"])["data"] == fills
        bills = client.account.get_account_bills(type="2")["data"]
        assert {row["tradeId"] for row in bills} == {row["tradeId"] for row in fills}
        (wallet,) = client.account.get_account_balance(ccy="USDT")["data"][0]["details"]
        assert wallet["cashBal"] == bills[0]["bal"]

    with_okx(tmp_path, script)


def test_okx_refusals_come_with_their_codes(tmp_path: Path) -> None:
    def script(client: Okx) -> None:
        bid, _ = okx_best(client)
        order = REST | {"sz": "2", "px": str(bid - 500), "clOrdId": "bad1"}
        for change, code in (
            ({"sz": "0.005"}, "51121"),
            ({"sz": "90000"}, "51008"),
            ({"reduceOnly": "true"}, "51169"),
            ({"px": str(bid - 500 + Decimal("0.05"))}, "51000"),
            ({"px": str(bid * 2)}, "51006"),
            ({"clOrdId": "not-alnum"}, "51000"),
            ({"instId": "NONE-USDT-SWAP"}, "51001"),
        ):
            answer = client.trade.place_order(**(order | change))
            assert (answer["code"], answer["data"][0]["sCode"]) == ("1", code), change
        assert client.trade.get_order_list()["data"] == []
        assert client.trade.place_order(**order)["code"] == "0"
        assert client.trade.place_order(**order)["data"][0]["sCode"] == "51016"

    with_okx(tmp_path, script)


def test_okx_batch_settings_and_public_reads(tmp_path: Path) -> None:
    def script(client: Okx) -> None:
        px = str(okx_best(client)[0] - 500)
        rows = [REST | {"sz": "2", "px": px, "clOrdId": key} for key in ("batch1", "not-alnum")]
        made = client.trade.place_multiple_orders(rows)
        assert (made["code"], [row["sCode"] for row in made["data"]]) == ("2", ["0", "51000"])
        gone = client.trade.cancel_multiple_orders([{"instId": SWAP, "clOrdId": "batch1"}])
        assert gone["code"] == "0"
        assert client.account.set_leverage("7", "cross", instId=SWAP)["data"][0]["lever"] == "7"
        assert client.account.get_leverage("cross", instId=SWAP)["data"][0]["lever"] == "7"
        assert client.account.get_account_config()["data"][0]["posMode"] == "net_mode"
        assert client.account.get_fee_rates("SWAP", instFamily="BTC-USDT")["data"][0]["takerU"] == "-0.0005"
        (instrument,) = client.public.get_instruments("SWAP", instId=SWAP)["data"]
        assert (instrument["ctVal"], instrument["state"]) == ("0.01", "live")
        assert len(client.public.funding_rate_history(SWAP, limit="3")["data"]) == 3
        assert int(client.public.get_system_time()["data"][0]["ts"]) > 1_700_000_000_000

    with_okx(tmp_path, script)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"api_secret_key": "wrong"}, "50113"),
        ({"api_key": "wrong"}, "50111"),
        ({"passphrase": "no"}, "50105"),
    ],
)
def test_okx_says_what_of_the_key_is_wrong(changed: dict[str, str], code: str, tmp_path: Path) -> None:
    def script(client: Okx) -> Any:
        return client.account.get_positions()["code"]

    assert with_okx(tmp_path, script, **changed) == code
