"""Out of the excess of one leg, whatever happens on the way: never doubled, never left naked unseen."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from ops.models import DeskState, HoldCause, Incident
from tests.integration.trading.execution.bench import A, B, Bench, configure, send
from tests.integration.trading.execution.books import (
    assert_books_agree,
    assert_flat,
    assert_hedged,
    path,
    states,
)
from trading.execution import machine
from trading.models import OrderIntent

QTY = Decimal("0.033")


def reversals(bench: Bench, venue: str) -> list[Decimal]:
    """Quantities of the orders on `venue` against its opening side."""
    side = "sell" if venue == A else "buy"
    return [order.qty for order in bench.orders(venue) if order.side.value == side]


def test_the_cheaper_way_is_to_complete(bench: Bench) -> None:
    """The edge is still there: what was refused once is asked for again, within the budget."""
    row = bench.open(by_cost=True)
    bench.reject(B)
    bench.drive(row)
    assert path(row) == ["ARMED", "WORKING", "IMBALANCED", "RESCUE_PROCEED", "BALANCED"]
    assert states(row, "proceed") == ["FILLED"]
    why = row.transitions.get(after="RESCUE_PROCEED").detail
    assert why.startswith("completing 0.033: completing would lose -")
    assert_hedged(bench, QTY)
    assert_books_agree(bench)


def test_completing_never_costs_more_than_its_budget(bench: Bench) -> None:
    """The price of the missing leg is gone by the time the answer is here: out of the filled one."""
    row = bench.open(by_cost=True)
    bench.reject(B)
    bench.price(B, "BTC", Decimal(59_500))
    bench.drive(row)
    assert path(row) == ["ARMED", "WORKING", "IMBALANCED", "RESCUE_REVERSE", "FLAT_AFTER_RESCUE"]
    assert reversals(bench, A) == [QTY]
    assert_books_agree(bench)


def test_a_price_that_runs_away_between_look_and_order_is_not_followed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit of a completing order is the price at which the budget is used up."""
    row, visit, seen = bench.open(by_cost=True), machine._visit, []
    bench.reject(B)

    def fall(*args: object, **more: object) -> None:
        seen.append(args)
        if len(seen) == 2:  # the completing order is about to be sent
            bench.price(B, "BTC", Decimal(58_800))
        visit(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(machine, "_visit", fall)
    assert bench.drive(row).state == "FLAT_AFTER_RESCUE"
    assert states(row, "proceed") == ["CANCELED"]
    assert [order.filled for order in bench.orders(B)] == [0]
    assert_books_agree(bench)


def test_a_missing_leg_whose_venue_is_gone_is_not_waited_for(bench: Bench) -> None:
    row = bench.open(by_cost=True)
    bench.reject(B)
    machine.step(row.pk, {})
    _send_then_down(bench, row.pk, B)
    assert bench.drive(row).state == "FLAT_AFTER_RESCUE"
    assert "completing has no price" in row.transitions.get(after="RESCUE_REVERSE").detail
    bench.heal()
    assert_flat(bench)
    assert_books_agree(bench)


def test_in_quarantine_the_position_of_the_venue_says_what_to_hedge(
    bench: Bench, later: Callable[[float], None]
) -> None:
    """Orders cannot be asked for, positions can: B never took its order, so A is reversed meanwhile."""
    row = bench.open()
    bench.fault(B, "reject", "place", status=503, message="busy", count=1)
    for kind in ("query", "cancel"):
        bench.fault(B, "reject", kind, status=502, count=None)
    assert machine.drive(row.pk) is not None
    later(31)
    for _ in range(4):
        assert machine.drive(row.pk) is not None
    row.refresh_from_db()
    assert row.state == "QUARANTINED"
    order = OrderIntent.objects.get(leg__execution=row, venue=B)
    assert (order.state, order.observed) == ("UNKNOWN", Decimal(0))
    assert bench.net(A) == 0
    assert reversals(bench, A) == [QTY]
    bench.heal()
    later(10)
    assert bench.drive(row).state == "FLAT_AFTER_RESCUE"
    assert_flat(bench)
    assert_books_agree(bench)


def test_people_are_called_when_it_stays_naked(bench: Bench, later: Callable[[float], None]) -> None:
    row = bench.open()
    bench.fault(B, "reject", "place", status=503, message="busy", count=1)
    for kind in ("query", "cancel"):
        bench.fault(B, "reject", kind, status=502, count=None)
    assert machine.drive(row.pk) is not None
    assert not Incident.objects.filter(code="execution.naked").exists()
    later(11)
    for _ in range(2):
        assert machine.drive(row.pk) is not None
    assert Incident.objects.get(code="execution.naked").source == f"execution.naked:{row.pk}"
    bench.heal()
    bench.drive(row)
    row.refresh_from_db()
    assert row.naked_since is None
    assert row.naked_ms > 11_000
    assert_books_agree(bench)


def test_venue_down_during_rescue_keeps_trying(bench: Bench) -> None:
    """The reversal cannot be priced: nothing is sent and nothing given up, however often it is looked at."""
    row = bench.open()
    bench.reject(B)
    machine.step(row.pk, {})
    _send_then_down(bench, row.pk, A)
    for _ in range(5):
        assert machine.drive(row.pk) is not None
    row.refresh_from_db()
    assert (row.state, bench.net(A)) == ("RESCUE_REVERSE", QTY)
    bench.heal()
    assert bench.drive(row).state == "FLAT_AFTER_RESCUE"
    assert reversals(bench, A) == [QTY]
    assert_flat(bench)
    assert_books_agree(bench)


def _send_then_down(bench: Bench, execution: object, venue: str) -> None:
    """What was claimed is sent; then `venue` is gone."""
    ids = tuple(OrderIntent.objects.filter(state="SENDING").values_list("pk", flat=True))
    assert len(ids) == 2
    send(ids)
    bench.fault(venue, "venue_down", "any")


@pytest.mark.parametrize("venue", [A, B])
def test_venue_down_while_sending_and_back_later(bench: Bench, venue: str) -> None:
    row = bench.open()
    bench.fault(venue, "venue_down", "any")
    for _ in range(3):
        assert machine.drive(row.pk) is not None
    row.refresh_from_db()
    assert row.state == "UNKNOWN"
    bench.heal()
    assert bench.drive(row).state == "FLAT_AFTER_RESCUE"
    assert not bench.orders(venue)
    assert_flat(bench)
    assert_books_agree(bench)


def test_an_unknown_order_is_quarantined_in_time(bench: Bench, later: Callable[[float], None]) -> None:
    """People are called; when the venue comes back the machine goes on by itself."""
    row = bench.open()
    bench.fault(B, "venue_down", "any")
    assert machine.drive(row.pk) is not None
    later(31)
    assert machine.drive(row.pk) is not None
    row.refresh_from_db()
    assert row.state == "QUARANTINED"
    assert DeskState.objects.get().mode == "HOLD"
    assert HoldCause.objects.filter(source=f"execution.quarantined:{row.pk}").exists()
    bench.heal()
    later(10)
    assert bench.drive(row).state == "FLAT_AFTER_RESCUE"
    assert_flat(bench)
    assert_books_agree(bench)


def test_an_acknowledged_order_that_cannot_be_read_is_quarantined_too(
    bench: Bench, later: Callable[[float], None]
) -> None:
    """OKX acknowledges with ids only; then it is gone. A worker must not wait in it for ever."""
    row = bench.open()
    bench.fault(B, "reject", "query", status=502, count=None)
    bench.fault(B, "reject", "cancel", status=502, count=None)
    assert machine.drive(row.pk) is not None
    assert OrderIntent.objects.get(leg__execution=row, venue=B).state == "ACKED"
    later(31)
    assert machine.drive(row.pk) is not None
    row.refresh_from_db()
    assert row.state == "QUARANTINED"
    bench.heal()
    later(10)
    assert bench.drive(row).state == "BALANCED"
    assert_books_agree(bench)


def test_a_lost_answer_of_a_reversal(bench: Bench) -> None:
    row = bench.open()
    bench.reject(B)
    bench.fault(A, "drop_answer_after_accept", side="sell")
    assert bench.drive(row).state == "FLAT_AFTER_RESCUE"
    assert reversals(bench, A) == [QTY]
    assert_flat(bench)
    assert_books_agree(bench)


def test_a_reversal_in_pieces(bench: Bench) -> None:
    row = bench.open()
    bench.reject(B)
    bench.fault(A, "partial", side="sell", fraction="0.5", count=3)
    assert bench.drive(row).state == "FLAT_AFTER_RESCUE"
    assert len(reversals(bench, A)) == 4
    assert_flat(bench)
    assert_books_agree(bench)


def test_each_round_is_priced_anew(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The market runs away by 2 % between two rounds: the second follows it instead of missing it."""
    row, visit, seen = bench.open(), machine._visit, []
    bench.reject(B)

    def fall(*args: object, **more: object) -> None:
        seen.append(args)
        if len(seen) == 2:  # the first reversal is about to be sent
            bench.price(A, "BTC", Decimal(58_800))
        visit(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(machine, "_visit", fall)
    assert bench.drive(row).state == "FLAT_AFTER_RESCUE"
    first, second = OrderIntent.objects.filter(leg__execution=row, purpose="reverse").order_by("attempt")
    assert (first.state, second.state) == ("CANCELED", "FILLED")
    assert first.price > Decimal(59_900)
    assert second.price < Decimal(58_800)
    assert_books_agree(bench)


def test_refusals_without_end_are_quarantined_not_looped(bench: Bench) -> None:
    configure(max_rounds=3)
    row = bench.open()
    bench.reject(B)
    bench.fault(A, "reject", side="sell", code="-2019", count=None)
    bench.drive(row)
    assert row.state == "QUARANTINED"
    assert bench.net(A) == QTY
    assert OrderIntent.objects.filter(leg__execution=row, purpose="reverse").count() == 3
    bench.heal()
    assert bench.close(row).state == "SETTLED"
    assert_flat(bench)
    assert_books_agree(bench)
