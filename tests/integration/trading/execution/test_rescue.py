"""Out of the excess of one leg, whatever happens on the way: never doubled, never left naked unseen."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from ops.models import DeskState, HoldCause
from tests.integration.trading.execution.bench import A, B, Bench, configure
from tests.integration.trading.execution.books import assert_books_agree, assert_flat
from trading.execution import machine
from trading.models import OrderIntent

QTY = Decimal("0.033")


def reversals(bench: Bench, venue: str) -> list[Decimal]:
    """Quantities of the orders on `venue` against its opening side."""
    side = "sell" if venue == A else "buy"
    return [order.qty for order in bench.orders(venue) if order.side.value == side]


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
    machine._visit(execution, ids, cancel=None)  # type: ignore[arg-type]
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
