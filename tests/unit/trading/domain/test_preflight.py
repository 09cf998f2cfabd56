from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.trading.domain.markets import CHEAP, DEAR, NOW, QUIET, D, funding, instrument, levels, market
from trading.domain.basis import ExitEstimate, ExitSource
from trading.domain.closing import OpenLeg, closing_plan
from trading.domain.market import Book
from trading.domain.plan import Bounds, CloseBounds, Intent, Plan, UnplannableError
from trading.domain.planning import Opening, opening_plan
from trading.domain.pnl import FLAT, Position
from trading.domain.preflight import DeskState, Verdict, judge
from trading.domain.venue_checks import (
    AccountSetup,
    Check,
    CheckClass,
    Thresholds,
    VenueState,
    system_checks,
)

SETUP = AccountSetup(position_mode="one_way", margin_mode="cross", leverage=3)
LIMITS = Thresholds(
    max_clock_offset_ms=200,
    max_book_age_ms=1000,
    max_account_age_ms=5000,
    margin_buffer=D("0.1"),
    funding_quiet=timedelta(minutes=5),
)
DESK = DeskState(
    hold_causes=(), leads=True, guards_worst="OK", safe_mode=False, reduce_only=False, approval_needed=False
)
WORTH = Bounds(
    notional=D("303"), max_slippage_bps=D("30"), min_edge_bps=D("5"), max_plausible_edge_bps=D("300")
)


def venue(shown: Book, **changes: Any) -> VenueState:
    state = VenueState(
        venue=shown.venue,
        reachable=True,
        seen_at=NOW,
        clock_offset_ms=3,
        book=shown,
        continuous=True,
        funding=funding(shown.venue),
        instrument=instrument(shown.venue),
        free_balance=D("1000"),
        setup=SETUP,
        wanted=SETUP,
        can_trade=True,
        can_withdraw=False,
        maintenance=False,
    )
    return replace(state, **changes)


def opened(**bounds: Any) -> Plan:
    exits = {
        name: ExitEstimate(bps=D("20"), source=ExitSource.CONFIGURED, samples=0) for name in ("okx", "bybit")
    }
    wanted = Opening(pair="btc", bounds=replace(WORTH, **bounds), exits=exits, assumptions=QUIET)
    return opening_plan(market(CHEAP), market(DEAR), wanted, now=NOW)


def closing(short: Position = Position(net=D("-3"), cost=D("-306"))) -> Plan:  # noqa: B008 - frozen
    return closing_plan(
        OpenLeg(market(CHEAP), Position(net=D("3"), cost=D("297"))),
        OpenLeg(market(DEAR), short),
        pair="btc",
        bounds=CloseBounds(max_slippage_bps=D("30")),
        now=NOW,
    )


def verdict(
    *,
    okx: VenueState | None = None,
    desk: DeskState = DESK,
    plan: Plan | UnplannableError | None = None,
    intent: Intent = Intent.OPEN,
) -> Verdict:
    made = plan or (opened() if intent is Intent.OPEN else closing())
    states = (okx or venue(CHEAP), venue(DEAR))
    return judge(states, desk, LIMITS, intent=intent, plan=made, now=NOW)


def red(result: Verdict) -> list[str]:
    return [check.name for check in result.checks if not check.ok]


def test_all_green() -> None:
    result = verdict()
    assert (red(result), result.viable, result.executable, result.blocked_by) == ([], True, True, ())
    names = [check.name for check in result.checks]
    assert len(names) == len(set(names))
    assert {check.cls for check in result.checks} == set(CheckClass)


CROSSED = replace(CHEAP, bids=levels(("100", "1")))
STALE = replace(CHEAP, received_at=NOW - timedelta(milliseconds=1001))
OLD = NOW - timedelta(milliseconds=5001)

#: What is wrong on okx → the check that must go red, and whether it also keeps a reduction from going out.
FAULTS: list[tuple[dict[str, Any], str, bool]] = [
    ({"reachable": False}, "connectivity", True),
    ({"maintenance": True}, "maintenance", True),
    ({"instrument": None}, "filters", True),
    ({"instrument": instrument("okx", lot=D("2"))}, "filters", True),
    ({"instrument": instrument("okx", tick=D("0.25"))}, "filters", True),
    ({"instrument": instrument("okx", max_qty=D("2.9"))}, "filters", True),
    ({"setup": replace(SETUP, position_mode="hedge")}, "position_mode", True),
    ({"clock_offset_ms": 201}, "clock", False),
    ({"clock_offset_ms": -201}, "clock", False),
    ({"clock_offset_ms": None}, "clock", False),
    ({"book": None}, "book", False),
    ({"book": STALE}, "book", False),
    ({"book": CROSSED}, "book", False),
    ({"book": replace(CHEAP, asks=())}, "book", False),
    ({"book": replace(CHEAP, received_at=NOW + timedelta(seconds=1))}, "book", False),
    ({"continuous": False}, "book", False),
    ({"seen_at": OLD}, "account_age", False),
    ({"setup": replace(SETUP, leverage=5)}, "setup", False),
    ({"setup": replace(SETUP, margin_mode="isolated")}, "setup", False),
    ({"can_withdraw": True}, "permissions", False),
    ({"can_withdraw": None}, "permissions", False),
    ({"can_trade": False}, "permissions", False),
    ({"dead_man_armed": False}, "dead_man", False),
]


@pytest.mark.parametrize(("fault", "name", "traps"), FAULTS)
def test_a_system_fault_on_one_leg_stops_an_opening(fault: dict[str, Any], name: str, traps: bool) -> None:
    result = verdict(okx=venue(CHEAP, **fault))
    assert red(result) == [f"{name}.okx"]
    assert (result.system_green, result.viable, result.executable) == (False, False, False)
    assert result.blocked_by == ()


@pytest.mark.parametrize(("fault", "name", "traps"), FAULTS)
def test_a_reduction_shows_it_and_waits_only_for_what_it_needs(
    fault: dict[str, Any], name: str, traps: bool
) -> None:
    result = verdict(okx=venue(CHEAP, **fault), intent=Intent.CLOSE)
    assert red(result) == [f"{name}.okx"]
    assert result.viable is not traps


@pytest.mark.parametrize(("age_ms", "ok"), [(999, True), (1000, True), (1001, False)])
def test_book_age_is_shown_and_bounded(age_ms: int, ok: bool) -> None:
    aged = replace(CHEAP, received_at=NOW - timedelta(milliseconds=age_ms))
    check = next(c for c in verdict(okx=venue(aged)).checks if c.name == "book.okx")
    assert (check.ok, check.age_ms) == (ok, age_ms)


def test_a_reduction_needs_no_floor_of_notional_and_no_margin() -> None:
    poor = venue(CHEAP, free_balance=None, instrument=instrument("okx", min_notional=D("100000")))
    assert red(verdict(okx=poor)) == ["filters.okx", "balance.okx"]
    assert red(verdict(okx=poor, intent=Intent.CLOSE)) == []


@pytest.mark.parametrize(("free", "ok"), [("110.49", False), ("110.50", True)])
def test_margin_and_fee_with_their_buffer(free: str, ok: bool) -> None:
    """3 coins at the limit of 100.3, x3: 100.3; fee 0.1501; 10 % on top: 110.49511."""
    assert (red(verdict(okx=venue(CHEAP, free_balance=D(free)))) == []) is ok


@pytest.mark.parametrize("unknown", [{"setup": None}, {"setup": replace(SETUP, leverage=None)}])
def test_what_is_not_known_is_not_green(unknown: dict[str, Any]) -> None:
    result = verdict(okx=venue(CHEAP, **unknown))
    assert "balance.okx" in red(result)
    assert not result.viable


def test_an_unknown_setup_does_not_keep_an_exit_in() -> None:
    assert verdict(okx=venue(CHEAP, setup=None), intent=Intent.CLOSE).viable


def test_the_venue_of_a_flat_leg_does_not_matter() -> None:
    states = (venue(CHEAP), venue(DEAR, reachable=False, instrument=None))
    result = judge(states, DESK, LIMITS, intent=Intent.CLOSE, plan=closing(short=FLAT), now=NOW)
    assert red(result) == ["connectivity.bybit", "filters.bybit"]
    assert result.viable


def test_a_plan_that_does_not_pay_is_not_viable_and_says_why() -> None:
    result = verdict(plan=opened(min_edge_bps=D("250")))
    assert red(result) == ["edge"]
    assert (result.system_green, result.viable, result.executable) == (True, False, False)


def test_no_plan_is_not_viable() -> None:
    result = verdict(plan=UnplannableError("size.below_minimum", "too small"))
    size = next(check for check in result.checks if check.name == "size")
    assert (size.ok, size.detail) == (False, "size.below_minimum: too small")
    assert not result.viable


@pytest.mark.parametrize(
    ("before_sec", "ok"), [(301, True), (300, True), (299, False), (0, False), (-1, True)]
)
def test_nothing_opens_right_before_a_funding_time(before_sec: int, ok: bool) -> None:
    soon = funding("okx", next_at=NOW + timedelta(seconds=before_sec))
    result = verdict(okx=venue(CHEAP, funding=soon))
    assert (red(result) == []) is ok
    assert result.viable is ok


def test_unknown_funding_stops_an_opening_and_no_close() -> None:
    assert red(verdict(okx=venue(CHEAP, funding=None))) == ["funding_window"]
    assert verdict(okx=venue(CHEAP, funding=None), intent=Intent.CLOSE).viable


MODES: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"hold_causes": ("operator", "kill")}, ("hold:operator", "hold:kill")),
    ({"safe_mode": True}, ("safe_mode",)),
    ({"reduce_only": True}, ("reduce_only",)),
    ({"leads": False}, ("leader",)),
    ({"guards_worst": "WARN"}, ("guards",)),
    ({"guards_worst": "UNKNOWN"}, ("guards",)),
    ({"approval_needed": True}, ("approval",)),
]


@pytest.mark.parametrize(("mode", "blocked"), MODES)
def test_the_mode_blocks_an_opening_without_making_it_less_viable(
    mode: dict[str, Any], blocked: tuple[str, ...]
) -> None:
    result = verdict(desk=replace(DESK, **mode))
    assert (result.viable, result.executable, result.blocked_by) == (True, False, blocked)


@pytest.mark.parametrize(("mode", "blocked"), MODES)
def test_no_mode_blocks_a_close(mode: dict[str, Any], blocked: tuple[str, ...]) -> None:
    result = verdict(desk=replace(DESK, **mode), intent=Intent.CLOSE)
    assert red(result)  # shown
    assert (result.viable, result.executable, result.blocked_by) == (True, True, ())


def test_leaving_hold_asks_for_system_checks_without_a_plan() -> None:
    checks = system_checks(venue(CHEAP), LIMITS, intent=Intent.OPEN, plan=None, now=NOW)
    assert all(check.ok for check in checks)
    assert Verdict(checks, ()).system_green


def test_no_checks_is_not_green() -> None:
    assert not Verdict((), ()).viable
    assert not Verdict((Check("x", CheckClass.SYSTEM, ok=True, detail=""),), ()).viable
