"""An opening, and everything a venue may do to it. Prices stand still; A is the long leg, B the short."""

from decimal import Decimal

import pytest

from ops import desk
from tests.integration.trading.execution.bench import A, B, Bench, configure
from tests.integration.trading.execution.books import (
    assert_books_agree,
    assert_flat,
    assert_hedged,
    path,
    states,
)
from trading.models import Attempt, OrderIntent
from trading.venues import get_hub

QTY = Decimal("0.033")
HALF = Decimal("0.016")  # of QTY, on the coarser lot


def test_both_legs_fill(bench: Bench) -> None:
    row = bench.drive(bench.open())
    assert path(row) == ["ARMED", "WORKING", "BALANCED"]
    assert_hedged(bench, QTY)
    assert_books_agree(bench)


@pytest.mark.parametrize("venue", [A, B])
def test_a_rejected_leg_reverses_the_other(bench: Bench, venue: str) -> None:
    row = bench.open()
    bench.reject(venue)
    bench.drive(row)
    assert path(row) == ["ARMED", "WORKING", "IMBALANCED", "RESCUE_REVERSE", "FLAT_AFTER_RESCUE"]
    assert "REJECTED_DEFINITE" in states(row)
    assert_flat(bench)
    assert_books_agree(bench)


@pytest.mark.parametrize(("failing", "reversing", "side"), [(B, A, "sell"), (A, B, "buy")])
def test_a_reversal_rejected_four_times_goes_on(
    bench: Bench, failing: str, reversing: str, side: str
) -> None:
    row = bench.open()
    bench.reject(failing)
    bench.fault(reversing, "reject", side=side, code="-2019" if reversing == A else "51008", count=4)
    bench.drive(row)
    assert states(row, "reverse") == ["REJECTED_DEFINITE"] * 4 + ["FILLED"]
    assert row.state == "FLAT_AFTER_RESCUE"
    assert_flat(bench)
    assert_books_agree(bench)


def test_both_legs_rejected_is_aborted_clean(bench: Bench) -> None:
    row = bench.open()
    bench.reject(A)
    bench.reject(B)
    bench.drive(row)
    assert path(row) == ["ARMED", "WORKING", "ABORTED_CLEAN"]
    assert not bench.orders(A) + bench.orders(B)
    assert_books_agree(bench)


@pytest.mark.parametrize("venue", [A, B])
def test_a_partial_fill_keeps_what_is_hedged(bench: Bench, venue: str) -> None:
    row = bench.open()
    bench.fault(venue, "partial", fraction="0.5")
    bench.drive(row)
    assert row.state == "BALANCED"
    assert_hedged(bench, HALF)
    assert states(row)[0 if venue == A else 1] == "CANCELED"
    assert_books_agree(bench)


def test_both_legs_partly_filled_end_equal(bench: Bench) -> None:
    row = bench.open()
    bench.fault(A, "partial", fraction="0.6")
    bench.fault(B, "partial", fraction="0.3")
    bench.drive(row)
    assert row.state == "BALANCED"
    assert bench.net(A) == -bench.net(B) > 0
    assert_books_agree(bench)


def test_nothing_filled_is_aborted_clean(bench: Bench) -> None:
    row = bench.open()
    for venue in (A, B):
        bench.fault(venue, "partial", fraction="0")
    bench.drive(row)
    assert path(row) == ["ARMED", "WORKING", "ABORTED_CLEAN"]
    assert states(row) == ["CANCELED", "CANCELED"]
    assert len(bench.orders(A)) == len(bench.orders(B)) == 1
    assert_books_agree(bench)


@pytest.mark.parametrize("venue", [A, B])
def test_a_lost_answer_is_unknown_and_found_filled(bench: Bench, venue: str) -> None:
    row = bench.open()
    bench.fault(venue, "drop_answer_after_accept")
    bench.drive(row)
    assert path(row) == ["ARMED", "WORKING", "UNKNOWN", "BALANCED"]
    assert_hedged(bench, QTY)
    assert_books_agree(bench)


@pytest.mark.parametrize("venue", [A, B])
def test_a_lost_answer_of_an_unfilled_order(bench: Bench, venue: str) -> None:
    row = bench.open()
    bench.fault(venue, "partial", fraction="0")
    bench.fault(venue, "drop_answer_after_accept")
    bench.drive(row)
    assert path(row)[2:] == ["UNKNOWN", "IMBALANCED", "RESCUE_REVERSE", "FLAT_AFTER_RESCUE"]
    assert_flat(bench)
    assert_books_agree(bench)


def test_both_answers_lost(bench: Bench) -> None:
    row = bench.open()
    for venue in (A, B):
        bench.fault(venue, "drop_answer_after_accept")
    bench.drive(row)
    assert path(row) == ["ARMED", "WORKING", "UNKNOWN", "BALANCED"]
    assert_books_agree(bench)


@pytest.mark.parametrize("venue", [A, B])
def test_a_request_lost_before_the_venue_is_absent_only_after_its_window(bench: Bench, venue: str) -> None:
    row = bench.open()
    bench.fault(venue, "reject", status=502)  # a proxy's page: may have happened, did not
    bench.drive(row)
    order = OrderIntent.objects.get(leg__execution=row, venue=venue, purpose="open")
    assert order.state == "RESOLVED_ABSENT"
    absent = Attempt.objects.filter(order=order, kind="query", outcome="not_found")
    assert sum((a.at - order.sent_at).total_seconds() > 1 for a in absent if order.sent_at) >= 2
    assert row.state == "FLAT_AFTER_RESCUE"
    assert_books_agree(bench)


@pytest.mark.parametrize("venue", [A, B])
def test_a_late_accept_after_our_time_out(impatient: None, bench: Bench, venue: str) -> None:
    """The venue takes the order when we have given up on it; asking finds it, and there is one."""
    row = bench.open()
    bench.fault(venue, "delay", ms=800)
    bench.drive(row)
    assert "UNKNOWN" in path(row)
    assert_hedged(bench)
    assert sum(order.side.value == ("buy" if venue == A else "sell") for order in bench.orders(venue)) == 1
    assert_books_agree(bench)


def test_lagging_fills_are_waited_for(bench: Bench) -> None:
    """The order is filled, its trades cannot be read yet: it stays open for us until they can."""
    row = bench.open()
    bench.fault(A, "reject", "query", status=502, count=3)
    bench.drive(row)
    assert path(row) == ["ARMED", "WORKING", "BALANCED"]
    assert_hedged(bench, QTY)
    assert_books_agree(bench)


# --- HOLD, time ---


def test_hold_before_anything_was_sent_aborts_clean(bench: Bench) -> None:
    row = bench.open()
    desk.raise_hold(source="test", reason="now")
    bench.drive(row)
    assert path(row) == ["ARMED", "ABORTED_CLEAN"]
    assert states(row) == ["DISCARDED", "DISCARDED"]
    assert not bench.orders(A) + bench.orders(B)
    assert_books_agree(bench)


@pytest.mark.parametrize("failing", [None, A, B])
def test_hold_in_mid_flight_lets_it_end(
    bench: Bench, failing: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HOLD blocks what opens; what is naked is hedged or reversed all the same."""
    from trading.execution import machine

    row, visit = bench.open(), machine._visit

    def hold_then_visit(*args: object, **more: object) -> None:
        desk.raise_hold(source="test", reason="in mid-flight")
        visit(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(machine, "_visit", hold_then_visit)
    if failing:
        bench.reject(failing)
    bench.drive(row)
    assert row.state == ("FLAT_AFTER_RESCUE" if failing else "BALANCED")
    assert_hedged(bench)
    assert_books_agree(bench)


def test_an_intent_older_than_its_quote_is_never_sent(bench: Bench, later: object) -> None:
    row = bench.open()
    later(3.1)  # type: ignore[operator]
    bench.drive(row)
    assert path(row) == ["ARMED", "ABORTED_CLEAN"]
    assert states(row) == ["DISCARDED", "DISCARDED"]
    assert not bench.orders(A) + bench.orders(B)
    assert_books_agree(bench)


# --- policies and styles ---


def test_hard_leg_first_hedges_what_was_filled(bench: Bench) -> None:
    """SOL: okx first; the easy leg is sized by what okx really filled."""
    row = bench.open("SOLUSDT")
    assert OrderIntent.objects.filter(leg__execution=row).count() == 1
    bench.fault(B, "partial", fraction="0.5")
    bench.drive(row)
    assert path(row) == ["ARMED", "WORKING", "BALANCED"]
    assert_hedged(bench, Decimal(3), "SOL")  # half of 6
    assert len(bench.orders(A)) == len(bench.orders(B)) == 1
    assert_books_agree(bench)


def test_hard_leg_first_unfilled_sends_no_hedge(bench: Bench) -> None:
    row = bench.open("SOLUSDT")
    bench.fault(B, "partial", fraction="0")
    bench.drive(row)
    assert row.state == "ABORTED_CLEAN"
    assert not bench.orders(A)
    assert_books_agree(bench)


def test_hard_leg_first_hedge_rejected_reverses_the_hard_leg(bench: Bench) -> None:
    row = bench.open("SOLUSDT")
    bench.reject(A)
    bench.drive(row)
    assert row.state == "FLAT_AFTER_RESCUE"
    assert_flat(bench, "SOL")
    assert_books_agree(bench)


def test_hard_leg_first_after_a_lost_answer_still_hedges(bench: Bench) -> None:
    row = bench.open("SOLUSDT")
    bench.fault(B, "drop_answer_after_accept")
    bench.drive(row)
    assert path(row) == ["ARMED", "WORKING", "UNKNOWN", "WORKING", "BALANCED"]
    assert_hedged(bench, Decimal(6), "SOL")
    assert_books_agree(bench)


def test_post_only_that_would_take(bench: Bench) -> None:
    """OKX accepts and cancels, Binance refuses: neither is a fill, nothing stays open."""
    row = bench.open(post_only=True)
    bench.price(A, "BTC", Decimal(59_000))  # our bid is now above its ask, our ask below okx's bid
    bench.price(B, "BTC", Decimal(61_000))
    bench.drive(row)
    assert states(row) == ["REJECTED_DEFINITE", "CANCELED"]
    assert path(row) == ["ARMED", "WORKING", "ABORTED_CLEAN"]
    assert_books_agree(bench)


def test_post_only_that_rests_is_cancelled_in_time(bench: Bench) -> None:
    row = bench.open(post_only=True)
    bench.drive(row)
    assert states(row) == ["CANCELED", "CANCELED"]
    assert row.state == "ABORTED_CLEAN"
    assert_books_agree(bench)


def test_fok_is_whole_or_nothing(bench: Bench) -> None:
    row = bench.open(tif="FOK")
    bench.price(A, "BTC", Decimal(61_000))  # out of reach of the limit
    bench.drive(row)
    assert row.state == "FLAT_AFTER_RESCUE"
    assert_flat(bench)
    assert_books_agree(bench)


def test_quantities_of_different_lots_meet_on_the_coarser(bench: Bench) -> None:
    configure()
    row = bench.open("ETHUSDT", notional="1999.99")
    bench.fault(B, "partial", fraction="0.37")
    bench.drive(row)
    assert_hedged(bench, base="ETH")
    assert_books_agree(bench)


def test_a_process_that_meets_its_venues_for_the_first_time_sends_in_time(bench: Bench) -> None:
    """Loading a venue's markets takes longer than an order may wait after its claim: it comes first."""
    row = bench.open()
    get_hub().close()  # what a freshly started worker knows: nothing
    for venue in (A, B):
        bench.fault(venue, "delay", kind="public", ms=1_200)
    bench.drive(row)
    assert path(row) == ["ARMED", "WORKING", "BALANCED"]
    assert_hedged(bench, QTY)
