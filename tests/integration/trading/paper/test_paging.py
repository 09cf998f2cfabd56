"""How the venues let a client page through trades and bills, and what they refuse there."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt
import pytest

from tests.integration.trading.paper.clients import Desk, play
from trading.paper.orders import NewOrder, Side, TimeInForce

DAY_MS = 86_400_000
SWAP = {"instType": "SWAP", "instId": "BTC-USDT-SWAP"}


def fill(desk: Desk, venue: str, times: int) -> None:
    engine = desk.venues[venue].engine
    for _ in range(times):
        key = f"x{engine.last_id + 1}"
        engine.place(NewOrder("BTC", Side.BUY, Decimal("0.01"), None, TimeInForce.IOC, False, key))


def later(desk: Desk, ms: int) -> None:
    desk.venues.move_clock(desk.venues.clock.now_ms() + ms)


async def refusal(call: Any) -> str:
    with pytest.raises(ccxt.BaseError) as caught:
        await call
    return str(caught.value)


def test_binance_trades_by_time_are_seven_days_and_by_id_are_all(tmp_path: Path) -> None:
    async def script(desk: Desk) -> Any:
        ask, start = desk.clients["binanceusdm"].fapiPrivateGetUserTrades, desk.venues.clock.now_ms()

        async def ids(**params: Any) -> list[int]:
            return [int(row["id"]) for row in await ask({"symbol": "BTCUSDT", **params})]

        fill(desk, "binanceusdm", 3)
        later(desk, 10 * DAY_MS)
        fill(desk, "binanceusdm", 2)
        assert await ids() == [4, 5]
        assert await ids(startTime=start) == [1, 2, 3]
        assert await ids(startTime=start, limit=2) == [1, 2]
        assert await ids(fromId=3) == [3, 4, 5]
        assert await ids(fromId=2, limit=3) == [2, 3, 4]
        assert await ids(endTime=start + DAY_MS) == [1, 2, 3]
        assert await ids(startTime=start, endTime=start + 7 * DAY_MS) == [1, 2, 3]
        both = await refusal(ids(fromId=3, startTime=start))
        return both, await refusal(ids(startTime=start, endTime=start + 7 * DAY_MS + 1))

    both, long = play(tmp_path, script)
    assert "-1128" in both
    assert "-4165" in long


def test_binance_income_is_paged_by_number(tmp_path: Path) -> None:
    async def script(desk: Desk) -> Any:
        ask, start = desk.clients["binanceusdm"].fapiPrivateGetIncome, desk.venues.clock.now_ms()

        async def ids(**params: Any) -> list[str]:
            return [row["tradeId"] for row in await ask({"incomeType": "COMMISSION", **params})]

        fill(desk, "binanceusdm", 5)
        pages = [await ids(startTime=start, limit=2, page=page) for page in (1, 2, 3, 4)]
        assert await ids(limit=2) == ["4", "5"]
        later(desk, 8 * DAY_MS)
        assert await ids() == []
        assert await ids(startTime=start) == ["1", "2", "3", "4", "5"]
        return pages

    assert play(tmp_path, script) == [["1", "2"], ["3", "4"], ["5"], []]


@pytest.mark.parametrize("path", ["TradeFills", "TradeFillsHistory", "AccountBills", "AccountBillsArchive"])
def test_okx_pages_backwards_by_bill_id(path: str, tmp_path: Path) -> None:
    async def script(desk: Desk) -> Any:
        ask, start = getattr(desk.clients["okx"], f"privateGet{path}"), desk.venues.clock.now_ms()

        async def rows(**params: Any) -> list[tuple[str, str]]:
            answer = await ask({**SWAP, **params})
            return [(row["tradeId"], row["billId"]) for row in answer["data"]]

        fill(desk, "okx", 3)
        later(desk, 1)
        fill(desk, "okx", 2)
        everything = await rows()
        ids = [bill_id for _, bill_id in everything]
        assert await rows(limit="2") == everything[:2]
        assert await rows(limit="2", after=ids[1]) == everything[2:4]
        assert await rows(before=ids[3]) == everything[:3]
        assert await rows(begin=str(start + 1)) == everything[:2]
        assert await rows(end=str(start)) == everything[2:]
        return [trade_id for trade_id, _ in everything]

    assert play(tmp_path, script) == ["5", "4", "3", "2", "1"]


def test_okx_wants_to_know_the_kind_of_instrument_of_old_fills(tmp_path: Path) -> None:
    async def script(desk: Desk) -> str:
        return await refusal(desk.clients["okx"].privateGetTradeFillsHistory({}))

    assert "50014" in play(tmp_path, script)
