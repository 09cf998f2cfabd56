from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given

from tests.unit.trading.domain.markets import (
    CHEAP,
    DEAR,
    NOW,
    QUIET,
    D,
    decimals,
    leg_markets,
    levels,
    market,
)
from trading.domain.basis import ExitEstimate, ExitSource
from trading.domain.edge import LegMarket
from trading.domain.execution_state import ExecutionState, Policy
from trading.domain.market import Side, TimeInForce
from trading.domain.plan import IMMEDIATE, Bounds, LimitedBy, Plan, Style, UnplannableError, breaches
from trading.domain.planning import Opening, limit_price, opening_plan
from trading.domain.rescue import Rescue
from trading.domain.scenarios import Failure

EXITS = {
    venue: ExitEstimate(bps=D("20"), source=ExitSource.ROLLING_MEDIAN, samples=50)
    for venue in ("okx", "bybit", "a", "b")
}
BOUNDS = Bounds(
    notional=D("303"), max_slippage_bps=D("30"), min_edge_bps=D("5"), max_plausible_edge_bps=D("300")
)


def opening(*, style: Style = IMMEDIATE, exits: Mapping[str, ExitEstimate] = EXITS, **bounds: Any) -> Opening:
    return Opening(pair="btc", bounds=replace(BOUNDS, **bounds), exits=exits, assumptions=QUIET, style=style)


def plan(long: LegMarket | None = None, short: LegMarket | None = None, **changes: Any) -> Plan:
    return opening_plan(long or market(CHEAP), short or market(DEAR), opening(**changes), now=NOW)


def test_the_better_direction_is_taken_whichever_way_the_venues_come() -> None:
    one = opening_plan(market(CHEAP), market(DEAR), opening(), now=NOW)
    other = opening_plan(market(DEAR), market(CHEAP), opening(), now=NOW)
    assert one == other
    assert (one.long_venue, one.short_venue) == ("okx", "bybit")
    assert breaches(one) == ()


def test_a_direction_that_is_asked_for_is_kept_and_says_that_it_does_not_pay() -> None:
    forced = opening_plan(market(CHEAP), market(DEAR), opening(), now=NOW, long_venue="bybit")
    assert forced.long_venue == "bybit"
    assert "below the least" in breaches(forced)[0]


def test_too_good_to_be_true_is_a_breach() -> None:
    assert "plausible" in breaches(plan(max_plausible_edge_bps=D("10")))[0]


def test_legs_by_hand() -> None:
    """303 over the dearer touch, 101, is 3 coins; collars are 30 bps from each touch, on a grid of 0.1."""
    long, short = plan().legs
    assert (long.venue, long.side, long.qty, long.limit_price) == ("okx", Side.BUY, D("3"), D("100.3"))
    assert (short.venue, short.side, short.qty, short.limit_price) == ("bybit", Side.SELL, D("3"), D("100.7"))
    assert (long.tif, long.post_only, long.reduce_only) == (TimeInForce.IOC, False, False)
    assert long.est_fee == D("0.0005") * D("300.2")
    assert plan().limited_by is LimitedBy.NOTIONAL


def test_both_legs_are_on_the_coarser_common_grid() -> None:
    legs = plan(market(CHEAP, lot=D("0.04")), market(DEAR, lot=D("0.06"))).legs
    assert [leg.qty for leg in legs] == [D("3.00"), D("3.00")]
    legs = plan(market(CHEAP, lot=D("0.4")), market(DEAR, lot=D("0.7"))).legs
    assert [leg.qty for leg in legs] == [D("2.8"), D("2.8")]


@pytest.mark.parametrize(
    ("change", "qty", "why"),
    [
        ({"notional": D("100000")}, "6", LimitedBy.DEPTH),  # sell side of either book
        ({"max_slippage_bps": D("5"), "notional": D("100000")}, "1", LimitedBy.DEPTH),
        ({"notional": D("101.1")}, "1.000", LimitedBy.NOTIONAL),
    ],
)
def test_depth_beyond_the_collar_is_not_used(change: dict[str, Any], qty: str, why: LimitedBy) -> None:
    made = plan(**change)
    assert (made.legs[0].qty, made.limited_by) == (D(qty), why)


def test_what_cannot_be_left_again_is_not_entered() -> None:
    thin_out = market(replace(DEAR, asks=levels(("101.1", "2"))))
    made = opening_plan(market(CHEAP), thin_out, opening(), now=NOW, long_venue="okx")
    assert (made.legs[0].qty, made.limited_by) == (D("2"), LimitedBy.DEPTH)


def test_the_largest_order_of_either_venue_caps_both() -> None:
    made = plan(short=market(DEAR, max_qty=D("0.5")))
    assert [leg.qty for leg in made.legs] == [D("0.5"), D("0.5")]
    assert made.limited_by is LimitedBy.MAX_QTY


@pytest.mark.parametrize(
    ("filters", "bounds", "code"),
    [
        ({"min_qty": D("3.001")}, {}, "size.below_minimum"),
        ({"min_qty": D("3")}, {}, None),
        ({"min_notional": D("302.1")}, {}, None),  # 3 x 100.7, at the limit price of the short leg
        ({"min_notional": D("302.11")}, {}, "size.below_minimum"),
        ({"lot": D("4"), "min_qty": D("4")}, {}, "size.below_minimum"),
        ({"min_qty": D("7")}, {"notional": D("100000")}, "book.depth"),
    ],
)
def test_floors_of_the_venue(filters: dict[str, Any], bounds: dict[str, Any], code: str | None) -> None:
    short = market(DEAR, **filters)
    if code is None:
        assert plan(short=short, **bounds).legs[1].qty == D("3")
        return
    with pytest.raises(UnplannableError, match=r"bybit|step of both legs 4") as refused:
        opening_plan(market(CHEAP), short, opening(**bounds), now=NOW, long_venue="okx")
    assert refused.value.code == code


def test_an_empty_book_is_no_plan() -> None:
    with pytest.raises(UnplannableError) as refused:
        plan(market(replace(CHEAP, asks=(), bids=())))
    assert refused.value.code == "book.depth"


@pytest.mark.parametrize("notional", ["0", "-5"])
def test_a_notional_is_positive(notional: str) -> None:
    with pytest.raises(ValueError, match="notional"):
        plan(notional=D(notional))


def test_a_pair_is_two_known_venues() -> None:
    with pytest.raises(ValueError, match="two venues"):
        opening_plan(market(CHEAP), market(CHEAP), opening(), now=NOW)
    with pytest.raises(ValueError, match="kraken"):
        opening_plan(market(CHEAP), market(DEAR), opening(), now=NOW, long_venue="kraken")
    with pytest.raises(ValueError, match="hard leg"):
        opening_plan(market(CHEAP), market(DEAR), opening(style=Style(policy=Policy.HARD_LEG_FIRST)), now=NOW)


@pytest.mark.parametrize(
    ("policy", "resting"), [(Policy.HARD_LEG_FIRST, [False, True]), (Policy.SIMULTANEOUS, [True, True])]
)
def test_post_only_joins_its_own_side_of_the_book(policy: Policy, resting: list[bool]) -> None:
    style = Style(policy=policy, hard_venue="bybit", post_only=True)
    made = opening_plan(market(CHEAP), market(DEAR), opening(style=style), now=NOW)
    assert [leg.post_only for leg in made.legs] == resting
    assert (made.legs[1].limit_price, made.legs[1].tif) == (D("101.1"), TimeInForce.GTC)
    assert made.legs[1].est_fee == D("0.0002") * (D("101") + 2 * D("100.9"))
    assert made.hard_leg == 1


@pytest.mark.parametrize(
    ("side", "touch", "slip", "limit"),
    [
        (Side.BUY, "100", "30", "100.3"),
        (Side.BUY, "100", "39.9", "100.3"),
        (Side.SELL, "100", "30", "99.7"),
        (Side.SELL, "100", "39.9", "99.7"),
        (Side.BUY, "100", "0", "100"),
        (Side.SELL, "100", "0", "100"),
    ],
)
def test_collar_rounds_towards_the_touch(side: Side, touch: str, slip: str, limit: str) -> None:
    assert limit_price(market(CHEAP).instrument, side, D(touch), max_slippage_bps=D(slip)) == D(limit)


@pytest.mark.parametrize("slip", ["-1", "10000"])
def test_impossible_slippage_is_refused(slip: str) -> None:
    with pytest.raises(ValueError, match="max_slippage_bps"):
        plan(max_slippage_bps=D(slip))


@given(leg_markets("a"), leg_markets("b"), decimals("10", "3000", 2), decimals("0", "200", 1))
def test_every_opening_is_marketable_within_its_bounds(
    a: LegMarket, b: LegMarket, notional: Decimal, slip: Decimal
) -> None:
    try:
        made = opening_plan(a, b, opening(notional=notional, max_slippage_bps=slip), now=NOW)
    except UnplannableError:
        return
    markets = {"a": a, "b": b}
    for leg in made.legs:
        source = markets[leg.venue]
        taken = source.book.opposite(leg.side)
        within = [x for x in taken if (leg.limit_price - x.price) * leg.side.sign >= 0]
        assert sum(x.qty for x in within) >= leg.qty > 0
        assert (leg.limit_price - taken[0].price) * leg.side.sign <= taken[0].price * slip / 10_000
        assert leg.limit_price % source.instrument.tick == 0
        assert leg.qty % source.instrument.lot == 0
        assert leg.qty * taken[0].price <= notional
        assert leg.qty * leg.limit_price >= source.instrument.min_notional
    assert made.legs[0].qty == made.legs[1].qty


# --- what the plan shows


def test_the_steps_are_the_states_of_the_machine() -> None:
    assert [step.state for step in plan().steps] == [
        ExecutionState(name)
        for name in ("PLANNED", "APPROVED", "ARMED", "WORKING", "BALANCED", "CLOSING", "SETTLED")
    ]
    working = plan().steps[3].does
    assert "buy 3 on okx at 100.3" in working
    assert "sell 3 on bybit at 100.7" in working


def test_every_way_to_fail_has_its_rescue() -> None:
    cases = [(s.failure, s.venue) for s in plan().rescue]
    failures = (Failure.REJECTED, Failure.PARTIAL, Failure.AMBIGUOUS)
    expected = [(failure, venue) for venue in ("okx", "bybit") for failure in failures]
    assert cases == [*expected, (Failure.BOTH_FAILED, None)]


def test_rescue_of_an_opening_reverses_and_counts_both_ways() -> None:
    """okx refuses: completing there would cost 3 x 0.3; what is done is to sell back what bybit bought."""
    refused = plan().rescue[0]
    assert refused.proceed_cost == D("0.9")
    # bought back on bybit: 101.1 + 2 x 101.2, sold: 101 + 2 x 100.9, 5 bps on both
    assert refused.reverse_cost == D("0.7") + D("0.0005") * D("606.3")
    assert (refused.choice, refused.cost_quote, refused.cost_bps) == (
        Rescue.REVERSE,
        D("1.00315"),
        D("33.44"),
    )


def test_rescue_says_how_it_reverses() -> None:
    refused = plan(max_slippage_bps=D("60")).rescue[0]
    assert (refused.choice, refused.cost_quote) == (Rescue.REVERSE, refused.reverse_cost)
    assert "reduce-only" in refused.does


def test_an_ambiguous_leg_is_costed_and_never_sent_again() -> None:
    unknown = plan().rescue[2]
    assert unknown.cost_quote == unknown.reverse_cost
    assert "never send again" in unknown.does


def test_half_a_fill_leaves_half_naked_on_the_lot_grid() -> None:
    assert plan().rescue[1].naked_qty == D("1.500")


@given(leg_markets("a"), leg_markets("b"))
def test_json_reads_back_equal(a: LegMarket, b: LegMarket) -> None:
    try:
        made = opening_plan(a, b, opening(max_slippage_bps=D("100")), now=NOW)
    except UnplannableError:
        return
    text = made.to_json()
    assert Plan.from_json(text) == made
    assert Plan.from_json(text).to_json() == text
    assert Plan.from_json(text).digest == made.digest


def test_the_digest_changes_with_any_figure() -> None:
    made = plan()
    leg = replace(made.legs[0], limit_price=made.legs[0].limit_price + D("0.1"))
    assert replace(made, legs=(leg, made.legs[1])).digest != made.digest


def test_the_terms_of_an_approval_hold_no_price() -> None:
    shifted = replace(DEAR, bids=levels(("100.9", "1"), ("100.8", "5")))
    assert plan().terms() == plan(short=market(shifted)).terms()
    assert plan().terms()["bounds"] == {
        "notional": "303",
        "max_slippage_bps": "30",
        "min_edge_bps": "5",
        "max_plausible_edge_bps": "300",
    }
    assert plan(notional=D("304")).terms() != plan().terms()
