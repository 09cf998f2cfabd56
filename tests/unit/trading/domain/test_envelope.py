"""What an envelope covers: at each bound, and one unit beyond it."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from trading.domain.envelope import EnvelopeBounds, Terms

BOUNDS = EnvelopeBounds(
    symbol="BTC/USDT:USDT",
    venues=("binanceusdm", "okx"),
    max_notional=Decimal(2000),
    min_edge_bps=Decimal("1.5"),
    max_slippage_bps=Decimal(3),
)
AT_THE_EDGE = Terms(
    symbol="BTC/USDT:USDT",
    venues=frozenset({"okx", "binanceusdm"}),
    notional=Decimal(2000),
    min_edge_bps=Decimal("1.5"),
    max_slippage_bps=Decimal(3),
)


def test_exactly_at_every_bound_it_covers() -> None:
    assert BOUNDS.covers(AT_THE_EDGE)


@pytest.mark.parametrize(
    "inside",
    [
        {"notional": Decimal("0.01")},
        {"notional": Decimal("1999.99")},
        {"min_edge_bps": Decimal("1.51")},
        {"max_slippage_bps": Decimal(0)},
    ],
)
def test_inside_it_covers(inside: dict[str, Any]) -> None:
    assert BOUNDS.covers(replace(AT_THE_EDGE, **inside))


@pytest.mark.parametrize(
    "outside",
    [
        {"notional": Decimal("2000.00000001")},
        {"notional": Decimal(0)},
        {"notional": Decimal(-1)},
        {"min_edge_bps": Decimal("1.49999999")},
        {"max_slippage_bps": Decimal("3.00000001")},
        {"max_slippage_bps": Decimal("-0.1")},
        {"symbol": "ETH/USDT:USDT"},
        {"symbol": "BTC/USDC:USDC"},
        {"venues": frozenset({"binanceusdm", "bybit"})},
        {"venues": frozenset({"binanceusdm"})},
        {"venues": frozenset[str]()},
    ],
)
def test_one_unit_outside_any_bound_it_does_not(outside: dict[str, Any]) -> None:
    assert not BOUNDS.covers(replace(AT_THE_EDGE, **outside))


def test_three_venues_are_three_pairs_and_no_trio() -> None:
    wide = replace(BOUNDS, venues=("binanceusdm", "bybit", "okx"))
    for pair in ({"binanceusdm", "bybit"}, {"bybit", "okx"}, {"binanceusdm", "okx"}):
        assert wide.covers(replace(AT_THE_EDGE, venues=frozenset(pair)))
    assert not wide.covers(replace(AT_THE_EDGE, venues=frozenset(wide.venues)))


def test_a_negative_edge_is_a_bound_like_another() -> None:
    """An exit at a loss may be what was approved; one tick worse is not."""
    losing = replace(BOUNDS, min_edge_bps=Decimal(-5))
    assert losing.covers(replace(AT_THE_EDGE, min_edge_bps=Decimal(-5)))
    assert not losing.covers(replace(AT_THE_EDGE, min_edge_bps=Decimal("-5.01")))
