"""What only Bybit has: lists in spans and pages, a history beside open orders, no timer, a barred address."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.integration.trading.venues.paper import Desk
from tests.integration.trading.venues.scripted import SYMBOL, Answer, ScriptedVenue, an_order, run, scripted
from trading.domain.market import Side
from trading.paper.market import FUNDING_MS
from trading.paper.server import PaperVenues
from trading.venues.base import at, utcnow
from trading.venues.bybit import Bybit
from trading.venues.endpoints import load_endpoints
from trading.venues.interface import BillKind, DeadManScope, OrderStatus, VenueError, Verdict

QTY = Decimal("0.4")
SEVEN_DAYS_MS = 7 * 86_400_000


async def at_paper(data_dir: Path, story: Any, **options: Any) -> Any:
    """Tell `story` to an adapter at the paper venue of `data_dir`, on that venue's own clock."""
    async with PaperVenues(data_dir, **options) as venues:
        adapter = Bybit(load_endpoints("paper", data_dir, {})["bybit"])
        for client in (adapter.orders, adapter.data):
            client.milliseconds = venues.clock.now_ms
        try:
            return await story(Desk(adapter, venues["bybit"], venues), venues)
        finally:
            await adapter.close()


def test_the_statement_explains_the_wallet_and_names_each_trade(tmp_path: Path) -> None:
    start = utcnow() - timedelta(hours=9)  # so that a funding instant lies between then and now

    async def story(desk: Desk, venues: PaperVenues) -> Any:
        before = (await desk.venue.balance()).total
        await desk.venue.place(await desk.crossing(Side.BUY, QTY))
        venues.move_clock((venues.clock.now_ms() // FUNDING_MS + 1) * FUNDING_MS + 1)
        await desk.venue.place(await desk.crossing(Side.SELL, QTY))
        after = (await desk.venue.balance()).total
        trades = await desk.venue.trades(SYMBOL, since=start)
        return after - before, await desk.venue.bills(since=start), trades

    start_ms = int(start.timestamp() * 1000)
    change, bills, trades = run(at_paper(tmp_path, story, virtual=True, start_ms=start_ms))
    assert sum(bill.amount for bill in bills) == change
    assert {bill.kind for bill in bills} == {BillKind.TRADE, BillKind.FUNDING}
    assert [bill.at for bill in bills] == sorted(bill.at for bill in bills)
    assert len({bill.bill_id for bill in bills}) == len(bills)
    by_trade = {bill.trade_id: bill for bill in bills if bill.kind is BillKind.TRADE}
    assert [trade.trade_id for trade in trades] == list(by_trade)  # oldest first, funding is none of them
    for trade in trades:
        assert (by_trade[trade.trade_id].fee, trade.client_order_id[:6]) == (trade.fee, "cbtest")
    assert sum(trade.qty * trade.side.sign for trade in trades) == 0
    (funding,) = [bill for bill in bills if bill.kind is BillKind.FUNDING]
    assert (funding.symbol, funding.currency, funding.fee, funding.trade_id) == (SYMBOL, "USDT", 0, "")


def test_a_closed_order_is_found_after_the_venue_forgot_that_it_was_open(tmp_path: Path) -> None:
    async def place(desk: Desk, _: PaperVenues) -> Any:
        order = await desk.crossing(Side.BUY, QTY)
        await desk.venue.place(order)
        return order.client_order_id

    key = run(at_paper(tmp_path, place))

    async def ask(desk: Desk, _: PaperVenues) -> Any:
        request = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": key}
        realtime = await desk.venue.orders.privateGetV5OrderRealtime(request)
        return realtime["result"]["list"], await desk.venue.order(SYMBOL, key)

    open_now, report = run(at_paper(tmp_path, ask))
    assert open_now == []
    assert (report.status, report.filled) == (OrderStatus.FILLED, QTY)


# -- lists --


def execution(number: int, kind: str, at_ms: int) -> dict[str, Any]:
    return {
        "symbol": "BTCUSDT",
        "orderId": f"order{number}",
        "orderLinkId": "",
        "side": "Sell",
        "execId": f"exec{number}",
        "execPrice": "61800.1",
        "execQty": "0.1",
        "execFee": "-0.5",
        "feeCurrency": "",
        "execType": kind,
        "execTime": str(at_ms),
        "isMaker": True,
        "seq": number,
    }


def page(rows: list[dict[str, Any]], cursor: str = "") -> Answer:
    return Answer({"retCode": 0, "result": {"list": rows, "nextPageCursor": cursor}})


class Pages(dict[str, Answer]):
    """Answers one path with `pages` in turn, then with empty ones."""

    def __init__(self, pages: list[Answer]) -> None:
        super().__init__()
        self.pages = pages

    def __getitem__(self, path: str) -> Answer:
        return self.pages.pop(0) if self.pages else page([])


async def asked(pages: list[Answer], call: Any) -> tuple[Any, ScriptedVenue]:
    async with scripted(Bybit, {}) as (venue, server):
        server.answers = Pages(pages)
        return await call(venue), server


def test_trades_come_in_spans_of_a_week_without_a_gap_and_page_by_page() -> None:
    since = utcnow() - timedelta(days=10)
    old, new = (int((since + timedelta(days=days)).timestamp() * 1000) for days in (1, 9))
    pages = [
        page([execution(3, "Trade", old), execution(2, "Funding", old)], cursor="id%3A2"),
        page([execution(1, "Trade", old)]),
        page([execution(5, "BustTrade", new), execution(4, "AdlTrade", new)]),
    ]
    trades, server = run(asked(pages, lambda venue: venue.trades(SYMBOL, since=since)))
    assert [trade.trade_id for trade in trades] == ["exec1", "exec3", "exec4", "exec5"]
    assert (trades[0].fee, trades[0].fee_currency, trades[0].maker) == (Decimal("-0.5"), "USDT", True)
    assert trades[0].at == at(old)
    first, second, third = [seen.query for seen in server.seen]
    assert second == {**first, "cursor": "id:2"}  # as it came: the venue escapes its cursors itself
    spans = [(int(query["startTime"]), int(query["endTime"])) for query in (first, third)]
    assert spans[0][1] - spans[0][0] == SEVEN_DAYS_MS
    assert spans[1][0] == spans[0][1] + 1
    assert spans[1][1] >= int(datetime.now(UTC).timestamp() * 1000)


def line(kind: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"{kind}_1",
        "symbol": "BTCUSDT",
        "type": kind,
        "currency": "USDT",
        "change": "-1.5",
        "fee": "",
        "tradeId": "t1",
        "transactionTime": "1700000000123",
    } | fields


@pytest.mark.parametrize(
    ("row", "kind", "symbol", "trade_id"),
    [
        (line("TRADE", fee="0.5"), BillKind.TRADE, SYMBOL, "t1"),
        (line("SETTLEMENT"), BillKind.FUNDING, SYMBOL, ""),
        (line("TRANSFER_IN", symbol=""), BillKind.TRANSFER, "", ""),
        (line("TRANSFER_OUT", symbol=""), BillKind.TRANSFER, "", ""),
        (line("LIQUIDATION"), BillKind.OTHER, SYMBOL, ""),
        (line("ADL", symbol="BTCPERP"), BillKind.OTHER, "BTCPERP", ""),
        (line("SOMETHING_NEW"), BillKind.OTHER, SYMBOL, ""),
    ],
)
def test_a_line_of_the_statement(row: dict[str, Any], kind: BillKind, symbol: str, trade_id: str) -> None:
    (bill,), _ = run(asked([page([row])], lambda venue: venue.bills(since=utcnow())))
    assert (bill.kind, bill.symbol, bill.trade_id) == (kind, symbol, trade_id)
    assert (bill.amount, bill.fee) == (Decimal("-1.5"), Decimal(row["fee"] or 0))


# -- account --


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, ("one_way", "cross", True, False)),
        ({"positionIdx": 1}, ("hedge", "cross", True, False)),
        ({"marginMode": "ISOLATED_MARGIN"}, ("one_way", "isolated", True, False)),
        ({"marginMode": "PORTFOLIO_MARGIN"}, ("one_way", "PORTFOLIO_MARGIN", True, False)),
        ({"readOnly": 1}, ("one_way", "cross", False, False)),
        ({"ContractTrade": ["Position"]}, ("one_way", "cross", False, False)),
        ({"Wallet": ["AccountTransfer", "Withdraw"]}, ("one_way", "cross", True, True)),
    ],
    ids=str,
)
def test_how_the_account_stands(changed: dict[str, Any], expected: tuple[Any, ...]) -> None:
    said = {"positionIdx": 0, "marginMode": "REGULAR_MARGIN", "readOnly": 0} | {
        "ContractTrade": ["Order", "Position"],
        "Wallet": ["AccountTransfer"],
    }
    said |= changed
    permissions = {name: said[name] for name in ("ContractTrade", "Wallet")}
    results: dict[str, Any] = {
        "/v5/position/list": {"list": [{"positionIdx": said["positionIdx"], "leverage": "10"}]},
        "/v5/account/info": {"marginMode": said["marginMode"]},
        "/v5/user/query-api": {"readOnly": said["readOnly"], "permissions": permissions},
        "/v5/account/fee-rate": {"list": [{"makerFeeRate": "0.0002", "takerFeeRate": "0.00055"}]},
    }
    answers = {path: Answer({"retCode": 0, "result": result}) for path, result in results.items()}

    async def go() -> Any:
        async with scripted(Bybit, answers) as (venue, _):
            return await venue.account(SYMBOL)

    found = run(go())
    assert (found.position_mode, found.margin_mode, found.can_trade, found.can_withdraw) == expected
    assert (found.leverage, found.fees.taker) == (10, Decimal("0.00055"))


# -- what it has not, what it says about itself --


def test_there_is_no_timer_and_nothing_is_sent_for_one() -> None:
    async def go() -> Any:
        async with scripted(Bybit, {}) as (venue, server):
            assert venue.dead_man.scope is DeadManScope.NONE
            with pytest.raises(VenueError) as caught:
                await venue.arm_dead_man(SYMBOL, timeout_sec=30)
            return caught.value, server.seen

    error, seen = run(go())
    assert (error.verdict, error.code, seen) == (Verdict.REJECTED, "not_sent", [])


def test_a_barred_address_stays_away_but_cancels_still_go() -> None:
    answers = {
        "/v5/market/time": Answer("access too frequent", 403),
        "/v5/order/cancel": Answer({"retCode": 0, "result": {}}),
    }

    async def go() -> tuple[list[str], list[str]]:
        async with scripted(Bybit, answers) as (venue, server):
            await venue.load()
            codes = []
            for coroutine in (venue.clock(), venue.clock(), venue.place(an_order())):
                with pytest.raises(VenueError) as caught:
                    await coroutine
                assert caught.value.verdict is Verdict.RATE_LIMITED
                codes.append(caught.value.code)
            await venue.cancel(SYMBOL, an_order().client_order_id)
            return codes, [seen.path for seen in server.seen]

    codes, seen = run(go())
    assert codes == ["http_403", "cooling_down", "cooling_down"]
    assert seen == ["/v5/market/time", "/v5/order/cancel"]


def test_weight_used_is_what_the_headers_leave() -> None:
    headers = {"X-Bapi-Limit": "50", "X-Bapi-Limit-Status": "47"}

    async def go() -> Any:
        answer = Answer({"retCode": 0, "result": {"timeNano": "1700000000123000000"}}, headers=headers)
        async with scripted(Bybit, {"/v5/market/time": answer}) as (venue, _):
            assert venue.weight_used() == {}
            await venue.clock()
            return venue.weight_used()

    assert run(go()) == {"last-endpoint-1s": 3}
