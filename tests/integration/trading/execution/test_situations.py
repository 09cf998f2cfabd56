"""The situations in which respected systems lose money (facts/rules.md), on each pair of venues.

Each ends balanced, flat, with a residual or quarantined; the books are the venues' own to the last digit, and
no order exists twice.
"""

from collections.abc import Callable
from decimal import Decimal

import pytest
from django.db import transaction

from ops import desk
from ops.actions.base import Refusal
from ops.models import Incident
from tests import factories
from tests.integration.trading.execution.bench import NO_MARGIN, Bench, opened, send
from tests.integration.trading.execution.books import assert_books_agree, assert_flat, assert_hedged, states
from trading.domain.execution_state import FINAL, RESTING
from trading.execution import machine
from trading.execution.closing import ask_to_close
from trading.models import Execution, OrderIntent
from trading.paper.orders import Forced
from trading.reconciliation import service as reconciliation

Later = Callable[[float], None]
GONE = 4.1  # s: the sender of an order gave up before


def ends(bench: Bench, row: Execution, *states: str) -> None:
    """At rest in one of `states`, hedged on the venues, and right in every book."""
    bench.drive(row)
    assert row.state in states, (row.state, list(row.transitions.values_list("after", "detail")))
    assert_hedged(bench)
    assert_books_agree(bench)


@pytest.mark.parametrize("by_cost", [True, False], ids=["by cost", "reverse"])
def test_one_leg_filled_and_the_other_refused_four_times(pair_bench: Bench, by_cost: bool) -> None:
    bench = pair_bench
    row = bench.open(by_cost=by_cost)
    bench.reject(bench.short, count=4)
    ends(bench, row, "BALANCED" if by_cost else "FLAT_AFTER_RESCUE")


def test_the_way_out_refused_four_times_as_well(pair_bench: Bench) -> None:
    bench = pair_bench
    row = bench.open()
    bench.reject(bench.short)
    bench.fault(bench.long, "reject", side="sell", code=NO_MARGIN[bench.long], count=4)
    ends(bench, row, "FLAT_AFTER_RESCUE")
    assert states(row, "reverse") == ["REJECTED_DEFINITE"] * 4 + ["FILLED"]


@pytest.mark.parametrize("leg", ["long", "short"])
def test_a_part_filled_and_the_rest_cancelled(pair_bench: Bench, leg: str) -> None:
    bench = pair_bench
    row = bench.open(by_cost=True)
    bench.fault(getattr(bench, leg), "partial", fraction="0.4")
    ends(bench, row, "BALANCED")


@pytest.mark.parametrize("leg", ["long", "short"])
def test_a_submit_that_timed_out_and_was_accepted(pair_bench: Bench, leg: str) -> None:
    bench = pair_bench
    row = bench.open()
    bench.fault(getattr(bench, leg), "drop_answer_after_accept")
    ends(bench, row, "BALANCED")
    assert OrderIntent.objects.filter(leg__execution=row).count() == 2


def test_a_submit_that_timed_out_and_is_accepted_late(impatient: None, pair_bench: Bench) -> None:
    """Within the window in which a venue may still take it: "not found" meanwhile proves nothing."""
    bench = pair_bench
    row = bench.open()
    bench.fault(bench.short, "delay", ms=800)
    ends(bench, row, "BALANCED")
    assert "UNKNOWN" in row.transitions.values_list("after", flat=True)
    assert len(bench.orders(bench.short)) == 1


def test_a_venue_that_answers_503_and_did_not_take_it(pair_bench: Bench) -> None:
    bench = pair_bench
    row = bench.open()
    bench.fault(bench.short, "reject", status=503, message="Unknown error, please check your request")
    ends(bench, row, "FLAT_AFTER_RESCUE")
    assert states(row) == ["FILLED", "RESOLVED_ABSENT"]


def test_queries_that_fail_while_the_order_lives(pair_bench: Bench, later: Later) -> None:
    """A DNS outage between send and answer: a query that fails is not absence, however often it fails."""
    bench = pair_bench
    row = bench.open()
    bench.fault(bench.short, "drop_answer_after_accept")
    for kind in ("query", "cancel"):
        bench.fault(bench.short, "reject", kind, status=502, count=None)
    for _ in range(3):
        machine.drive(row.pk)
        later(6)
    row.refresh_from_db()
    assert row.state not in FINAL | RESTING
    assert OrderIntent.objects.get(leg__execution=row, venue=bench.short).state == "UNKNOWN"
    bench.heal()
    ends(bench, row, "BALANCED")


def test_a_new_attempt_never_has_the_id_of_a_filled_one(pair_bench: Bench) -> None:
    """Venues differ in whether they take an id again after it filled: we never ask them."""
    bench = pair_bench
    row = bench.open(by_cost=True)
    bench.fault(bench.short, "partial", fraction="0.5", count=2)
    ends(bench, row, "BALANCED")
    ids = [order.client_order_id for order in bench.orders(bench.short)]
    assert len(ids) == len(set(ids)) == 3


@pytest.mark.parametrize("leg", ["long", "short"])
def test_an_early_stop_with_one_leg_live(bench: Bench, leg: str) -> None:
    """Both legs rest, one fills, somebody presses close: one is cancelled, the other taken out."""
    row = bench.open(post_only=True)
    machine.step(row.pk, {})
    send(OrderIntent.objects.values_list("pk", flat=True))
    filled = getattr(bench, leg)
    side = 1 if leg == "long" else -1
    bench.price(filled, "BTC", Decimal(60_000) * (1 - side * Decimal("0.01")))
    bench.paper[filled].engine.match_resting()
    with transaction.atomic():
        ask_to_close(row.pk)
    ends(bench, row, "SETTLED")
    assert_flat(bench)


def test_hold_in_mid_flight(pair_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A leg is out and refused when the desk goes into HOLD: what began is brought to balance."""
    bench, visit = pair_bench, machine._visit
    row = bench.open()
    bench.reject(bench.short)

    def hold(*args: object, **more: object) -> None:
        visit(*args, **more)  # type: ignore[arg-type]
        desk.raise_hold(source="test", reason="in mid-flight")

    monkeypatch.setattr(machine, "_visit", hold)
    ends(bench, row, "FLAT_AFTER_RESCUE")


def test_a_restart_with_orders_open(bench: Bench, later: Later) -> None:
    """Both legs rest at their venues, and whoever sent them is gone with everything it knew."""
    row = bench.open(post_only=True)
    machine.step(row.pk, {})
    send(OrderIntent.objects.values_list("pk", flat=True))
    assert [order.live for venue in bench.both for order in bench.orders(venue)] == [True, True]
    later(GONE)
    ends(bench, row, "ABORTED_CLEAN")
    assert_flat(bench)


def test_two_executions_on_one_instrument_when_a_leg_fails(pair_bench: Bench) -> None:
    """The second's leg fails: out comes its own quantity, and the first stays as it was."""
    bench = pair_bench
    first = bench.drive(bench.open())
    held = bench.net(bench.long)
    second = bench.open(notional="600")
    bench.reject(bench.short)
    ends(bench, second, "FLAT_AFTER_RESCUE")
    first.refresh_from_db()
    assert (first.state, bench.net(bench.long)) == ("BALANCED", held)


def test_two_executions_that_would_net_are_refused(pair_bench: Bench) -> None:
    bench = pair_bench
    bench.drive(bench.open())
    bench.price(bench.long, "BTC", Decimal(61_000))  # now the other way round pays
    bench.long, bench.short = bench.short, bench.long
    with pytest.raises(Refusal) as refused:
        opened(factories.vote("bob", bench.ask()))
    assert refused.value.code == "plan.opposite_open"


@pytest.mark.parametrize("leg", ["long", "short"])
@pytest.mark.parametrize("why", list(Forced), ids=lambda why: why.name.lower())
def test_a_leg_liquidated(pair_bench: Bench, leg: str, why: Forced) -> None:
    """Found by comparing with the venue; the other leg is taken out, and the books know both."""
    bench = pair_bench
    row = bench.drive(bench.open(by_cost=True))
    bench.paper[getattr(bench, leg)].engine.force_close("BTC", row.legs.get(index=0).target, why)
    assert reconciliation.run(bench.both) == {}
    bench.drive(row)
    assert row.state == "FLAT_AFTER_RESCUE"
    assert_flat(bench)
    assert reconciliation.run(bench.both) == {}
    details = [(row.key, row.amount, row.detail) for row in reconciliation.waiting()]
    assert not details, str(details)
    assert Incident.objects.get(code="execution.forced").severity == "P0"
