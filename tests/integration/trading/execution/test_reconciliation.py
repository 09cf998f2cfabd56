"""Our books against the venues, four ways: every kind of break appears, ages, heals by itself or does not."""

import time
from collections.abc import Callable
from decimal import Decimal

import pytest
from django.utils import timezone

from ops.actions.base import Refusal
from ops.models import HoldCause, Incident
from tests import factories
from tests.integration.trading.execution.bench import BTC, A, B, Bench, configure, send
from tests.integration.trading.execution.books import assert_flat
from trading.execution import machine
from trading.models import Fill, OrderIntent, Position, ReconciliationBreak, ReconciliationState
from trading.paper.orders import Forced, NewOrder, Side, TimeInForce
from trading.reconciliation import service

Later = Callable[[float], None]
QTY = Decimal("0.033")
ZERO = Decimal(0)


def kinds() -> list[tuple[str, str]]:
    rows = ReconciliationBreak.objects.filter(closed_at=None).order_by("venue", "kind")
    return [(row.venue, row.kind) for row in rows if row.kind != "money"]


def by_hand(
    bench: Bench, venue: str, side: Side, qty: str, *, code: str = "somebody1", rest: bool = False
) -> None:
    """An order on our account that the desk knows nothing of."""
    engine = bench.paper[venue].engine
    mark = engine.mark("BTC")
    away = Decimal("0.985") if side is Side.BUY else Decimal("1.015")
    price = (mark * (away if rest else 2 - away)).quantize(Decimal(1))
    tif = TimeInForce.GTC if rest else TimeInForce.IOC
    engine.place(NewOrder("BTC", side, Decimal(qty), price, tif, False, code))


def compare(bench: Bench) -> list[tuple[str, str]]:
    """Faster than a desk does: a venue may say that it is too fast."""
    while "50011" in str(errors := service.run(bench.both)):
        time.sleep(0.5)
    assert errors == {}
    return kinds()


def test_all_agrees_through_an_execution_s_life(bench: Bench) -> None:
    assert compare(bench) == []
    row = bench.drive(bench.open())
    assert compare(bench) == []
    bench.close(row)
    assert compare(bench) == []
    assert not ReconciliationBreak.objects.exists()


def test_a_venue_that_cannot_be_read_is_unknown(bench: Bench) -> None:
    bench.fault(A, "venue_down", "any")
    by_hand(bench, B, Side.BUY, "0.02")
    assert A in service.run([A, B])
    service.run([B])
    state = ReconciliationState.objects.get(venue=A)
    assert (state.done_at, bool(state.error)) == (None, True)
    assert {venue for venue, _ in kinds()} == {B}


def test_what_somebody_else_did_is_reported_and_not_touched(bench: Bench) -> None:
    bench.drive(bench.open())
    by_hand(bench, A, Side.BUY, "0.01")
    by_hand(bench, B, Side.SELL, "0.02", code="resting1", rest=True)
    assert compare(bench) == [(A, "fill_foreign"), (B, "order_foreign")]
    assert compare(bench) == [(A, "fill_foreign"), (B, "order_foreign")]
    assert [o.live for o in bench.orders(B) if o.client_order_id == "resting1"] == [True]
    assert bench.net(A) == QTY + Decimal("0.01")
    assert Position.objects.get(venue=A, symbol=BTC).net == QTY


def test_a_position_without_a_fill(bench: Bench) -> None:
    """Our books say otherwise than the venue, and no trade explains it."""
    bench.drive(bench.open())
    compare(bench)
    Position.objects.filter(venue=A, symbol=BTC).update(net=QTY + 1)
    assert compare(bench) == [(A, "attribution"), (A, "position")]
    assert ReconciliationBreak.objects.get(kind="position").amount == -1
    Position.objects.filter(venue=A, symbol=BTC).update(net=QTY)
    assert compare(bench) == []
    assert ReconciliationBreak.objects.exclude(closed_at=None).count() == 2


def test_an_orphan_with_our_prefix_is_cancelled(bench: Bench) -> None:
    by_hand(bench, A, Side.BUY, "0.02", code="cborphan1", rest=True)
    assert compare(bench) == [(A, "order_orphan")]
    assert not bench.paper[A].engine.live
    assert compare(bench) == []


def test_an_order_that_lives_though_our_row_is_over(bench: Bench, later: Later) -> None:
    row = bench.open(post_only=True)
    machine.step(row.pk, {})
    send(OrderIntent.objects.values_list("pk", flat=True))
    assert {o.state: o.refusal for o in OrderIntent.objects.all()} == {"ACKED": ""}
    OrderIntent.objects.update(state="CANCELED", done_at=timezone.now())
    assert bench.paper[A].engine.live
    assert bench.paper[B].engine.live
    later(1)
    assert compare(bench) == [(A, "order_zombie"), (B, "order_zombie")]
    assert not bench.paper[A].engine.live
    assert compare(bench) == []


@pytest.mark.parametrize("venue", [A, B])
def test_a_fill_of_an_order_that_was_called_absent(bench: Bench, venue: str, later: Later) -> None:
    """The venue took it late after all: booked as what it is, and its execution hedges it out."""
    row = bench.open()
    order = OrderIntent.objects.get(leg__execution=row, venue=venue)
    bench.fault(venue, "reject", status=503, message="busy")
    bench.drive(row)
    order.refresh_from_db()
    assert (row.state, order.state) == ("FLAT_AFTER_RESCUE", "RESOLVED_ABSENT")
    side = Side.BUY if order.side == "buy" else Side.SELL
    by_hand(bench, venue, side, "0.033", code=order.client_order_id)
    assert compare(bench) == []
    assert Fill.objects.filter(order=order).exists()
    assert bench.net(venue) != 0


def test_a_leg_that_the_venue_closed(bench: Bench) -> None:
    """Found by its fill, hedged out by the machine; nothing is left to explain."""
    row = bench.drive(bench.open())
    bench.paper[A].engine.force_close("BTC", QTY, Forced.LIQUIDATION)
    assert compare(bench) == []
    assert bench.drive(row).state == "FLAT_AFTER_RESCUE"
    assert_flat(bench)
    assert compare(bench) == []
    assert Incident.objects.filter(code="execution.forced").count() == 1


def test_breaks_age_into_an_alarm_and_then_a_hold(bench: Bench, later: Later) -> None:
    by_hand(bench, A, Side.BUY, "0.02")
    assert compare(bench)
    assert not Incident.objects.filter(code="reconciliation.break").exists()
    later(11)
    compare(bench)
    found = Incident.objects.filter(code="reconciliation.break")
    assert found.exists()
    assert not HoldCause.objects.filter(source__startswith="reconciliation").exists()
    later(60)
    compare(bench)
    cause = HoldCause.objects.filter(source__startswith="reconciliation").first()
    assert cause is not None
    assert cause.scope == ("venue", A)
    told = found.count()
    compare(bench)
    assert found.count() == told


def test_two_do_not_compare_at_once(bench: Bench) -> None:
    assert service._claim(A)
    assert not service._claim(A)
    assert service.compare(A) == ""
    assert ReconciliationState.objects.get(venue=A).done_at is None


def test_money_that_nobody_recorded(bench: Bench) -> None:
    compare(bench)
    engine = bench.paper[A].engine
    engine.account.wallet -= 5
    configure(money_interval_sec=1)
    ReconciliationState.objects.update(money_at=None)
    compare(bench)
    assert ReconciliationBreak.objects.filter(venue=A, kind="money", closed_at=None).exists()


def test_two_people_accept_a_break_at_its_amount(bench: Bench, later: Later) -> None:
    bench.drive(bench.open())
    compare(bench)
    by_hand(bench, A, Side.BUY, "0.02")
    compare(bench)
    row = ReconciliationBreak.objects.get(kind="fill_foreign")
    with pytest.raises(Refusal, match="not 1"):
        factories.submit("alice", "trading.accept_break", break_id=str(row.pk), amount="1")
    request = factories.ask("alice", "trading.accept_break", break_id=str(row.pk), amount="0.02")
    assert service.waiting().filter(pk=row.pk).exists()
    factories.vote("bob", request)
    assert not service.waiting().filter(pk=row.pk).exists()
    assert (A, "fill_foreign") in compare(bench)
    assert not service.waiting().filter(pk=row.pk).exists()


def test_money_that_was_accepted_is_an_adjustment_in_the_books(bench: Bench) -> None:
    compare(bench)
    bench.paper[A].engine._book_bill("trade", "BTC", Decimal(-5), at_ms=1, qty=ZERO, price=Decimal(1))
    ReconciliationState.objects.update(money_at=None)
    compare(bench)
    for row in service.waiting().filter(kind="money"):
        fields = {"break_id": str(row.pk), "amount": str(row.amount)}
        factories.vote("bob", factories.ask("alice", "trading.accept_break", **fields))
    assert not service.waiting().exists()


def test_the_hold_of_a_break_that_is_gone_is_resolved(bench: Bench, later: Later) -> None:
    bench.drive(bench.open())
    compare(bench)
    Position.objects.filter(venue=A, symbol=BTC).update(net=QTY + 1)
    compare(bench)
    later(61)
    compare(bench)
    causes = HoldCause.objects.filter(source__startswith="reconciliation")
    assert {cause.state for cause in causes} == {"open"}
    Position.objects.filter(venue=A, symbol=BTC).update(net=QTY)
    compare(bench)
    assert {cause.state for cause in causes.all()} == {"resolved"}


def test_money_is_not_judged_while_orders_are_in_flight(bench: Bench) -> None:
    """Statement, balance and books then belong to different moments."""
    compare(bench)
    engine = bench.paper[A].engine
    engine._book_bill("trade", "BTC", Decimal(-5), at_ms=1, qty=ZERO, price=Decimal(1))
    row = bench.open()
    machine.step(row.pk, {})
    ReconciliationState.objects.update(money_at=None)
    compare(bench)
    assert not service.waiting().filter(kind="money").exists()
    assert ReconciliationState.objects.get(venue=A).money_at is None
    bench.heal()


def test_money_that_differed_for_a_moment_does_not_grow_old(bench: Bench, later: Later) -> None:
    """Judged again with the next look, not after its long interval: it is gone before it holds anything."""
    compare(bench)
    engine = bench.paper[A].engine
    engine.account.wallet -= 5
    ReconciliationState.objects.update(money_at=None)
    compare(bench)
    assert service.waiting().filter(kind="money").exists()
    engine.account.wallet += 5
    compare(bench)
    assert not service.waiting().exists()
