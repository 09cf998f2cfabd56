"""Bybit's paper venue through `pybit`, a client that shares nothing with ccxt: its own paths, parameters and
signature. It keeps real time, and so does the venue here."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pybit.exceptions import InvalidRequestError
from pybit.unified_trading import HTTP

from trading.paper.server import PaperVenues

BTC = {"category": "linear", "symbol": "BTCUSDT"}
USDT = {"category": "linear", "settleCoin": "USDT"}


def with_pybit(data_dir: Path, script: Callable[[Any], Any]) -> Any:
    """Run `script` with a pybit session in a thread, beside the venue's loop."""

    async def run() -> Any:
        async with PaperVenues(data_dir) as venues:
            venue = venues["bybit"]
            session = HTTP(api_key=venue.keys.api_key, api_secret=venue.keys.api_secret, max_retries=1)
            session.endpoint = venue.base_url
            try:
                return await asyncio.to_thread(script, session)
            finally:
                session.client.close()

    return asyncio.run(run())


def best(session: Any) -> tuple[Decimal, Decimal]:
    book = session.get_orderbook(**BTC, limit=1)["result"]
    return Decimal(book["b"][0][0]), Decimal(book["a"][0][0])


def test_an_order_is_placed_found_and_cancelled(tmp_path: Path) -> None:
    def script(session: Any) -> None:
        bid, _ = best(session)
        order = {"side": "Buy", "orderType": "Limit", "qty": "0.02", "price": str(bid - 500)}
        made = session.place_order(**BTC, **order, orderLinkId="rest-1")["result"]
        assert set(made) == {"orderId", "orderLinkId"}
        (found,) = session.get_open_orders(**BTC, orderLinkId="rest-1")["result"]["list"]
        assert (found["orderId"], found["orderStatus"], found["qty"]) == (made["orderId"], "New", "0.02")
        session.cancel_order(**BTC, orderId=made["orderId"])
        assert session.get_open_orders(**USDT)["result"]["list"] == []
        (closed,) = session.get_order_history(**BTC, orderId=made["orderId"])["result"]["list"]
        assert (closed["orderStatus"], closed["cancelType"]) == ("Cancelled", "CancelByUser")
        with pytest.raises(InvalidRequestError, match="110001"):
            session.cancel_order(**BTC, orderLinkId="rest-1")

    with_pybit(tmp_path, script)


def test_a_fill_is_a_position_with_executions_and_a_statement(tmp_path: Path) -> None:
    def script(session: Any) -> None:
        _, ask = best(session)
        order = {"side": "Buy", "orderType": "Limit", "timeInForce": "IOC", "price": str(ask + 100)}
        made = session.place_order(**BTC, **order, qty="0.05")["result"]
        (position,) = session.get_positions(**USDT)["result"]["list"]
        assert (position["side"], position["size"], position["positionIdx"]) == ("Buy", "0.05", 0)
        executions = session.get_executions(**BTC, orderId=made["orderId"])["result"]["list"]
        assert sum(Decimal(row["execQty"]) for row in executions) == Decimal("0.05")
        rows = session.get_transaction_log(accountType="UNIFIED", currency="USDT")["result"]["list"]
        assert {row["tradeId"] for row in rows} == {row["execId"] for row in executions}
        (wallet,) = session.get_wallet_balance(accountType="UNIFIED", coin="USDT")["result"]["list"]
        assert Decimal(wallet["coin"][0]["walletBalance"]) == Decimal(rows[0]["cashBalance"])

    with_pybit(tmp_path, script)


def test_settings_and_public_reads(tmp_path: Path) -> None:
    def script(session: Any) -> None:
        assert int(session.get_server_time()["result"]["timeSecond"]) > 1_700_000_000
        (instrument,) = session.get_instruments_info(**BTC)["result"]["list"]
        assert instrument["lotSizeFilter"]["minNotionalValue"] == "5"
        (ticker,) = session.get_tickers(**BTC)["result"]["list"]
        assert Decimal(ticker["bid1Price"]) < Decimal(ticker["ask1Price"])
        assert len(session.get_funding_rate_history(**BTC, limit=3)["result"]["list"]) == 3
        session.set_leverage(**BTC, buyLeverage="5", sellLeverage="5")
        (position,) = session.get_positions(**BTC)["result"]["list"]
        assert (position["leverage"], position["size"]) == ("5", "0")
        with pytest.raises(InvalidRequestError, match="110025"):
            session.switch_position_mode(category="linear", coin="USDT", mode=0)
        (fees,) = session.get_fee_rates(**BTC)["result"]["list"]
        assert fees["takerFeeRate"] == "0.00055"
        assert session.get_account_info()["result"]["marginMode"] == "REGULAR_MARGIN"
        assert "Withdraw" not in session.get_api_key_information()["result"]["permissions"]["Wallet"]
        assert session.set_dcp(timeWindow=30)["retCode"] == 0

    with_pybit(tmp_path, script)


def test_a_batch_and_cancel_all(tmp_path: Path) -> None:
    def script(session: Any) -> None:
        bid, _ = best(session)
        row = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01"}
        rows = [{**row, "price": str(bid - away)} for away in (400, 500)]
        made = session.place_batch_order(category="linear", request=rows)
        assert [code["code"] for code in made["retExtInfo"]["list"]] == [0, 0]
        gone = session.cancel_all_orders(**USDT)["result"]["list"]
        assert {row["orderId"] for row in gone} == {row["orderId"] for row in made["result"]["list"]}

    with_pybit(tmp_path, script)


def test_a_wrong_secret_is_told_apart_from_a_wrong_key(tmp_path: Path) -> None:
    def script(session: Any) -> None:
        right = session.api_secret, session.api_key
        session.api_secret = "wrong"
        with pytest.raises(InvalidRequestError, match="10004"):
            session.get_positions(**USDT)
        session.api_secret, session.api_key = right[0], "wrong"
        with pytest.raises(InvalidRequestError, match="10003"):
            session.get_positions(**USDT)

    with_pybit(tmp_path, script)
