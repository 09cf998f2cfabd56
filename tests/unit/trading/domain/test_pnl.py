from dataclasses import dataclass
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.trading.domain.markets import D, decimals
from trading.domain.market import Side
from trading.domain.pnl import FLAT, ExecutionPnl, LegResult, Position, apply_fill, execution_pnl


@dataclass(frozen=True)
class Trade:
    side: Side
    qty: Decimal
    price: Decimal
    fee: Decimal


trades = st.builds(
    Trade,
    side=st.sampled_from(Side),
    qty=decimals("0.00001", "1000", 5),
    price=decimals("0.01", "200000", 2),
    fee=decimals("-5", "50", 4),
)


def after(*fills: Trade) -> Position:
    position = FLAT
    for fill in fills:
        position = apply_fill(position, side=fill.side, qty=fill.qty, price=fill.price, fee=fill.fee)
    return position


def trade(text: str, fee: str = "0") -> Trade:
    side, qty, price = text.split()
    return Trade(Side(side), D(qty), D(price), D(fee))


@pytest.mark.parametrize(
    ("fills", "net", "cost", "realised"),
    [
        (["buy 2 100"], "2", "200", "0"),
        (["buy 2 100", "buy 1 130"], "3", "330", "0"),
        (["buy 2 100", "sell 1 110"], "1", "100", "10"),
        (["buy 2 100", "sell 2 110"], "0", "0", "20"),
        (["sell 2 100", "buy 1 90"], "-1", "-100", "10"),
        (["buy 2 100", "sell 5 110"], "-3", "-330", "20"),  # closes 2, opens 3 short at 110
        (["sell 1 100", "buy 3 120"], "2", "240", "-20"),
    ],
)
def test_average_cost(fills: list[str], net: str, cost: str, realised: str) -> None:
    position = after(*map(trade, fills))
    assert (position.net, position.cost, position.realised) == (D(net), D(cost), D(realised))


def test_average_entry_is_for_show() -> None:
    assert after(trade("sell 2 100"), trade("sell 2 110")).avg_entry == D("105")
    assert FLAT.avg_entry is None


def test_fees_are_kept_apart_from_realised() -> None:
    position = after(trade("buy 1 100", "0.5"), trade("sell 1 100", "-0.1"))
    assert (position.realised, position.fees) == (D("0"), D("0.4"))


@pytest.mark.parametrize("qty", ["0", "-1"])
def test_a_fill_is_positive(qty: str) -> None:
    with pytest.raises(ValueError, match="positive"):
        after(trade(f"buy {qty} 100"))


@given(st.lists(trades, max_size=25), decimals("0.01", "200000", 2))
def test_profit_is_conserved_to_the_last_digit(fills: list[Trade], mark: Decimal) -> None:
    position = after(*fills)
    cash = sum((fill.side.sign * fill.qty * (mark - fill.price) for fill in fills), D("0"))
    assert position.realised + position.unrealised(mark) == cash
    assert position.net == sum((fill.side.sign * fill.qty for fill in fills), D("0"))
    assert position.fees == sum((fill.fee for fill in fills), D("0"))


@given(st.lists(trades, max_size=25))
def test_cost_has_the_sign_of_the_position_and_flat_costs_nothing(fills: list[Trade]) -> None:
    position = after(*fills)
    assert position.net * position.cost >= 0
    assert (position.net == 0) <= (position.cost == 0)
    if position.net:
        closed = after(
            *fills, Trade(Side.SELL if position.net > 0 else Side.BUY, abs(position.net), D("7"), D("0"))
        )
        assert (closed.net, closed.cost) == (D("0"), D("0"))


@given(st.lists(trades, min_size=1, max_size=10), trades)
def test_only_closed_quantity_is_realised(fills: list[Trade], more: Trade) -> None:
    before = after(*fills)
    grown = Trade(Side.BUY if before.net >= 0 else Side.SELL, more.qty, more.price, more.fee)
    assert after(*fills, grown).realised == before.realised


def test_an_open_pair_is_marked_on_each_leg() -> None:
    long, short = after(trade("buy 1 100", "0.05")), after(trade("sell 1 101", "0.05"))
    open_pair = execution_pnl([LegResult(long, D("103")), LegResult(short, D("103.5"), funding=D("0.02"))])
    assert open_pair == ExecutionPnl(realised=D("0"), unrealised=D("0.5"), fees=D("0.10"), funding=D("0.02"))
    assert open_pair.net == D("0.42")


def test_closing_one_leg_moves_its_part_from_marked_to_realised() -> None:
    long, short = after(trade("buy 1 100"), trade("sell 1 103")), after(trade("sell 1 101"))
    result = execution_pnl([LegResult(long, None), LegResult(short, D("103.5"))])
    assert (result.realised, result.unrealised, result.net) == (D("3"), D("-2.5"), D("0.5"))


def test_an_unknown_mark_is_not_zero() -> None:
    result = execution_pnl([LegResult(after(trade("buy 1 100")), None), LegResult(FLAT, None)])
    assert result.unrealised is None
    assert result.net is None
