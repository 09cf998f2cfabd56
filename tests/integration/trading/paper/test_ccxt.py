"""Each venue through ccxt's unified API, as the desk and any other client would use them."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt
import pytest

from tests.integration.trading.paper.clients import BTC, Desk, cancel_order, find_order, play
from trading.paper.market import FUNDING_MS

D = Decimal
VENUES = ("binanceusdm", "okx", "bybit")
SYMBOL = {"binanceusdm": "BTCUSDT", "okx": "BTC-USDT-SWAP", "bybit": "BTCUSDT"}
TAKER = {"binanceusdm": 0.0005, "okx": 0.0005, "bybit": 0.00055}
NOTHING_THERE = {
    "okx": {"state": "canceled", "cancelSource": "14"},
    "bybit": {"orderStatus": "Cancelled", "rejectReason": "EC_NoImmediateQtyToFill"},
}
WOULD_TAKE = {"okx": {"cancelSource": "31"}, "bybit": {"rejectReason": "EC_PostOnlyWillTakeLiquidity"}}
each = pytest.mark.parametrize("venue", VENUES)


def amount(venue: str, btc: str) -> float:
    return float(D(btc) * (100 if venue == "okx" else 1))


async def create(desk: Desk, venue: str, side: str, btc: str, price: float, **params: Any) -> Any:
    return await desk.clients[venue].create_order(BTC, "limit", side, amount(venue, btc), price, params)


async def best(desk: Desk, venue: str) -> tuple[float, float]:
    book = await desk.clients[venue].fetch_order_book(BTC, 20)
    return book["bids"][0][0], book["asks"][0][0]


@each
def test_books_have_levels_and_real_sizes(venue: str, tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        book = await desk.clients[venue].fetch_order_book(BTC, 20)
        assert len(book["bids"]) == len(book["asks"]) == 20
        assert book["bids"][0][0] < book["asks"][0][0]
        size = desk.clients[venue].market(BTC)["contractSize"]
        assert 1 < sum(row[1] for row in book["asks"]) * size < 1000

    play(tmp_path, script)


@each
def test_an_ioc_across_levels(venue: str, tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        client = desk.clients[venue]
        book = await client.fetch_order_book(BTC, 20)
        (first, size), (second, *_) = book["asks"][0][:2], book["asks"][1]
        step = amount(venue, "0.001")
        await client.create_order(
            BTC, "limit", "buy", size + step, second, {"timeInForce": "IOC", "clientOrderId": "take1"}
        )
        order = await find_order(client, "take1")
        assert (order["status"], order["filled"]) == ("closed", pytest.approx(size + step))
        trades = await client.fetch_my_trades(BTC, params=order_filter(venue, order["id"]))
        assert [(t["price"], t["amount"]) for t in trades] == [
            (first, pytest.approx(size)),
            (second, pytest.approx(step)),
        ]
        assert len({t["id"] for t in trades}) == 2
        taker_fee = sum(t["price"] * t["amount"] for t in trades) * TAKER[venue]
        taker_fee *= client.market(BTC)["contractSize"]
        assert sum(t["fee"]["cost"] for t in trades) == pytest.approx(taker_fee)

    play(tmp_path, script)


def order_filter(venue: str, order_id: str) -> dict[str, str]:
    return {"ordId" if venue == "okx" else "orderId": order_id}


@each
def test_an_ioc_without_a_counterpart_ends_as_the_venue_says_it(venue: str, tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        _, ask = await best(desk, venue)
        answer = await create(desk, venue, "buy", "0.01", ask - 100, timeInForce="IOC", clientOrderId="none1")
        order = await find_order(desk.clients[venue], "none1")
        assert order["filled"] == 0
        if venue == "binanceusdm":
            assert answer["info"]["status"] == order["info"]["status"] == "EXPIRED"
            return
        assert (answer["status"], answer["filled"]) == (None, None)  # ids only
        assert order["status"] == "canceled"
        assert order["info"].items() >= NOTHING_THERE[venue].items()

    play(tmp_path, script)


@each
def test_a_resting_order_is_seen_found_and_cancelled(venue: str, tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        client = desk.clients[venue]
        bid, _ = await best(desk, venue)
        made = await create(desk, venue, "buy", "0.02", bid - 50, clientOrderId="rest1")
        for found in (
            await client.fetch_order(made["id"], BTC),
            (await client.fetch_open_orders(BTC))[0],
        ):
            assert (found["id"], found["clientOrderId"], found["status"]) == (made["id"], "rest1", "open")
        book = await client.fetch_order_book(BTC, 100)
        assert [bid - 50, amount(venue, "0.02")] in [row[:2] for row in book["bids"]]
        await cancel_order(client, "rest1")
        assert (await client.fetch_order(made["id"], BTC))["status"] == "canceled"
        assert await client.fetch_open_orders(BTC) == []
        with pytest.raises(ccxt.OrderNotFound):
            await client.cancel_order(made["id"], BTC)

    play(tmp_path, script)


@each
def test_cancel_all(venue: str, tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        client = desk.clients[venue]
        bid, _ = await best(desk, venue)
        ids = [(await create(desk, venue, "buy", "0.02", bid - n))["id"] for n in (10, 20)]
        if venue == "okx":
            await client.cancel_orders(ids, BTC)
        else:
            await client.cancel_all_orders(BTC)
        assert await client.fetch_open_orders(BTC) == []

    play(tmp_path, script)


@each
def test_many_orders_at_once(venue: str, tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        bid, _ = await best(desk, venue)
        orders = [
            {"symbol": BTC, "type": "limit", "side": "buy", "amount": amount(venue, "0.02"), "price": bid - n}
            for n in (10, 20)
        ]
        made = await desk.clients[venue].create_orders(orders)
        assert len(made) == len(await desk.clients[venue].fetch_open_orders(BTC)) == 2

    play(tmp_path, script)


@each
def test_the_market_moving_through_a_resting_order_fills_it_as_maker(venue: str, tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        client = desk.clients[venue]
        bid, _ = await best(desk, venue)
        made = await create(desk, venue, "buy", "0.02", bid - 10, postOnly=True)
        await desk.control(venue, "POST", "market", symbol=SYMBOL[venue], shift_bps=-10)
        order = await client.fetch_order(made["id"], BTC)
        assert (order["status"], order["average"]) == ("closed", bid - 10)
        (trade,) = await client.fetch_my_trades(BTC)
        assert trade["takerOrMaker"] == "maker"

    play(tmp_path, script)


@each
def test_post_only_that_would_take(venue: str, tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        client = desk.clients[venue]
        _, ask = await best(desk, venue)
        if venue == "binanceusdm":
            with pytest.raises(ccxt.OrderNotFillable, match="-5022"):
                await create(desk, venue, "buy", "0.02", ask, postOnly=True)
            return
        made = await create(desk, venue, "buy", "0.02", ask, postOnly=True)
        order = await client.fetch_order(made["id"], BTC)
        assert (order["status"], order["filled"]) == ("canceled", 0)
        assert order["info"].items() >= WOULD_TAKE[venue].items()

    play(tmp_path, script)


@each
def test_positions_balance_and_reduce_only(venue: str, tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        client = desk.clients[venue]
        bid, ask = await best(desk, venue)
        await create(desk, venue, "buy", "0.05", ask + 50, timeInForce="IOC")
        (position,) = [p for p in await client.fetch_positions([BTC]) if p["contracts"]]
        assert (position["side"], position["contracts"]) == ("long", amount(venue, "0.05"))
        assert position["entryPrice"] == pytest.approx(ask, rel=1e-3)
        balance = (await client.fetch_balance())["USDT"]
        assert 99_900 < balance["total"] < 100_000
        assert balance["free"] == pytest.approx(balance["total"] - 0.05 * ask / 10, rel=1e-3)
        await create(desk, venue, "sell", "0.5", bid - 50, timeInForce="IOC", reduceOnly=True)
        assert [p for p in await client.fetch_positions([BTC]) if p["contracts"]] == []

    play(tmp_path, script)


REFUSED: list[tuple[str, dict[str, Any], str, type[Exception]]] = [
    ("binanceusdm", {"price": "61800.05"}, "-4014", ccxt.BadRequest),
    ("binanceusdm", {"quantity": "0.0015"}, "-1111", ccxt.BadRequest),
    ("binanceusdm", {"quantity": "1000.001"}, "-4005", ccxt.BadRequest),
    ("binanceusdm", {"quantity": "0.001"}, "-4164", ccxt.InvalidOrder),
    ("binanceusdm", {"price": "90000"}, "-4016", ccxt.BadRequest),
    ("binanceusdm", {"quantity": "99"}, "-2019", ccxt.InsufficientFunds),
    ("binanceusdm", {"reduceOnly": "true"}, "-2022", ccxt.InvalidOrder),
    ("binanceusdm", {"newClientOrderId": "x" * 37}, "-4015", ccxt.BadRequest),
    ("binanceusdm", {"newClientOrderId": "no spaces"}, "-1100", ccxt.BadRequest),
    ("binanceusdm", {"symbol": "DOGEUSDT"}, "-1121", ccxt.BadSymbol),
    ("okx", {"px": "61800.05"}, "51000", ccxt.BadRequest),
    ("okx", {"sz": "1.005"}, "51121", ccxt.InvalidOrder),
    ("okx", {"sz": "0"}, "51020", ccxt.InvalidOrder),
    ("okx", {"px": "90000"}, "51006", ccxt.InvalidOrder),
    ("okx", {"sz": "9900"}, "51008", ccxt.InsufficientFunds),
    ("okx", {"reduceOnly": True}, "51169", ccxt.ExchangeError),
    ("okx", {"clOrdId": "with-dash"}, "51000", ccxt.BadRequest),
    ("okx", {"instId": "DOGE-USDT-SWAP"}, "51001", ccxt.BadSymbol),
    ("bybit", {"price": "61800.05"}, "10001", ccxt.BadRequest),
    ("bybit", {"qty": "0.0015"}, "10001", ccxt.BadRequest),
    ("bybit", {"qty": "1190.001"}, "10001", ccxt.BadRequest),
    ("bybit", {"qty": "[]"}, "10001", ccxt.BadRequest),
    ("bybit", {"price": "90000"}, "110003", ccxt.InvalidOrder),
    ("bybit", {"qty": "99"}, "110007", ccxt.InsufficientFunds),
    ("bybit", {"reduceOnly": True}, "110017", ccxt.InvalidOrder),
    ("bybit", {"orderLinkId": "x" * 37}, "10001", ccxt.BadRequest),
    ("bybit", {"symbol": "DOGEUSDT"}, "10001", ccxt.BadRequest),
    ("bybit", {"side": "buy"}, "10001", ccxt.BadRequest),
    ("bybit", {"positionIdx": 1}, "10001", ccxt.BadRequest),
    ("bybit", {"category": "spot"}, "10001", ccxt.BadRequest),
]


@pytest.mark.parametrize(("venue", "change", "code", "error"), REFUSED)
def test_refusals_have_the_venues_code_and_ccxts_class(
    venue: str, change: dict[str, Any], code: str, error: type[Exception], tmp_path: Path
) -> None:
    async def script(desk: Desk) -> None:
        client = desk.clients[venue]
        bid, _ = await best(desk, venue)
        price = str(round(bid - 100, 1))
        if venue == "bybit":
            place, request = (
                client.privatePostV5OrderCreate,
                {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit"}
                | {"timeInForce": "IOC", "qty": "0.01", "price": price},
            )
        elif venue == "okx":
            place, request = (
                client.privatePostTradeOrder,
                {"instId": "BTC-USDT-SWAP", "tdMode": "cross", "side": "buy", "ordType": "ioc"}
                | {"sz": "1", "px": price},
            )
        else:
            place, request = (
                client.fapiPrivatePostOrder,
                {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "IOC"}
                | {"quantity": "0.01", "price": price},
            )
        with pytest.raises(error, match=code):
            await place(request | change)
        assert desk.venues[venue].engine.orders == {}

    play(tmp_path, script)


def test_duplicate_client_ids(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        for venue, code in (("binanceusdm", "-4116"), ("okx", "51016"), ("bybit", "110072")):
            bid, _ = await best(desk, venue)
            await create(desk, venue, "buy", "0.02", bid - 50, clientOrderId="twice")
            with pytest.raises(ccxt.InvalidOrder, match=code):
                await create(desk, venue, "buy", "0.02", bid - 50, clientOrderId="twice")

    play(tmp_path, script)


@pytest.mark.parametrize(("venue", "code"), [("binanceusdm", "-2013"), ("okx", "51603")])
def test_an_unknown_order(venue: str, code: str, tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        with pytest.raises(ccxt.OrderNotFound, match=code):
            await find_order(desk.clients[venue], "never")

    play(tmp_path, script)


@each
def test_settings(venue: str, tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        client = desk.clients[venue]
        await client.set_leverage(5, BTC)
        assert (await client.fetch_leverage(BTC))["longLeverage"] == 5
        with pytest.raises(ccxt.BaseError):
            await client.set_leverage(500 if venue == "okx" else 125 + 1, BTC)
        if venue == "okx":
            await client.set_position_mode(False)
            (config,) = (await client.privateGetAccountConfig())["data"]
            assert (config["acctLv"], config["posMode"], config["perm"]) == (
                "2",
                "net_mode",
                "read_only,trade",
            )
        elif venue == "bybit":
            with pytest.raises(ccxt.NoChange, match="110025"):
                await client.set_position_mode(False)
            with pytest.raises(ccxt.BadRequest, match="110043"):
                await client.set_leverage(5, BTC)
            key = (await client.privateGetV5UserQueryApi())["result"]
            assert (key["readOnly"], key["permissions"]["Wallet"]) == (0, [])
            assert (await client.privateGetV5AccountInfo())["result"]["marginMode"] == "REGULAR_MARGIN"
        else:
            with pytest.raises(ccxt.OperationRejected, match="-4059"):
                await client.set_position_mode(False)
            with pytest.raises(ccxt.MarginModeAlreadySet):
                await client.set_margin_mode("cross", BTC)
            keys = await client.sapiGetAccountApiRestrictions()
            assert (keys["enableFutures"], keys["enableWithdrawals"]) == (True, False)
        await client.set_position_mode(True)
        if venue != "bybit":  # which tells the mode in the rows of a position only
            assert (await client.fetch_position_mode(BTC))["hedged"] is True
        bid, _ = await best(desk, venue)
        with pytest.raises(ccxt.BaseError, match=r"-4061|posSide|position idx"):
            await create(desk, venue, "buy", "0.02", bid - 50)

    play(tmp_path, script)


@each
def test_public_and_account_reads(venue: str, tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        client, now = desk.clients[venue], desk.venues.clock.now_ms()
        assert await client.fetch_time() == now
        assert set(client.symbols) >= {f"{base}/USDT:USDT" for base in ("BTC", "ETH", "SOL", "XRP")}
        ticker = (
            await client.fetch_bids_asks([BTC])
            if venue == "binanceusdm"
            else await client.fetch_tickers([BTC])
        )[BTC]
        assert (ticker["bid"], ticker["ask"]) == await best(desk, venue)
        fee = await client.fetch_trading_fee(BTC)
        assert (fee["maker"], fee["taker"]) == (0.0002, TAKER[venue])
        if venue == "bybit":
            assert ticker["markPrice"] == pytest.approx(ticker["bid"], rel=1e-3)
            return
        assert (await client.fetch_status())["status"] == "ok"
        mark = await client.fetch_mark_price(BTC)
        assert mark["markPrice"] == pytest.approx(ticker["bid"], rel=1e-3)

    play(tmp_path, script)


@each
def test_funding_is_announced_charged_and_listed(venue: str, tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        client, now = desk.clients[venue], desk.venues.clock.now_ms()
        await desk.control(venue, "POST", "market", symbol=SYMBOL[venue], funding_rate="0.0004")
        announced = await client.fetch_funding_rate(BTC)
        instant = (now // FUNDING_MS + 1) * FUNDING_MS
        assert (announced["fundingRate"], announced["fundingTimestamp"]) == (0.0004, instant)
        _, ask = await best(desk, venue)
        await create(desk, venue, "buy", "0.05", ask + 50, timeInForce="IOC")
        await desk.control(venue, "POST", "clock", set_ms=instant + 1)
        (paid,) = await client.fetch_funding_history(BTC)
        sign = 1 if venue == "bybit" else -1  # ccxt hands on Bybit's execFee, where what is paid is positive
        assert paid["amount"] == pytest.approx(sign * 0.05 * ask * 0.0004, rel=0.05)
        assert paid["timestamp"] == instant
        history = await client.fetch_funding_rate_history(BTC, limit=3)
        assert [row["timestamp"] for row in history] == [instant - n * FUNDING_MS for n in (2, 1, 0)]

    play(tmp_path, script)


def test_bybit_has_a_minimum_of_five_usdt(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        client = desk.clients["bybit"]
        bid = (await client.fetch_order_book("XRP/USDT:USDT", 1))["bids"][0][0]
        with pytest.raises(ccxt.InvalidOrder, match="110094"):
            await client.create_order("XRP/USDT:USDT", "limit", "buy", 8, bid)
        assert (await client.create_order("XRP/USDT:USDT", "limit", "buy", 9, bid))["id"]

    play(tmp_path, script)


def test_bybits_dead_man_call_is_okay_and_does_nothing(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        client = desk.clients["bybit"]
        bid, _ = await best(desk, "bybit")
        made = await create(desk, "bybit", "buy", "0.02", bid - 500)
        await client.cancel_all_orders_after(10_000)
        await desk.control("bybit", "POST", "clock", advance_ms=60_000)
        assert (await client.fetch_order(made["id"], BTC))["status"] == "open"

    play(tmp_path, script)


def test_bybit_lists_page_back_by_a_cursor_that_ends(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        client = desk.clients["bybit"]
        bid, _ = await best(desk, "bybit")
        ids = [(await create(desk, "bybit", "buy", "0.02", bid - n))["id"] for n in (10, 20, 30)]
        request, seen = {"category": "linear", "symbol": "BTCUSDT", "limit": 2}, []
        for _ in range(2):
            page = (await client.privateGetV5OrderRealtime(request))["result"]
            seen.append([row["orderId"] for row in page["list"]])
            request["cursor"] = page["nextPageCursor"]
        assert seen == [[ids[2], ids[1]], [ids[0]]]
        assert request["cursor"] == ""

    play(tmp_path, script)


def test_bybit_tells_each_change_of_the_wallet_once(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        client, venue = desk.clients["bybit"], desk.venues["bybit"]
        bid, ask = await best(desk, "bybit")
        await create(desk, "bybit", "buy", "0.05", ask + 50, timeInForce="IOC")
        await create(desk, "bybit", "sell", "0.05", bid - 50, timeInForce="IOC")
        request = {"accountType": "UNIFIED", "category": "linear"}
        rows = (await client.privateGetV5AccountTransactionLog(request))["result"]["list"]
        assert len(rows) == len(venue.engine.bills)
        assert sum(D(row["change"]) for row in rows) == venue.engine.account.wallet - 100_000
        for row in rows:
            assert D(row["change"]) == D(row["cashFlow"]) - D(row["fee"])
        trades = (await client.privateGetV5ExecutionList({"category": "linear"}))["result"]["list"]
        assert {row["tradeId"] for row in rows} == {trade["execId"] for trade in trades}

    play(tmp_path, script)


@pytest.mark.parametrize("venue", ["binanceusdm", "okx"])
def test_the_dead_man_switch_runs_on_the_venues_clock(venue: str, tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        client = desk.clients[venue]
        bid, _ = await best(desk, venue)
        made = await create(desk, venue, "buy", "0.02", bid - 500)
        if venue == "okx":
            await client.cancel_all_orders_after(10_000)
        else:
            await client.fapiPrivatePostCountdownCancelAll({"symbol": "BTCUSDT", "countdownTime": 10_000})
        await desk.control(venue, "POST", "clock", advance_ms=9_900)
        assert (await client.fetch_order(made["id"], BTC))["status"] == "open"
        await desk.control(venue, "POST", "clock", advance_ms=100)
        assert (await client.fetch_order(made["id"], BTC))["status"] == "canceled"

    play(tmp_path, script)


def test_okx_lists_page_back_by_id(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        client = desk.clients["okx"]
        bid, _ = await best(desk, "okx")
        ids = [(await create(desk, "okx", "buy", "0.02", bid - n))["id"] for n in (10, 20, 30)]
        pages: list[str] = []
        for _ in range(3):
            after = {"after": pages[-1]} if pages else {}
            rows = (await client.privateGetTradeOrdersPending({"instType": "SWAP", "limit": "1", **after}))[
                "data"
            ]
            pages += [row["ordId"] for row in rows]
        assert pages == ids[::-1]

    play(tmp_path, script)


def test_the_same_seed_and_requests_give_the_same_answers(tmp_path: Path) -> None:
    async def script(desk: Desk) -> list[Any]:
        seen: list[Any] = []
        for number in range(5):
            for venue in VENUES:
                bid, ask = await best(desk, venue)
                price = ask + 5 if number % 2 else bid - 2
                made = await create(desk, venue, "buy", "0.05", price, clientOrderId=f"d{number}")
                seen += [bid, ask, made["info"]]
            await desk.control("okx", "POST", "clock", advance_ms=30_000)
        states = await asyncio.gather(*(desk.control(venue, "GET", "state") for venue in VENUES))
        return [seen, states]

    first = play(tmp_path / "a", script, seed=11)
    assert play(tmp_path / "b", script, seed=11) == first
    assert play(tmp_path / "c", script, seed=12) != first
