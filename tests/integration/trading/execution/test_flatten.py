"""Flatten: every pair out, then a line that the venues themselves wrote."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from django.db.models import F

from ops.actions import runner
from ops.actions.base import Source
from ops.models import AuditEntry
from tests import factories
from tests.integration.trading.execution.bench import BTC, A, B, Bench, configure
from tests.integration.trading.execution.books import assert_books_agree, assert_flat, assert_hedged
from trading.execution import closing, machine
from trading.execution import flatten as flattening
from trading.models import Execution, FlattenJob, OrderIntent, Position


def flatten(**scope: Any) -> FlattenJob:
    outcome = factories.submit("alice", "trading.flatten", **scope)
    job = FlattenJob.objects.get(pk=outcome.body["job_id"])
    while flattening.advance(job.pk) is not None:
        FlattenJob.objects.filter(pk=job.pk).update(next_at=job.created_at)  # the next nudge, now
    job.refresh_from_db()
    return job


def test_flatten_of_nothing(bench: Bench) -> None:
    job = flatten()
    assert job.state == "done"
    assert job.result["verification"] == (
        f"{A}: 0 open orders of ours, flat; bybit: 0 open orders of ours, flat; "
        f"{B}: 0 open orders of ours, flat"
    )
    assert not bench.orders(A) + bench.orders(B)


def test_flatten_closes_everything_and_says_so(bench: Bench) -> None:
    rows = [bench.drive(bench.open()) for _ in range(2)] + [bench.drive(bench.open("SOLUSDT"))]
    job = flatten()
    assert job.state == "done"
    assert job.result["verification"].count("flat") == 3
    for row in rows:
        row.refresh_from_db()
        assert row.state == "SETTLED"
    assert_flat(bench)
    assert_flat(bench, "SOL")
    assert_books_agree(bench)
    entry = AuditEntry.objects.filter(action="trading.flatten", target=str(job.pk)).get()
    assert entry.verdict == "done"
    assert entry.after == job.result


def test_a_flatten_shows_first_what_it_will_leave(bench: Bench) -> None:
    bench.drive(bench.open())
    bench.drive(bench.open("SOLUSDT"))
    Position.objects.filter(venue=A, symbol=BTC).update(net=F("net") + Decimal("0.002"))  # of no pair
    shown = _rehearsed(venue=A, symbol="BTCUSDT")
    assert shown == [
        {
            "field": "BTC/USDT:USDT: delta over all venues, 1 pairs in scope",
            "before": "0.002",
            "after": "0.002",
        }
    ]
    everything = _rehearsed()
    assert [(line["before"], line["after"]) for line in everything] == [("0.002", "0.002"), ("0", "0")]


def _rehearsed(**scope: str) -> list[dict[str, Any]]:
    actor, source = factories.actor("alice"), Source.REST
    return runner.rehearse("trading.flatten", actor=actor, data=scope, source=source).diff


def test_flatten_in_scope(bench: Bench) -> None:
    btc, sol = bench.drive(bench.open()), bench.drive(bench.open("SOLUSDT"))
    job = flatten(symbol="SOLUSDT")
    assert job.state == "done"
    btc.refresh_from_db()
    sol.refresh_from_db()
    assert (btc.state, sol.state) == ("BALANCED", "SETTLED")
    assert_hedged(bench)
    assert_flat(bench, "SOL")


def test_flatten_stops_an_opening_that_was_not_sent(bench: Bench) -> None:
    """Armed and nothing out: driven, then closed; nothing is left open behind a green line."""
    row = bench.open()
    assert flatten().state == "done"
    row.refresh_from_db()
    assert row.state in {"ABORTED_CLEAN", "SETTLED"}
    assert_flat(bench)
    assert_books_agree(bench)


@pytest.mark.parametrize("down", [A, B])
def test_a_venue_down_is_unverified_and_keeps_the_hedge(bench: Bench, down: str) -> None:
    configure(flatten_deadline_sec=1)
    row = bench.drive(bench.open())
    bench.fault(down, "venue_down", "any")
    job = flatten()
    assert job.state == "unverified"
    assert job.result["verification"].startswith("UNVERIFIED: ")
    assert f"{down}: cannot be read" in job.result["verification"]
    why = f"held: {down} down; force closes the other leg alone"
    assert job.result["still_open"] == [{"execution_id": str(row.pk), "state": "CLOSING", "why": why}]
    assert_hedged(bench)
    assert not OrderIntent.objects.filter(purpose="close").exists()
    bench.heal()
    assert bench.drive(row).state == "SETTLED"
    assert flatten().state == "done"
    assert_books_agree(bench)


@pytest.mark.parametrize("down", [A, B])
def test_a_further_press_forces_the_leg_that_can_be_reached(bench: Bench, down: str) -> None:
    configure(flatten_deadline_sec=1)
    row = bench.drive(bench.open())
    up = B if down == A else A
    bench.fault(down, "venue_down", "any")
    assert flatten().state == "unverified"
    assert bench.net(up) != 0
    assert flatten(force=True).state == "unverified"
    assert (bench.net(up), bench.net(down) != 0) == (Decimal(0), True)
    bench.heal()
    assert bench.drive(row).state == "SETTLED"
    assert_flat(bench)
    assert_books_agree(bench)


def test_both_legs_go_out_in_slices_that_both_books_take(bench: Bench) -> None:
    """One book takes a third of it at a time: the other leg is not closed ahead of it."""
    row = bench.drive(bench.open(notional="20000"))
    deepest = max(abs(a.qty - b.qty) for a, b in zip(*_closes(bench, row), strict=True))
    assert deepest == 0
    assert_flat(bench)
    assert_books_agree(bench)


def _closes(bench: Bench, row: Execution) -> list[list[OrderIntent]]:
    assert bench.close(row).state == "SETTLED"
    orders = OrderIntent.objects.filter(leg__execution=row, purpose="close").order_by("attempt")
    return [list(orders.filter(leg__index=index)) for index in (0, 1)]


def test_a_side_without_a_book_is_priced_by_the_mark(bench: Bench) -> None:
    """Nobody bids on A: what closes there goes out at the mark, widening, and fills when somebody does."""
    row = bench.drive(bench.open())
    bench.price(A, "BTC", Decimal(60_000), withdrawn=frozenset({"bids"}))
    with transaction.atomic():
        closing.ask_to_close(row.pk)
    machine.drive(row.pk)
    prices = OrderIntent.objects.filter(leg__execution=row, purpose="close", venue=A).order_by("attempt")
    seen = [order.price for order in prices]
    assert seen
    assert seen == sorted(seen, reverse=True)
    assert seen[0] < 60_000
    bench.price(A, "BTC", Decimal(60_000))
    assert bench.drive(row).state == "SETTLED"
    assert_flat(bench)


def test_what_is_not_ours_is_named(bench: Bench) -> None:
    """A position that no execution of ours explains: closing ours does not make the venue flat."""
    from trading.paper.account import Position

    row = bench.drive(bench.open())
    account = bench.paper[A].engine.account
    held = account.position("BTC")
    account.positions["BTC"] = Position(held.net * 2, held.entry, held.updated_ms)
    job = flatten()
    assert job.state == "unverified"
    assert "0.033 BTC/USDT:USDT" in job.result["verification"]
    row.refresh_from_db()
    assert row.state == "SETTLED"


def test_a_pass_is_taken_once(bench: Bench) -> None:
    """A second worker with the same message does nothing while the first is at it."""
    job = FlattenJob.objects.get(pk=factories.submit("alice", "trading.flatten").body["job_id"])
    seen = []

    def twice(job: FlattenJob, remaining: object) -> None:
        seen.append(flattening.advance(job.pk))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flattening, "_finish", twice)
        flattening.advance(job.pk)
    assert seen == [None]
    assert Execution.objects.count() == 0
