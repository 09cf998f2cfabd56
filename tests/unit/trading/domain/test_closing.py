from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.trading.domain.markets import CHEAP, DEAR, NOW, D, leg_markets, levels, market
from trading.domain.closing import OpenLeg, closing_plan
from trading.domain.edge import LegMarket
from trading.domain.execution_state import ExecutionState
from trading.domain.market import Side
from trading.domain.plan import CloseBounds, LimitedBy, Plan, UnplannableError, breaches
from trading.domain.pnl import FLAT, Position, apply_fill
from trading.domain.rescue import Rescue

LONG = Position(net=D("3"), cost=D("297"))  # bought at 99
SHORT = Position(net=D("-3"), cost=D("-306"))  # sold at 102


def close(
    long: Position = LONG,
    short: Position = SHORT,
    *,
    long_market: LegMarket | None = None,
    short_market: LegMarket | None = None,
    qty: str | None = None,
    **bounds: Any,
) -> Plan:
    return closing_plan(
        OpenLeg(long_market or market(CHEAP), long),
        OpenLeg(short_market or market(DEAR), short),
        pair="btc",
        bounds=CloseBounds(**({"max_slippage_bps": D("30")} | bounds)),
        now=NOW,
        qty=None if qty is None else D(qty),
    )


def quantities(plan: Plan) -> list[Decimal]:
    return [leg.qty for leg in plan.legs]


def test_all_of_it_by_hand() -> None:
    """Sold at 99.9 + 2 x 99.8 = 299.5 (cost 297), bought back at 101.1 + 2 x 101.2 = 303.5 (sold for 306)."""
    plan = close()
    long, short = plan.legs
    assert (long.side, long.qty, long.reduce_only, long.limit_price) == (Side.SELL, D("3"), True, D("99.7"))
    assert (short.side, short.qty, short.reduce_only, short.limit_price) == (
        Side.BUY,
        D("3"),
        True,
        D("101.4"),
    )
    assert plan.close
    assert plan.close.realised == D("2.5") + D("2.5")
    assert plan.close.fees == D("0.0005") * (D("299.5") + D("303.5"))
    assert plan.close.result == plan.close.realised - plan.close.fees
    assert plan.close.exit_bps == D("-141.7298")  # (299.5 - 303.5 - 0.3015) / 303.5
    assert plan.limited_by is LimitedBy.POSITION
    assert [step.state for step in plan.steps] == [
        ExecutionState.BALANCED,
        ExecutionState.CLOSING,
        ExecutionState.SETTLED,
    ]


def test_part_of_it_is_equal_on_both_legs_and_leaves_the_rest() -> None:
    plan = close(qty="1")
    assert quantities(plan) == [D("1"), D("1")]
    assert plan.close
    assert (plan.close.residual_long, plan.close.residual_short) == (D("2"), D("2"))
    assert plan.close.realised == D("0.9") + D("0.9")
    assert plan.limited_by is LimitedBy.REQUEST


def test_legs_that_differ_are_both_taken_out_whole() -> None:
    assert quantities(close(replace(LONG, net=D("2.5"), cost=D("250")))) == [D("2.5"), D("3")]


def test_a_thin_book_gives_a_matched_slice() -> None:
    plan = close(max_slippage_bps=D("5"))
    assert quantities(plan) == [D("1"), D("1")]
    assert plan.limited_by is LimitedBy.DEPTH


def test_a_flat_leg_does_not_keep_the_other_in() -> None:
    dark = market(replace(DEAR, bids=(), asks=()))
    assert quantities(close(short=FLAT, short_market=dark)) == [D("3"), D("0")]


def test_floors_of_notional_do_not_trap_a_reduction() -> None:
    assert quantities(close(long_market=market(CHEAP, min_notional=D("100000"))))[0] == D("3")


def test_dust_stays_as_residual() -> None:
    plan = close(replace(LONG, net=D("3.0004"), cost=D("297")))
    assert plan.close
    assert quantities(plan)[0] == D("3.000")
    assert plan.close.residual_long == D("0.0004")


@pytest.mark.parametrize(
    ("long", "short", "changes", "code"),
    [
        (FLAT, FLAT, {}, "position.none"),
        (SHORT, LONG, {}, "position.sides"),
        (Position(net=D("0.0004"), cost=D("0.04")), FLAT, {}, "size.below_minimum"),
        (LONG, SHORT, {"qty": "0.0004"}, "size.below_minimum"),
        (LONG, SHORT, {"long_market": market(replace(CHEAP, bids=()))}, "book.depth"),
        (LONG, SHORT, {"long_market": market(replace(CHEAP, bids=levels(("99", "0.0004"))))}, "book.depth"),
    ],
)
def test_no_plan_says_why(long: Position, short: Position, changes: dict[str, Any], code: str) -> None:
    with pytest.raises(UnplannableError) as refused:
        close(long, short, **changes)
    assert refused.value.code == code


def test_a_quantity_to_close_is_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        close(qty="0")


def test_bounds_of_a_close() -> None:
    assert breaches(close()) == ()
    assert "below the least" in breaches(close(min_exit_bps=D("-100")))[0]
    assert breaches(close(min_exit_bps=D("-142"))) == ()
    losing = replace(LONG, cost=D("330"))
    assert "closing costs" in breaches(close(losing, max_cost=D("10")))[0]
    assert breaches(close(losing, max_cost=D("100"))) == ()


def test_a_close_that_fails_on_one_leg_goes_on_closing() -> None:
    assert {s.choice for s in close().rescue} == {Rescue.PROCEED, Rescue.NONE}
    assert all(s.reverse_cost is None for s in close().rescue)


def test_json_reads_back_equal() -> None:
    plan = close(min_exit_bps=D("-100"))
    assert Plan.from_json(plan.to_json()) == plan


@given(leg_markets("a"), leg_markets("b"), st.integers(1, 9000), st.integers(1, 9000), st.integers(0, 9000))
def test_a_close_only_reduces_and_realises_what_its_fills_would(
    a: LegMarket, b: LegMarket, long_lots: int, short_lots: int, lots: int
) -> None:
    long = apply_fill(FLAT, side=Side.BUY, qty=long_lots * D("0.001"), price=D("97.31"), fee=D("0"))
    short = apply_fill(FLAT, side=Side.SELL, qty=short_lots * D("0.001"), price=D("103.7"), fee=D("0"))
    try:
        plan = closing_plan(
            OpenLeg(a, long),
            OpenLeg(b, short),
            pair="x",
            bounds=CloseBounds(max_slippage_bps=D("150")),
            now=NOW,
            qty=lots * D("0.001") or None,
        )
    except UnplannableError:
        return
    assert plan.close
    realised = D("0")
    for leg, position, source in zip(plan.legs, (long, short), (a, b), strict=True):
        assert 0 <= leg.qty <= abs(position.net)
        left, after = leg.qty, position
        for level in source.book.opposite(leg.side):
            if left:
                part = min(left, level.qty)
                after = apply_fill(after, side=leg.side, qty=part, price=level.price, fee=D("0"))
                left -= part
        assert abs(after.net) == abs(position.net) - leg.qty
        realised += after.realised
    assert plan.close.realised == pytest.approx(realised, abs=D("1e-9"))
    naked_before = abs(long.net + short.net)
    assert abs(plan.close.residual_long - plan.close.residual_short) <= naked_before
