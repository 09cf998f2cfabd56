"""Trades, bills and the dead-man timer: complete over pages, and the bills add up to the wallet."""

from collections.abc import Awaitable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.integration.trading.venues.paper import Desk, Kind, trade
from tests.integration.trading.venues.scripted import SYMBOL, Answer, run, scripted
from trading.domain.market import Side
from trading.domain.money import ZERO
from trading.paper import orders as paper
from trading.venues.base import at
from trading.venues.binanceusdm import BinanceUsdm
from trading.venues.interface import BillKind, DeadManScope, OrderStatus, VenueError, Verdict
from trading.venues.okx import Okx

KINDS: tuple[Kind, ...] = (BinanceUsdm, Okx)
BOTH = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
MORE_THAN_A_PAGE = {BinanceUsdm: 1_020, Okx: 220}
LOT = Decimal("0.01")
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


async def refused(call: Awaitable[Any]) -> VenueError:
    with pytest.raises(VenueError) as caught:
        await call
    return caught.value


def fill(desk: Desk, side: paper.Side, qty: Decimal = LOT) -> None:
    """One market order, straight into the venue: it is not ours as far as the adapter knows."""
    engine = desk.paper.engine
    key = f"x{engine.last_id + 1}"
    engine.place(paper.NewOrder("BTC", side, qty, None, paper.TimeInForce.IOC, False, key))


def fill_many(desk: Desk, count: int) -> None:
    """`count` fills or a few more, all in the same millisecond, bought and sold in turn."""
    engine = desk.paper.engine
    while len(engine.fills) < count:
        fill(desk, paper.Side.BUY if engine.last_id % 2 else paper.Side.SELL)


def move(desk: Desk, ms: int) -> None:
    desk.venues.move_clock(desk.venues.clock.now_ms() + ms)


def now(desk: Desk) -> datetime:
    return at(desk.venues.clock.now_ms())


# -- trades --


@BOTH
def test_trades_are_complete_over_pages_and_within_one_millisecond(kind: Kind) -> None:
    async def go(desk: Desk) -> Any:
        since = now(desk)
        fill_many(desk, MORE_THAN_A_PAGE[kind])
        return desk.paper.engine.fills, await desk.venue.trades(SYMBOL, since=since)

    fills, trades = trade(kind, go, virtual=True)
    assert len(trades) >= MORE_THAN_A_PAGE[kind]
    assert [int(row.trade_id) for row in trades] == list(fills)
    for told, true in zip(trades, fills.values(), strict=True):
        assert (told.symbol, told.side.value, told.qty) == (SYMBOL, true.side.value, true.qty)
        assert (told.price, told.fee, told.at) == (true.price, true.fee, at(true.at_ms))


@BOTH
def test_trades_of_one_instrument_from_the_very_moment_on(kind: Kind) -> None:
    async def go(desk: Desk) -> Any:
        fill(desk, paper.Side.BUY)
        move(desk, 1)
        since = now(desk)
        fill(desk, paper.Side.SELL)
        elsewhere = await desk.venue.trades("ETH/USDT:USDT", since=since)
        told = await desk.venue.trades(SYMBOL, since=since)
        return told, elsewhere, await desk.venue.trades(SYMBOL, since=since + timedelta(milliseconds=1))

    told, elsewhere, later = trade(kind, go, virtual=True)
    assert {row.side for row in told} == {Side.SELL}
    assert (elsewhere, later) == ((), ())


@BOTH
def test_trades_of_weeks_with_weeks_between_them(kind: Kind) -> None:
    """Binance answers for 7 days at a time, OKX's fast endpoint for the last 3."""

    async def go(desk: Desk) -> Any:
        since = now(desk)
        for _ in range(3):
            move(desk, 9 * DAY_MS)
            fill(desk, paper.Side.BUY)
        return list(desk.paper.engine.fills), await desk.venue.trades(SYMBOL, since=since)

    fills, trades = trade(kind, go, virtual=True)
    assert [int(row.trade_id) for row in trades] == fills
    assert len({row.at for row in trades}) == 3


# -- bills --


@BOTH
def test_bills_add_up_to_the_wallet_to_the_last_digit(kind: Kind) -> None:
    async def go(desk: Desk) -> Any:
        fill(desk, paper.Side.BUY, Decimal("0.3"))  # before the statement begins
        move(desk, 1)
        since, start = now(desk), desk.paper.engine.account.wallet
        fill_many(desk, MORE_THAN_A_PAGE[kind])
        move(desk, 9 * HOUR_MS)
        fill(desk, paper.Side.SELL, Decimal("0.3"))
        bills = await desk.venue.bills(since=since)
        return bills, desk.paper.engine, desk.paper.engine.account.wallet - start, since

    bills, engine, change, since = trade(kind, go, virtual=True)
    own = [bill for bill in engine.bills.values() if at(bill.at_ms) >= since]
    assert sum(bill.amount for bill in bills) == change
    assert sum(bill.fee for bill in bills) == sum(bill.fee for bill in own) > 0
    assert len({bill.bill_id for bill in bills}) == len(bills) > MORE_THAN_A_PAGE[kind]
    assert [bill.at for bill in bills] == sorted(bill.at for bill in bills)
    assert {(bill.symbol, bill.currency) for bill in bills} == {(SYMBOL, "USDT")}
    funding = [bill for bill in bills if bill.kind is BillKind.FUNDING]
    assert [bill.amount for bill in funding] == [bill.amount for bill in own if bill.kind == "funding"] != []
    assert {bill.trade_id for bill in funding} == {""}
    trades = [bill for bill in bills if bill.kind is BillKind.TRADE]
    assert len(funding) + len(trades) == len(bills)
    assert {int(bill.trade_id) for bill in trades} == {bill.fill_id for bill in own if bill.fill_id}


@BOTH
def test_nothing_happened_is_no_bill(kind: Kind) -> None:
    async def go(desk: Desk) -> Any:
        return await desk.venue.bills(since=now(desk)), await desk.venue.trades(SYMBOL, since=now(desk))

    assert trade(kind, go, virtual=True) == ((), ())


@BOTH
def test_what_the_venue_has_forgotten_is_not_passed_off_as_complete(kind: Kind) -> None:
    async def go(desk: Desk) -> Any:
        since = now(desk) - timedelta(days=91)
        return [
            await refused(call)
            for call in (desk.venue.bills(since=since), desk.venue.trades(SYMBOL, since=since))
        ]

    for error in trade(kind, go, virtual=True):
        assert (error.verdict, error.code) == (Verdict.REJECTED, "not_sent")
        assert "90 days" in error.detail


def _income(kind: str, amount: str, *, number: int, symbol: str = "BTCUSDT") -> dict[str, Any]:
    row = {"symbol": symbol, "incomeType": kind, "income": amount, "asset": "USDT", "info": "", "tradeId": ""}
    return row | {"time": 1_735_689_600_000, "tranId": number}


def _bill(kind: str, change: str, *, number: int, inst_id: str = "BTC-USDT-SWAP") -> dict[str, str]:
    row = {"instId": inst_id, "type": kind, "balChg": change, "ccy": "USDT", "tradeId": "", "fee": "0"}
    return row | {"ts": "1735689600000", "billId": str(number)}


BINANCE_ROWS = [
    _income("TRANSFER", "100", number=1, symbol=""),
    _income("INSURANCE_CLEAR", "-7", number=2),
    _income("COMMISSION", "0.5", number=3),  # a rebate
    _income("REFERRAL_KICKBACK", "1", number=4, symbol=""),
    _income("REALIZED_PNL", "3", number=3),
]
OKX_ROWS = [
    _bill("9", "3", number=5),
    _bill("24", "1", number=4, inst_id=""),
    _bill("2", "0.5", number=3) | {"fee": "0.5"},
    _bill("5", "-7", number=2),
    _bill("1", "100", number=1, inst_id=""),
]
SCRIPTS: dict[Kind, dict[str, Answer]] = {
    BinanceUsdm: {
        "/fapi/v1/time": Answer({"serverTime": 1_735_689_700_000}),
        "/fapi/v1/income": Answer(BINANCE_ROWS),
    },
    Okx: {
        "/api/v5/public/time": Answer({"code": "0", "data": [{"ts": "1735689700000"}]}),
        "/api/v5/account/bills": Answer({"code": "0", "data": OKX_ROWS}),
    },
}


@BOTH
def test_what_kind_a_bill_is(kind: Kind) -> None:
    async def go() -> Any:
        async with scripted(kind, SCRIPTS[kind]) as (venue, _):
            return await venue.bills(since=at(1_735_689_600_000))

    bills = run(go())
    last = BillKind.TRADE if kind is BinanceUsdm else BillKind.OTHER
    assert [(bill.kind, bill.amount) for bill in bills] == [
        (BillKind.TRANSFER, 100),
        (BillKind.OTHER, -7),
        (BillKind.TRADE, Decimal("0.5")),
        (BillKind.OTHER, 1),
        (last, 3),
    ]
    assert [bill.symbol for bill in bills] == ["", SYMBOL, SYMBOL, "", SYMBOL]
    assert [bill.fee for bill in bills] == [ZERO, ZERO, Decimal("-0.5"), ZERO, ZERO]
    assert len({bill.bill_id for bill in bills}) == len(bills)  # Binance numbers two lines of a fill alike


# -- the dead-man timer --


@BOTH
def test_the_timer_cancels_what_rests_unless_disarmed(kind: Kind) -> None:
    async def go(desk: Desk) -> Any:
        order = await desk.resting(Side.BUY, Decimal("0.4"))
        await desk.venue.place(order)
        scope = SYMBOL if desk.venue.dead_man.scope is DeadManScope.INSTRUMENT else ""
        await desk.venue.arm_dead_man(scope, timeout_sec=10)
        await desk.venue.arm_dead_man(scope, timeout_sec=0)
        move(desk, 11_000)
        kept = await desk.venue.order(SYMBOL, order.client_order_id)
        await desk.venue.arm_dead_man(scope, timeout_sec=20)
        move(desk, 19_000)
        still = await desk.venue.order(SYMBOL, order.client_order_id)
        move(desk, 1_000)
        return kept, still, await desk.venue.order(SYMBOL, order.client_order_id)

    reports = trade(kind, go, virtual=True)
    assert [report.status for report in reports] == [
        OrderStatus.OPEN,
        OrderStatus.OPEN,
        OrderStatus.CANCELED,
    ]


@BOTH
def test_a_timer_that_the_venue_does_not_have_is_not_sent(kind: Kind) -> None:
    wrong = "" if kind is BinanceUsdm else SYMBOL
    right = SYMBOL if kind is BinanceUsdm else ""

    async def go(desk: Desk) -> Any:
        seconds = (desk.venue.dead_man.min_sec - 1 or -1, desk.venue.dead_man.max_sec + 1)
        calls = [desk.venue.arm_dead_man(right, timeout_sec=value) for value in seconds]
        calls.append(desk.venue.arm_dead_man(wrong, timeout_sec=30))
        return [await refused(call) for call in calls], desk.paper.engine.dead_man

    errors, armed = trade(kind, go, virtual=True)
    assert {(error.verdict, error.code) for error in errors} == {(Verdict.REJECTED, "not_sent")}
    assert armed == {}
