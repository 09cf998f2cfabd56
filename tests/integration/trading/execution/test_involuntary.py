"""A venue closes a leg by itself: the other one is taken out, people are called, and the books stay right."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import transaction

from ops.models import Incident
from tests.integration.trading.execution.bench import BTC, A, B, Bench
from tests.integration.trading.execution.books import path, states
from trading.domain.market import Side
from trading.execution import involuntary
from trading.execution.closing import ask_to_close
from trading.models import Fill, OrderIntent, Position
from trading.venues.interface import FillReport

QTY, FLAT = Decimal("0.033"), Decimal(0)


def forced(venue: str, qty: str, *, fee: str = "1", trade_id: str = "900001") -> FillReport:
    """A liquidation of the long leg on A or the short one on B."""
    return FillReport(
        venue=venue,
        symbol=BTC,
        trade_id=trade_id,
        venue_order_id="800001",
        client_order_id="autoclose-1",
        side=Side.SELL if venue == A else Side.BUY,
        qty=Decimal(qty),
        price=Decimal(57_000),
        fee=Decimal(fee),
        fee_currency="USDT",
        maker=False,
        at=datetime.now(UTC),
    )


def net(venue: str) -> Decimal:
    return Position.objects.get(venue=venue, symbol=BTC).net


@pytest.mark.parametrize("venue", [A, B])
def test_a_leg_liquidated(bench: Bench, venue: str) -> None:
    row = bench.drive(bench.open(by_cost=True))
    assert involuntary.record(forced(venue, "0.033")) == 0
    assert bench.drive(row).state == "FLAT_AFTER_RESCUE"
    assert path(row)[-3:] == ["IMBALANCED", "RESCUE_REVERSE", "FLAT_AFTER_RESCUE"]
    assert (net(A), net(B)) == (FLAT, FLAT)
    assert states(row, "forced") == ["FILLED"]
    assert Incident.objects.get(code="execution.forced").severity == "P0"


def test_a_leg_taken_in_part_leaves_the_rest_hedged(bench: Bench) -> None:
    row = bench.drive(bench.open())
    assert involuntary.record(forced(A, "0.013")) == 0
    assert bench.drive(row).state == "BALANCED"
    assert net(A) == -net(B) == Decimal("0.020")


def test_told_twice_it_is_booked_once(bench: Bench) -> None:
    row = bench.drive(bench.open())
    fill = forced(A, "0.033")
    assert (involuntary.record(fill), involuntary.record(fill)) == (FLAT, FLAT)
    bench.drive(row)
    assert Fill.objects.filter(order__purpose="forced").count() == 1
    assert net(A) == 0


def test_of_several_executions_the_oldest_loses_first_and_no_fee_is_lost(bench: Bench) -> None:
    rows = [bench.drive(bench.open(notional=notional)) for notional in ("600", "900", "1200")]
    held = [row.legs.get(index=0).target for row in rows]
    assert net(A) == sum(held)
    gone = held[0] + held[1] + Decimal("0.005")
    assert involuntary.record(forced(A, str(gone), fee="1")) == 0
    for row in rows:
        bench.drive(row)
    assert [row.state for row in rows] == ["FLAT_AFTER_RESCUE", "FLAT_AFTER_RESCUE", "BALANCED"]
    parts = Fill.objects.filter(order__purpose="forced").order_by("id")
    assert [p.qty for p in parts] == [*held[:2], Decimal("0.005")]
    assert sum(p.fee for p in parts) == 1
    assert net(A) == -net(B) == held[2] - Decimal("0.005")


def test_what_no_execution_holds_is_left_alone(bench: Bench) -> None:
    bench.drive(bench.open())
    assert involuntary.record(forced(A, "0.05")) == Decimal("0.017")
    assert net(A) == 0
    assert involuntary.record(forced(B, "0.01", trade_id="900002")) == 0  # the short leg is still there


def test_nothing_open_nothing_booked(bench: Bench) -> None:
    assert involuntary.record(forced(A, "0.01")) == Decimal("0.01")
    assert not OrderIntent.objects.exists()
    assert not Incident.objects.exists()


def test_in_the_middle_of_a_close(bench: Bench) -> None:
    row = bench.drive(bench.open())
    bench.fault(A, "reject", code="-2019", count=1)
    with transaction.atomic():
        ask_to_close(row.pk)
    involuntary.record(forced(A, "0.033"))
    assert bench.drive(row).state == "SETTLED"
    assert (net(A), net(B)) == (FLAT, FLAT)
