"""What rests does so behind the venue's own switch; what takes needs none; without one nothing rests."""

from collections.abc import Callable

import pytest

from ops.actions.base import Refusal
from ops.models import HoldCause
from tests.integration.trading.execution.bench import A, B, Bench, send
from tests.integration.trading.execution.books import assert_books_agree, assert_flat, states
from trading.execution import machine
from trading.execution.dead_man import Keeper
from trading.models import Execution, OrderIntent

Later = Callable[[float], None]


def rest(bench: Bench) -> Execution:
    """Both legs at their venues, and nobody driving."""
    row = bench.open(post_only=True)
    machine.step(row.pk, {})
    send(OrderIntent.objects.values_list("pk", flat=True))
    return row


def armed(bench: Bench) -> list[set[str]]:
    return [set(bench.paper[venue].engine.dead_man) for venue in (A, B)]


def test_a_resting_order_leaves_behind_an_armed_switch(bench: Bench) -> None:
    rest(bench)
    assert armed(bench) == [{"BTC"}, {""}]  # per instrument on Binance, the account's on OKX


def test_an_order_that_takes_needs_none(bench: Bench) -> None:
    bench.drive(bench.open())
    assert armed(bench) == [set(), set()]


@pytest.mark.parametrize("venue", [A, B])
def test_without_its_switch_nothing_rests(bench: Bench, venue: str) -> None:
    row = bench.open(post_only=True)
    bench.fault(venue, "reject", "cancel", status=503, message="busy", count=1)
    bench.drive(row)
    assert "REJECTED_DEFINITE" in states(row)
    assert not bench.orders(venue)
    assert_flat(bench)
    assert_books_agree(bench)


def test_a_venue_that_has_none_gets_no_resting_order(pair_bench: Bench) -> None:
    if "bybit" not in pair_bench.both:
        assert pair_bench.open(post_only=True).state == "ARMED"
        return
    with pytest.raises(Refusal, match=r"dead_man\.bybit: the venue has none"):
        pair_bench.open(post_only=True)


def test_nobody_tells_the_venues_and_they_cancel(bench: Bench, later: Later) -> None:
    row = rest(bench)
    later(31)
    for venue in (A, B):
        bench.paper[venue].engine.advance(bench.paper.clock.now_ms())
        assert not bench.paper[venue].engine.live
    assert bench.drive(row).state == "ABORTED_CLEAN"
    assert_books_agree(bench)


def test_it_is_told_again_while_something_rests_and_off_afterwards(bench: Bench, later: Later) -> None:
    row, keeper = rest(bench), Keeper()
    first = bench.paper[A].engine.dead_man["BTC"]
    later(5)
    keeper.keep()
    assert bench.paper[A].engine.dead_man["BTC"] >= first + 5_000
    told = dict(keeper.told)
    keeper.keep()
    assert keeper.told == told  # not with each look
    bench.drive(row)
    keeper.keep()
    assert armed(bench) == [set(), set()]
    assert keeper.told == {}


def test_a_venue_that_cannot_be_told_is_held(bench: Bench) -> None:
    rest(bench)
    bench.fault(A, "reject", "cancel", status=503, message="busy", count=1)
    keeper = Keeper()
    keeper.keep()
    cause = HoldCause.objects.get(source=f"dead_man.lost:{A}")
    assert (cause.state, cause.scope) == ("open", ("venue", A))
    keeper.keep()
    cause.refresh_from_db()
    assert cause.state == "resolved"
