"""What the venues tell by themselves becomes rows: once, in whatever order, and without any answer."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tests.integration.trading.execution.bench import A, B, Bench
from tests.integration.trading.execution.books import assert_books_agree, assert_hedged
from tests.integration.trading.execution.test_opening import QTY
from trading.execution import machine
from trading.execution.listening import Listener, hear
from trading.models import Execution, Fill, OrderIntent, ReconciliationState, StreamState
from trading.paper.orders import Forced
from trading.reconciliation import service
from trading.venues import get_hub
from trading.venues.interface import FillReport, OrderReport, OrderStatus
from trading.venues.streams import News


def told(venue: str, order: OrderIntent) -> tuple[OrderReport, tuple[FillReport, ...]]:
    """As the venue has it: its own rows, read past the faults."""
    hub = get_hub()
    report = hub.call(hub.venue(venue).order(order.symbol, order.client_order_id))
    return report, hub.call(hub.venue(venue).fills(order.symbol, venue_order_id=report.venue_order_id))


@pytest.fixture
def in_doubt(bench: Bench) -> OrderIntent:
    """B has filled its order and answers nothing about it."""
    row = bench.open()
    bench.fault(B, "drop_answer_after_accept")
    bench.fault(B, "html", kind="query", count=None)
    assert machine.drive(row.pk) is not None
    bench.heal()
    order = OrderIntent.objects.get(leg__execution=row, venue=B)
    assert order.state == "UNKNOWN"
    return order


@pytest.mark.parametrize("first", ["fill", "report"])
def test_news_in_either_order_and_twice(bench: Bench, in_doubt: OrderIntent, first: str) -> None:
    report, fills = told(B, in_doubt)
    news: list[News] = [*fills, report] if first == "fill" else [report, *fills]
    for each in [*news, *news]:
        hear(each)
    in_doubt.refresh_from_db()
    assert (in_doubt.state, in_doubt.filled) == ("FILLED", QTY)
    assert Fill.objects.filter(order=in_doubt).count() == len(fills)
    assert bench.drive(in_doubt.leg.execution).state == "BALANCED"
    assert_hedged(bench, QTY)
    assert_books_agree(bench)


def test_an_old_word_does_not_turn_an_order_back(bench: Bench, in_doubt: OrderIntent) -> None:
    report, fills = told(B, in_doubt)
    news: list[News] = [report, *fills, report]
    for each in news:
        hear(each)
    hear(replace(report, status=OrderStatus.OPEN, filled=QTY - QTY))
    in_doubt.refresh_from_db()
    assert in_doubt.state == "FILLED"


def test_a_trade_of_no_order_of_ours_is_compared_at_once(bench: Bench, in_doubt: OrderIntent) -> None:
    service.run([B])
    row = ReconciliationState.objects.get(venue=B)
    assert row.tried_at is not None
    assert B not in service.due(row.tried_at)
    _, fills = told(B, in_doubt)
    stranger = replace(fills[0], client_order_id="", venue_order_id="999", trade_id="999")
    assert hear(stranger) is None
    assert B in service.due(row.tried_at)
    assert not Fill.objects.filter(trade_id="999").exists(), "reconciliation decides what it is"


# --- the whole way, over sockets -----------------------------------------------------


def until(what: str, true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(0.02)


@pytest.fixture
def listener(busy_bench: Bench) -> Iterator[Listener]:
    here = Listener().start()
    until("connections", lambda: StreamState.objects.filter(connected=True).count() == 3)
    yield here
    here.stop()


def test_an_order_that_no_query_finds_is_known_by_the_stream(listener: Listener, busy_bench: Bench) -> None:
    """The venue's query service is down; its stream is not."""
    row = busy_bench.open()
    for venue in (A, B):
        busy_bench.fault(venue, "drop_answer_after_accept")
        busy_bench.fault(venue, "html", kind="query", count=None)
        busy_bench.fault(venue, "html", kind="cancel", count=None)
    assert busy_bench.drive(row).state == "BALANCED"
    busy_bench.heal()
    assert_hedged(busy_bench, QTY)
    assert_books_agree(busy_bench)


def test_a_liquidated_leg_is_looked_at_at_once(listener: Listener, busy_bench: Bench) -> None:
    row = busy_bench.drive(busy_bench.open())
    ReconciliationState.objects.create(venue=A, claimed_until=row.created_at, tried_at=row.updated_at)
    busy_bench.paper[A].engine.force_close("BTC", QTY, Forced.LIQUIDATION)
    until("a comparison to be due", lambda: A in service.due(row.updated_at))
    assert Execution.objects.get(pk=row.pk).state == "BALANCED", "the stream decides nothing by itself"


def test_the_state_of_a_stream_is_told(listener: Listener, busy_bench: Bench) -> None:
    busy_bench.fault(B, "venue_down", "any")
    busy_bench.paper[B].streams.end_all(1006)
    until("an end", lambda: not StreamState.objects.get(venue=B).connected)
    assert StreamState.objects.get(venue=A).connected
    busy_bench.heal()
    until("another connection", lambda: StreamState.objects.get(venue=B).connected)
