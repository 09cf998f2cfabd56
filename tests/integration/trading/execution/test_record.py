"""What is heard of an order becomes rows: late, twice, in the wrong order, and to the last digit."""

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from risk.models import Reservation
from tests.integration.trading.execution.bench import BTC, A, Bench
from trading import selectors
from trading.domain import pnl
from trading.domain.market import Side
from trading.domain.order_state import OrderState
from trading.execution.fills import Heard, Said, record
from trading.models import Attempt, Execution, Fill, OrderIntent, Position
from trading.venues.interface import FillReport, OrderReport, OrderStatus, VenueError, Verdict

WINDOW = timedelta(seconds=1)
QTY = Decimal("0.033")


@pytest.fixture
def order(bench: Bench) -> OrderIntent:
    """Leg A's opening order, claimed a moment ago."""
    bench.open()
    row = OrderIntent.objects.get(venue=A)
    OrderIntent.objects.filter(pk=row.pk).update(state="SENDING", sent_at=timezone.now())
    row.refresh_from_db()
    return row


def said(kind: str, verdict: Verdict | None = None, *, detail: str = "no", after: float = 0) -> Said:
    error = VenueError(verdict, venue=A, code="-1", detail=detail) if verdict else None
    return Said(Attempt.Kind(kind), datetime.now(UTC) + timedelta(seconds=after), 3, error)


def report(status: OrderStatus | None, filled: str | None = "0") -> OrderReport:
    return OrderReport(
        venue=A,
        symbol=BTC,
        client_order_id="",
        venue_order_id="77",
        side=Side.BUY,
        qty=QTY,
        filled=None if filled is None else Decimal(filled),
        average_price=None,
        status=status,
    )


def fill(
    trade: object, qty: str, price: str = "60000.1", fee: str = "0.5", side: Side = Side.BUY
) -> FillReport:
    return FillReport(
        venue=A,
        symbol=BTC,
        trade_id=str(trade),
        venue_order_id="77",
        client_order_id="",
        side=side,
        qty=Decimal(qty),
        price=Decimal(price),
        fee=Decimal(fee),
        fee_currency="USDT",
        maker=False,
        at=datetime.now(UTC),
    )


def hear(order: OrderIntent, *words: Said, about: OrderReport | None = None, fills: Any = ()) -> str:
    record(order.pk, Heard(words, about, tuple(fills)), acceptance_window=WINDOW)
    order.refresh_from_db()
    return str(order.state)


def test_filled_without_its_fills_is_not_filled_yet(order: OrderIntent) -> None:
    assert hear(order, said("submit"), about=report(OrderStatus.FILLED, "0.033")) == "ACKED"
    halves = [fill(1, "0.02"), fill(2, "0.013")]
    assert (
        hear(order, said("query"), about=report(OrderStatus.FILLED, "0.033"), fills=halves[:1]) == "PARTIAL"
    )
    assert hear(order, said("query"), about=report(OrderStatus.FILLED, "0.033"), fills=halves) == "FILLED"
    assert (order.filled, order.quote_filled, order.fee) == (QTY, QTY * Decimal("60000.1"), Decimal(1))


def test_the_same_news_twice_counts_once(order: OrderIntent) -> None:
    for _ in range(3):
        hear(order, said("query"), about=report(OrderStatus.FILLED, "0.033"), fills=[fill(1, "0.033")])
    assert (order.state, order.filled, Fill.objects.count()) == ("FILLED", QTY, 1)
    assert Position.objects.get().net == QTY
    assert Reservation.objects.get(leg=0).remaining == 0


def test_fills_before_the_report_knows_of_them(order: OrderIntent) -> None:
    assert (
        hear(order, said("query"), about=report(OrderStatus.OPEN, "0"), fills=[fill(1, "0.033")]) == "PARTIAL"
    )
    assert hear(order, said("query"), about=report(OrderStatus.FILLED, "0.033")) == "FILLED"


def test_unknown_that_turns_out_rejected(order: OrderIntent) -> None:
    assert hear(order, said("submit", Verdict.AMBIGUOUS)) == "UNKNOWN"
    assert hear(order, said("query"), about=report(OrderStatus.REJECTED)) == "REJECTED_DEFINITE"


def test_unknown_and_the_refusal_of_the_very_call_comes_late(order: OrderIntent) -> None:
    OrderIntent.objects.filter(pk=order.pk).update(state=OrderState.UNKNOWN)  # by another driver
    assert hear(order, said("submit", Verdict.REJECTED)) == "REJECTED_DEFINITE"


@pytest.mark.parametrize("known", [OrderStatus.OPEN, OrderStatus.FILLED])
def test_a_time_out_that_comes_late_takes_nothing_back(order: OrderIntent, known: OrderStatus) -> None:
    filled = "0.033" if known is OrderStatus.FILLED else "0"
    fills = [fill(1, filled)] if known is OrderStatus.FILLED else []
    state = hear(order, said("query"), about=report(known, filled), fills=fills)
    assert hear(order, said("submit", Verdict.AMBIGUOUS)) == state


def test_canceled_with_and_without_fills(order: OrderIntent) -> None:
    assert hear(order, said("query"), about=report(OrderStatus.CANCELED, "0.02")) == "ACKED"
    state = hear(order, said("query"), about=report(OrderStatus.CANCELED, "0.02"), fills=[fill(1, "0.02")])
    assert (state, order.filled) == ("CANCELED", Decimal("0.02"))


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ([(Verdict.NOT_FOUND, 0.5), (Verdict.NOT_FOUND, 0.9)], "UNKNOWN"),  # it may still be accepted
        ([(Verdict.NOT_FOUND, 0.9), (Verdict.NOT_FOUND, 1.1)], "UNKNOWN"),  # one answer that counts
        ([(Verdict.NOT_FOUND, 1.1), (Verdict.AMBIGUOUS, 1.2)], "UNKNOWN"),  # an error is no answer
        ([(Verdict.AMBIGUOUS, 1.1)] * 9, "UNKNOWN"),
        ([(Verdict.NOT_FOUND, 1.1), (Verdict.AMBIGUOUS, 1.2), (Verdict.NOT_FOUND, 1.3)], "RESOLVED_ABSENT"),
    ],
)
def test_absence_is_two_answers_after_the_window(
    order: OrderIntent, words: Iterable[tuple[Verdict, float]], state: str
) -> None:
    assert hear(order, said("submit", Verdict.AMBIGUOUS)) == "UNKNOWN"
    for verdict, after in words:
        hear(order, said("query", verdict, after=after))
    assert order.state == state


def test_a_definite_answer_to_a_cancel_says_nothing_of_the_order(order: OrderIntent) -> None:
    hear(order, said("submit", Verdict.AMBIGUOUS))
    assert (
        hear(order, said("cancel", Verdict.NOT_FOUND, after=2), said("query", Verdict.AMBIGUOUS)) == "UNKNOWN"
    )


def test_what_a_proxy_sends_can_be_written_down(order: OrderIntent) -> None:
    assert hear(order, said("submit", Verdict.AMBIGUOUS, detail="\x00 502 \x00" * 300)) == "UNKNOWN"
    assert "\x00" not in order.refusal
    assert Attempt.objects.get().detail.count("502") > 1


def test_hundreds_of_odd_fills_stay_exact_in_the_database(order: OrderIntent) -> None:
    """Prices and quantities with eight decimals, taken down in parts that divide nothing: at every step
    realised − cost is the cash that moved, and nothing is left when it is flat."""
    draw, cash, fees, net = random.Random(7), Decimal(0), Decimal(0), Decimal(0)
    OrderIntent.objects.filter(pk=order.pk).update(state="ACKED")
    for number in range(120):
        closing = bool(net) and (number % 3 == 2 or number == 119)
        side = Side.SELL if closing else Side.BUY
        qty = net if number == 119 else Decimal(draw.randrange(1, 30_000)).scaleb(-8)
        price, fee = (
            Decimal(draw.randrange(10**12, 9 * 10**12)).scaleb(-8),
            Decimal(draw.randrange(10**9)).scaleb(-10),
        )
        qty = min(qty, net) if closing else qty
        _apply(fill(number, str(qty), str(price), str(fee), side))
        cash, fees, net = cash - side.sign * qty * price, fees + fee, net + side.sign * qty
        row = Position.objects.get()
        assert (row.net, row.realised - row.cost, row.fees) == (net, cash, fees)
    assert (row.net, row.cost, row.realised) == (Decimal(0), Decimal(0), cash)


def _apply(each: FillReport) -> None:
    from trading.execution.fills import apply_to_position

    apply_to_position(each.venue, each.symbol, each.side, each.qty, each.price, each.fee)


def test_pnl_of_an_unfinished_execution_needs_the_marks_it_lacks(order: OrderIntent) -> None:
    hear(order, said("query"), about=report(OrderStatus.FILLED, "0.033"), fills=[fill(1, "0.033")])
    row = Execution.objects.get()
    unknown = selectors.execution_pnl(row, marks={})
    assert (unknown["unrealised"], unknown["net"], unknown["fees"]) == (None, None, Decimal("0.5"))
    known = selectors.execution_pnl(row, marks={(A, BTC): Decimal("60100.1")})
    assert known["net"] == Decimal("3.3") - Decimal("0.5")
    assert pnl.FLAT.unrealised(Decimal(1)) == 0
