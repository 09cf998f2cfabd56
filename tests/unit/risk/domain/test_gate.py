from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.domain.gate import (
    CAPS,
    DESK,
    MAX_OPEN_POSITIONS,
    MAX_TOTAL_NOTIONAL,
    Exposure,
    InstrumentState,
    LegIntent,
    Limit,
    OrderIntent,
    RiskGovernor,
    Snapshot,
    decide,
    worst_notional,
)

D = Decimal
SYMBOL = "BTC/USDT:USDT"
OKX, BYBIT = ("okx", SYMBOL), ("bybit", SYMBOL)
MARKED = InstrumentState(mark_price=D("100"))
PAIR = OrderIntent((LegIntent("okx", SYMBOL, D("2"), D("100")), LegIntent("bybit", SYMBOL, D("-2"), D("99"))))


def governor(notional: str | None = "1000", positions: str | None = "4", *more: Limit) -> RiskGovernor:
    return RiskGovernor(
        [
            Limit(MAX_TOTAL_NOTIONAL, None if notional is None else D(notional)),
            Limit(MAX_OPEN_POSITIONS, None if positions is None else D(positions)),
            *more,
        ]
    )


def snapshot(
    okx: InstrumentState = MARKED, bybit: InstrumentState = MARKED, **desk: Decimal | int
) -> Snapshot:
    return Snapshot(exposures={DESK: Exposure(**desk)}, instruments={OKX: okx, BYBIT: bybit})  # type: ignore[arg-type]


def test_off_is_said_so() -> None:
    off = RiskGovernor(enabled=False)
    assert decide(snapshot(), PAIR, off).as_json() == {"allowed": True, "reason": "disabled"}


@pytest.mark.parametrize(
    ("before", "reserved", "allowed"),
    [
        ("599", "0", True),
        ("600", "0", True),
        ("601", "0", False),
        ("300", "300", True),
        ("300", "300.01", False),
    ],
)
def test_notional_up_to_the_limit_and_not_one_more(before: str, reserved: str, allowed: bool) -> None:
    """The pair adds 2 x 100 on each leg: 400 gross."""
    now = snapshot(position_notional=D(before), reserved_notional=D(reserved))
    decision = decide(now, PAIR, governor())
    assert decision.allowed is allowed
    if not allowed:
        assert (decision.reason, decision.cap) == ("risk.max_notional", "max_total_notional_usdt")
        assert decision.detail["limit"] == "1000"


@pytest.mark.parametrize(
    ("open_now", "reserved", "allowed"),
    [(1, 0, True), (2, 0, True), (3, 0, False), (0, 2, True), (1, 2, False)],
)
def test_positions_up_to_the_limit_and_not_one_more(open_now: int, reserved: int, allowed: bool) -> None:
    """A pair on two flat instruments is two positions."""
    now = snapshot(open_positions=open_now, reserved_positions=reserved)
    decision = decide(now, PAIR, governor())
    assert decision.allowed is allowed
    if not allowed:
        assert (decision.reason, decision.cap) == ("risk.max_open_positions", "max_open_positions")


@pytest.mark.parametrize(
    "state",
    [
        InstrumentState(net=D("1"), mark_price=D("100")),
        InstrumentState(working_buy=D("1"), mark_price=D("100")),
        InstrumentState(working_sell=D("1"), mark_price=D("100")),
    ],
)
def test_an_instrument_already_counted_is_not_a_new_position(state: InstrumentState) -> None:
    now = snapshot(okx=state, open_positions=3)
    assert decide(now, PAIR, governor()).allowed
    assert not decide(snapshot(open_positions=3), PAIR, governor()).allowed


@pytest.mark.parametrize(("limit", "allowed"), [("99", False), ("100", True), ("101", True)])
def test_a_leg_counts_at_its_dearer_price(limit: str, allowed: bool) -> None:
    sell = OrderIntent((LegIntent("okx", SYMBOL, D("-1"), D("98")),))
    assert decide(snapshot(), sell, governor(notional=limit)).allowed is allowed
    assert worst_notional(LegIntent("okx", SYMBOL, D("-1"), D("103")), D("100")) == D("103")


@pytest.mark.parametrize(
    ("notional", "positions", "cap"),
    [
        (None, "4", "max_total_notional_usdt"),
        ("1000", None, "max_open_positions"),
        (None, None, "max_total_notional_usdt"),
        ("NaN", "4", "max_total_notional_usdt"),
        ("Infinity", "4", "max_total_notional_usdt"),
    ],
)
def test_no_limit_set_no_order(notional: str | None, positions: str | None, cap: str) -> None:
    decision = decide(snapshot(), PAIR, governor(notional, positions))
    assert (decision.allowed, decision.reason, decision.cap) == (False, "risk.no_limit", cap)


def test_nothing_configured_at_all_denies() -> None:
    assert decide(snapshot(), PAIR, RiskGovernor()).reason == "risk.no_limit"


@pytest.mark.parametrize("mark", [None, D("0"), D("-1"), D("NaN")])
def test_no_fresh_mark_no_opening(mark: Decimal | None) -> None:
    decision = decide(snapshot(bybit=replace(MARKED, mark_price=mark)), PAIR, governor())
    assert (decision.allowed, decision.reason) == (False, "risk.no_price")
    assert decision.detail == {"instrument": f"bybit:{SYMBOL}"}


def test_an_instrument_nobody_knows_has_no_price() -> None:
    nothing = Snapshot(exposures={DESK: Exposure()}, instruments={})
    assert decide(nothing, PAIR, governor()).reason == "risk.no_price"


def test_no_sums_no_order() -> None:
    blind = Snapshot(exposures={}, instruments={OKX: MARKED, BYBIT: MARKED})
    assert decide(blind, PAIR, governor()).reason == "risk.no_data"


@pytest.mark.parametrize(
    "legs",
    [
        (),
        (LegIntent("okx", SYMBOL, D("0"), D("100")),),
        (LegIntent("okx", SYMBOL, D("NaN"), D("100")),),
        (LegIntent("okx", SYMBOL, D("1"), D("0")),),
        (LegIntent("okx", SYMBOL, D("1"), D("NaN")),),
        (LegIntent("okx", SYMBOL, D("1"), D("1")), LegIntent("okx", SYMBOL, D("-1"), D("1"))),
    ],
)
def test_an_intent_that_makes_no_sense_is_denied(legs: tuple[LegIntent, ...]) -> None:
    assert decide(snapshot(), OrderIntent(legs), governor()).reason == "risk.bad_intent"


@pytest.mark.parametrize(
    ("net", "buying", "selling", "qty", "reduces"),
    [
        ("3", "0", "0", "-3", True),
        ("3", "0", "0", "-3.001", False),  # would flip
        ("3", "0", "1", "-2", True),
        ("3", "0", "1", "-2.001", False),  # would flip once the working sell fills
        ("3", "9", "0", "-3", True),  # a working buy only adds room
        ("3", "0", "0", "1", False),
        ("-3", "0", "0", "3", True),
        ("-3", "1", "0", "2.001", False),
        ("-3", "0", "0", "-1", False),
        ("0", "0", "0", "-1", False),
    ],
)
def test_reduction_is_judged_by_quantity(
    net: str, buying: str, selling: str, qty: str, reduces: bool
) -> None:
    state = InstrumentState(net=D(net), working_buy=D(buying), working_sell=D(selling))
    intent = OrderIntent((LegIntent("okx", SYMBOL, D(qty), D("100")),))
    decision = decide(snapshot(okx=state), intent, RiskGovernor())
    assert decision.allowed is reduces
    assert decision.reason == ("reducing" if reduces else "risk.no_limit")


def test_an_exit_passes_with_no_price_no_limit_and_no_headroom() -> None:
    held = snapshot(
        okx=InstrumentState(net=D("-2")), bybit=InstrumentState(net=D("2")), position_notional=D("10") ** 9
    )
    assert decide(held, PAIR, governor(None, None)).reason == "reducing"
    assert decide(held, PAIR, governor("1", "0")).allowed


def test_one_opening_leg_makes_the_pair_answer_for_it_alone() -> None:
    """okx is reduced, bybit opens 200: 800 fits beside it, 801 does not, and then neither leg goes."""
    half = InstrumentState(net=D("-2"), mark_price=D("100"))
    assert decide(snapshot(okx=half, position_notional=D("800")), PAIR, governor()).allowed
    assert not decide(snapshot(okx=half, position_notional=D("801")), PAIR, governor()).allowed


@pytest.mark.parametrize(
    ("level", "limit", "allowed"),
    [
        ("venue:okx", "300", True),
        ("venue:okx", "299", False),
        (f"instrument:bybit:{SYMBOL}", "300", True),
        (f"instrument:bybit:{SYMBOL}", "299", False),
        ("strategy:capture", "500", True),
        ("strategy:capture", "499", False),
        ("venue:binanceusdm", "0", True),  # not touched by this intent
        (DESK, "499", False),  # a second, lower limit on the desk itself
    ],
)
def test_each_level_answers_for_its_own_sum(level: str, limit: str, allowed: bool) -> None:
    levels = (DESK, "venue:okx", f"instrument:bybit:{SYMBOL}", "strategy:capture")
    now = replace(snapshot(), exposures={name: Exposure(position_notional=D("100")) for name in levels})
    intent = replace(PAIR, levels=("strategy:capture",))
    decision = decide(now, intent, governor("1000", "4", Limit(MAX_TOTAL_NOTIONAL, D(limit), level)))
    assert decision.allowed is allowed
    if not allowed:
        assert (decision.reason, decision.detail["level"]) == ("risk.max_notional", level)


def test_a_limited_level_without_sums_denies() -> None:
    limits = governor("1000", "4", Limit(MAX_TOTAL_NOTIONAL, D("1"), "venue:okx"))
    assert decide(snapshot(), PAIR, limits).reason == "risk.no_data"


quantities = st.decimals(D("-50"), D("50"), places=3).filter(bool)
sizes = st.decimals(D("0"), D("50"), places=3)


@given(quantities, quantities, sizes, st.decimals(D("0"), D("9000"), places=2))
def test_what_passes_either_fits_or_reduces(
    net: Decimal, qty: Decimal, working: Decimal, held: Decimal
) -> None:
    state = InstrumentState(net=net, working_buy=working, working_sell=working, mark_price=D("100"))
    intent = OrderIntent((LegIntent("okx", SYMBOL, qty, D("100")),))
    now = snapshot(okx=state, position_notional=held, open_positions=1)
    if decide(now, intent, governor("5000", "1")).allowed:
        fits = held + abs(qty) * 100 <= 5000
        worst = net + qty + (working if qty > 0 else -working)
        assert fits or (worst * net >= 0 and abs(worst) < abs(net))


# --- every cap, at every level -------------------------------------------------------

BUY = OrderIntent(
    (LegIntent("okx", SYMBOL, D("2"), D("101")),),
    levels=("strategy:capture", "operator:anna"),
    edge_bps=D("30"),
    repeats=2,
    alike=1,
)
EACH_LEVEL = (DESK, "venue:okx", f"instrument:okx:{SYMBOL}", "strategy:capture", "operator:anna")
NOW = Exposure(
    position_notional=D("500"),
    reserved_notional=D("100"),
    open_positions=2,
    reserved_positions=1,
    deltas={SYMBOL: D("50")},
    equity=D("1000"),
    daily_loss=D("70"),
    orders=5,
    cancels=9,
    collar_bps=D("40"),
    gap_bps=D("500"),
)
#: What each cap measures of BUY beside NOW, at a mark of 100: 202 of notional, 200 of delta, 100 bps beyond.
MEASURED = {
    "max_total_notional_usdt": D("802"),
    "max_open_positions": D("4"),
    "max_order_notional_usdt": D("202"),
    "max_order_qty": D("2"),
    "max_delta_usdt": D("250"),
    "max_leverage": D("0.802"),
    "max_daily_loss_usdt": D("70"),
    "max_orders_per_min": D("6"),
    "max_cancels_per_min": D("9"),
    "max_collar_bps": D("100"),
    "max_collar_bps_per_min": D("140"),
    "max_edge_bps": D("30"),
    "max_repeats_per_hour": D("3"),
    "max_alike_per_min": D("2"),
    "max_stress_loss_usdt": D("10"),
}


def test_every_cap_has_a_figure_here() -> None:
    assert MEASURED.keys() == CAPS.keys()
    assert len({cap.reason for cap in CAPS.values()}) == len(CAPS), "a code of its own"


def at(level: str, cap: str, value: Decimal | None) -> RiskGovernor:
    """Wide everywhere else."""
    return governor("100000", "100", Limit(CAPS[cap], value, level))


def everywhere(now: Exposure = NOW, state: InstrumentState = MARKED) -> Snapshot:
    return Snapshot(dict.fromkeys(EACH_LEVEL, now), {OKX: state})


@pytest.mark.parametrize("level", EACH_LEVEL)
@pytest.mark.parametrize("cap", MEASURED)
@pytest.mark.parametrize("off", ["-0.001", "0", "0.001"])
def test_a_cap_at_its_limit(cap: str, level: str, off: str) -> None:
    decision = decide(everywhere(), BUY, at(level, cap, MEASURED[cap] + D(off)))
    assert decision.allowed is (D(off) >= 0)
    if not decision.allowed:
        assert (decision.reason, decision.cap) == (CAPS[cap].reason, cap)
        assert decision.detail["level"] == level


@pytest.mark.parametrize("cap", MEASURED)
def test_a_cap_never_stands_in_the_way_of_a_reduction(cap: str) -> None:
    held = InstrumentState(net=D("-2"), mark_price=None)
    decision = decide(everywhere(state=held), BUY, at(DESK, cap, D("-1")))
    assert (decision.allowed, decision.reason) == (True, "reducing")


@pytest.mark.parametrize("cap", MEASURED)
def test_a_flip_is_an_opening(cap: str) -> None:
    held = InstrumentState(net=D("-1"), mark_price=D("100"))
    assert not decide(everywhere(state=held), BUY, at(DESK, cap, D("-1"))).allowed


@pytest.mark.parametrize("cap", MEASURED)
@pytest.mark.parametrize("value", [None, D("NaN"), D("Infinity")])
def test_a_limit_without_a_value_denies(cap: str, value: Decimal | None) -> None:
    decision = decide(everywhere(), BUY, at("venue:okx", cap, value))
    assert (decision.allowed, decision.reason, decision.cap) == (False, "risk.no_limit", cap)


@pytest.mark.parametrize(
    ("cap", "missing"),
    [("max_leverage", "equity"), ("max_daily_loss_usdt", "daily_loss"), ("max_stress_loss_usdt", "gap_bps")],
)
def test_a_figure_that_is_not_known_denies(cap: str, missing: str) -> None:
    now = replace(NOW, **{missing: None})  # type: ignore[arg-type]
    decision = decide(everywhere(now), BUY, at(DESK, cap, D("1000000")))
    assert (decision.allowed, decision.reason, decision.cap) == (False, "risk.no_data", cap)


def test_a_pair_adds_no_delta() -> None:
    limits = governor("100000", "100", Limit(CAPS["max_delta_usdt"], D("0")))
    assert decide(snapshot(), PAIR, limits).allowed
    assert not decide(snapshot(), OrderIntent(PAIR.legs[:1]), limits).allowed


def test_a_level_that_nobody_knows_denies() -> None:
    known = Snapshot({DESK: NOW}, {OKX: MARKED})
    decision = decide(known, BUY, at("operator:anna", "max_order_qty", D("100")))
    assert (decision.allowed, decision.reason) == (False, "risk.no_data")
