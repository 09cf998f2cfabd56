"""Both legs down together, or neither."""

from decimal import Decimal
from typing import Any

import pytest

from ops.actions.base import Refusal
from tests import factories
from tests.integration.trading.execution.bench import EDGE_BPS, MIDS, A, B, Bench
from tests.integration.trading.execution.books import assert_books_agree, assert_flat, assert_hedged
from trading.domain.market import Side
from trading.execution import intents, machine
from trading.execution.closing import ask_to_close
from trading.models import Execution, OrderIntent, Position
from trading.venues import get_hub

QTY = Decimal("0.033")


def test_close(bench: Bench) -> None:
    row = bench.close(bench.drive(bench.open()))
    assert row.state == "SETTLED"
    assert all(OrderIntent.objects.filter(purpose="close").values_list("reduce_only", flat=True))
    assert_flat(bench)
    assert_books_agree(bench)


def test_close_in_parts(bench: Bench) -> None:
    row = bench.drive(bench.open())
    assert _close(bench, row, qty="0.01").state == "BALANCED"
    assert_hedged(bench, Decimal("0.023"))
    assert _close(bench, row, qty="0.02").state == "BALANCED"
    assert_hedged(bench, Decimal("0.003"))
    assert _close(bench, row, qty="5").state == "SETTLED"
    assert_flat(bench)
    assert_books_agree(bench)


def test_a_part_off_the_lot_leaves_no_naked_rest(bench: Bench) -> None:
    """Lots are 0.001 and 0.0001: what is taken out is a whole number of both."""
    row = bench.drive(bench.open())
    assert _close(bench, row, qty="0.0105").state == "BALANCED"
    assert_hedged(bench, Decimal("0.023"))
    assert_books_agree(bench)


def test_a_part_below_the_lot_is_refused(bench: Bench) -> None:
    row = bench.drive(bench.open())
    with pytest.raises(Refusal) as refused:
        factories.submit("alice", "trading.close", execution_id=str(row.pk), qty="0.0005")
    assert (refused.value.code, refused.value.status) == ("qty.invalid", 422)
    assert "0.001" in refused.value.detail
    row.refresh_from_db()
    assert (row.state, row.closing) == ("BALANCED", False)


@pytest.mark.parametrize("bound", [{"min_exit_bps": "-30"}, {"max_cost": "5"}])
def test_a_close_that_costs_more_than_its_bound_is_refused_with_the_figures(
    bench: Bench, bound: dict[str, Any]
) -> None:
    """Opened at an edge of 40 bps that is still there: leaving costs 40 bps and two fees."""
    row = bench.drive(bench.open())
    with pytest.raises(Refusal) as refused:
        factories.submit("alice", "trading.close", execution_id=str(row.pk), **bound)
    assert (refused.value.code, refused.value.status) == ("close.too_dear", 409)
    assert "brings -49.8" in refused.value.detail
    assert "USDT" in refused.value.detail
    row.refresh_from_db()
    assert (row.state, row.closing) == ("BALANCED", False)
    bench.price(B, "BTC", MIDS["BTC"])  # the edge is gone: only fees and spreads are left
    factories.submit("alice", "trading.close", execution_id=str(row.pk), **bound)
    assert bench.drive(row).state == "SETTLED"
    assert_flat(bench)


def test_a_bounded_close_stops_hedged_when_the_market_runs_away(bench: Bench) -> None:
    row = bench.drive(bench.open())
    bench.price(B, "BTC", MIDS["BTC"])
    factories.submit("alice", "trading.close", execution_id=str(row.pk), min_exit_bps="-30")
    bench.price(B, "BTC", MIDS["BTC"], shift_bps=Decimal(100))
    assert bench.drive(row).state == "BALANCED"
    assert "the bound is -30 bps" in row.transitions.latest("pk").detail
    assert_hedged(bench, QTY)
    assert not row.closing
    assert bench.close(row).state == "SETTLED", "a close without a bound is still possible"


@pytest.mark.parametrize(
    "bound", [{"min_exit_bps": "-30", "max_cost": "5"}, {"max_cost": "-1"}, {"max_cost": "5", "force": True}]
)
def test_a_bound_that_cannot_be_meant(bench: Bench, bound: dict[str, Any]) -> None:
    row = bench.drive(bench.open())
    with pytest.raises(Refusal) as refused:
        factories.submit("alice", "trading.close", execution_id=str(row.pk), **bound)
    assert (refused.value.code, refused.value.status) == ("bound.invalid", 422)


def _close(bench: Bench, row: Execution, *, qty: str) -> Execution:
    factories.submit("alice", "trading.close", execution_id=str(row.pk), qty=qty)
    return bench.drive(row)


def test_partial_fills_are_repeated_until_flat(bench: Bench) -> None:
    row = bench.drive(bench.open())
    bench.fault(A, "partial", fraction="0.5", count=3)
    bench.fault(B, "partial", fraction="0.2", count=2)
    assert bench.close(row).state == "SETTLED"
    assert_flat(bench)
    assert_books_agree(bench)


@pytest.mark.parametrize("down", [A, B])
def test_one_venue_down_keeps_the_hedge(bench: Bench, down: str) -> None:
    """Half a close is a naked position: nothing goes to the venue that answers."""
    row = bench.drive(bench.open())
    before = {venue: len(bench.orders(venue)) for venue in (A, B)}
    bench.fault(down, "venue_down", "any")
    ask_to_close(row.pk)
    for _ in range(4):
        assert machine.drive(row.pk) is not None
    assert {venue: len(bench.orders(venue)) for venue in (A, B)} == before
    assert_hedged(bench, QTY)
    bench.heal()
    assert bench.drive(row).state == "SETTLED"
    assert_flat(bench)
    assert_books_agree(bench)


@pytest.mark.parametrize("venue", [A, B])
def test_a_lost_answer_while_closing(bench: Bench, venue: str) -> None:
    row = bench.drive(bench.open())
    bench.fault(venue, "drop_answer_after_accept")
    assert bench.close(row).state == "SETTLED"
    assert_flat(bench)
    assert_books_agree(bench)


@pytest.mark.parametrize("venue", [A, B])
def test_a_rejected_leg_is_closed_in_the_next_round(bench: Bench, venue: str) -> None:
    row = bench.drive(bench.open())
    bench.reject(venue, count=2)
    assert bench.close(row).state == "SETTLED"
    assert_flat(bench)
    assert_books_agree(bench)


def test_a_second_press_is_the_same_close(bench: Bench) -> None:
    row = bench.drive(bench.open())
    ask_to_close(row.pk)
    ask_to_close(row.pk)
    assert bench.drive(row).state == "SETTLED"
    assert OrderIntent.objects.filter(purpose="close").count() == 2
    assert_books_agree(bench)


def test_what_is_flat_cannot_be_closed(bench: Bench) -> None:
    row = bench.close(bench.drive(bench.open()))
    with pytest.raises(Refusal) as refused:
        factories.submit("alice", "trading.close", execution_id=str(row.pk))
    assert refused.value.code == "execution.not_closable"


def test_in_hold_and_safe_mode(bench: Bench) -> None:
    row = bench.drive(bench.open())
    factories.submit("alice", "ops.hold")
    factories.submit("alice", "ops.safe_mode", enabled=True)
    factories.submit("alice", "trading.close", execution_id=str(row.pk))
    assert bench.drive(row).state == "SETTLED"
    assert_flat(bench)
    assert_books_agree(bench)


# --- two executions on one instrument ---


def test_two_in_one_direction_each_closed(bench: Bench) -> None:
    first, second = bench.drive(bench.open()), bench.drive(bench.open(notional="1000"))
    assert_hedged(bench, Decimal("0.049"))
    assert_books_agree(bench)
    assert bench.close(first).state == "SETTLED"
    assert_hedged(bench, Decimal("0.016"))
    assert_books_agree(bench)
    assert bench.close(second).state == "SETTLED"
    assert_flat(bench)
    assert_books_agree(bench)


def test_two_at_different_prices_have_each_their_own_result(bench: Bench) -> None:
    first = bench.drive(bench.open())
    bench.pin(BTC=Decimal("60123.4"))
    second = bench.drive(bench.open(notional="1100"))
    bench.pin(BTC=Decimal("59871.3"))
    bench.fault(A, "partial", fraction="0.37")
    bench.close(second)
    assert_books_agree(bench)
    bench.close(first, leave=Decimal("0.011"))
    bench.pin(BTC=Decimal("60017.9"))
    bench.close(first)
    assert_flat(bench)
    assert_books_agree(bench)


@pytest.mark.parametrize(
    ("net", "side", "reduces"),
    [("0.033", "sell", True), ("0.032", "sell", False), ("0", "sell", False), ("-0.033", "sell", False)],
)
def test_reduce_only_only_where_the_net_allows_it(bench: Bench, net: str, side: str, reduces: bool) -> None:
    """The flag is for what can only reduce; with less there the venue would refuse the way out."""
    leg = bench.drive(bench.open()).legs.get(index=0)
    Position.objects.filter(venue=A).update(net=Decimal(net))
    assert intents._reduces(leg, Side(side), QTY) is reduces


def test_the_opposite_of_what_is_open_is_refused(bench: Bench) -> None:
    row = bench.drive(bench.open())
    bench.price(B, "BTC", MIDS["BTC"], shift_bps=-EDGE_BPS)
    get_hub()._facts.clear()
    with pytest.raises(Refusal) as refused:
        factories.submit("alice", "trading.execute", symbol="BTCUSDT", long_venue=B)
    assert refused.value.code == "plan.opposite_open"
    assert str(row.pk) in refused.value.detail
    bench.close(row)
