"""kill -9 at every point that matters. A fresh driver finds only the rows, and ends flat or hedged."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import kombu.utils.functional
import pytest
from django.db import OperationalError, connection
from pytest_django.fixtures import Settings

from tests.integration.trading.execution.bench import A, B, Bench, Killed
from tests.integration.trading.execution.books import assert_books_agree, assert_flat, assert_hedged
from trading import tasks
from trading.config import SEND_WITHIN
from trading.execution import machine, nudge, sweep
from trading.execution.sweep import Sweeper, late
from trading.models import Execution, OrderIntent

Later = Callable[[float], None]
SENDER_IS_GONE = 4.1  # s: longer than any client waits


@contextmanager
def killed_at(name: str, call: int, *, after: bool = False) -> Iterator[None]:
    """The process dies at the `call`-th call of `machine.<name>`, before it or right after it."""
    whole, calls = getattr(machine, name), 0

    def dying(*args: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call and not after:
            raise Killed
        answer = whole(*args, **more)
        if calls == call:
            raise Killed
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, name, dying)
        yield


def die(execution: Execution, name: str, call: int, *, after: bool = False) -> bool:
    """Drive until killed; whether it got that far."""
    try:
        with killed_at(name, call, after=after):
            while machine.drive(execution.pk) is not None:
                pass
    except Killed:
        return True
    return False


def sent_twice(bench: Bench) -> set[str]:
    ids = [order.client_order_id for venue in (A, B) for order in bench.orders(venue)]
    return {each for each in ids if ids.count(each) > 1}


def test_claimed_and_never_sent(bench: Bench, later: Later) -> None:
    row = bench.open()
    assert die(row, "_visit", 1)
    assert set(OrderIntent.objects.values_list("state", flat=True)) == {"SENDING"}
    later(SENDER_IS_GONE)
    bench.drive(row)
    assert row.state == "ABORTED_CLEAN"
    assert set(OrderIntent.objects.values_list("state", flat=True)) == {"RESOLVED_ABSENT"}
    assert not bench.orders(A) + bench.orders(B)
    assert_books_agree(bench)


def test_sent_and_no_answer_recorded(bench: Bench, later: Later) -> None:
    row = bench.open()
    assert die(row, "record", 1)
    later(SENDER_IS_GONE)
    assert bench.drive(row).state == "BALANCED"
    assert_hedged(bench)
    assert not sent_twice(bench)
    assert_books_agree(bench)


def test_between_the_records_of_two_legs(bench: Bench, later: Later) -> None:
    row = bench.open()
    assert die(row, "record", 1, after=True)
    assert sorted(OrderIntent.objects.values_list("state", flat=True)) == ["FILLED", "SENDING"]
    later(SENDER_IS_GONE)
    assert bench.drive(row).state == "BALANCED"
    assert_hedged(bench)
    assert_books_agree(bench)


@pytest.mark.parametrize(("point", "call"), [("_visit", 2), ("record", 3)])
def test_in_rescue(bench: Bench, later: Later, point: str, call: int) -> None:
    row = bench.open()
    bench.reject(B)
    assert die(row, point, call)
    row.refresh_from_db()
    assert row.state == "RESCUE_REVERSE"
    later(SENDER_IS_GONE)
    assert bench.drive(row).state == "FLAT_AFTER_RESCUE"
    assert_flat(bench)
    assert not sent_twice(bench)
    assert_books_agree(bench)


@pytest.mark.parametrize(("point", "call"), [("_visit", 1), ("record", 1), ("record", 2)])
def test_in_a_close(bench: Bench, later: Later, point: str, call: int) -> None:
    from trading.execution.closing import ask_to_close

    row = bench.drive(bench.open())
    ask_to_close(row.pk)
    assert die(row, point, call)
    later(SENDER_IS_GONE)
    assert bench.drive(row).state == "SETTLED"
    assert_flat(bench)
    assert_books_agree(bench)


@pytest.mark.parametrize("trouble", ["none", "reject", "lost"])
def test_at_any_statement(bench: Bench, later: Later, trouble: str) -> None:
    """Whatever the last SQL statement was that the process got to run."""
    statement, reached = 1, True
    while reached:
        row = bench.open(notional="300")
        if trouble == "reject":
            bench.reject(B)
        if trouble == "lost":
            bench.fault(A, "drop_answer_after_accept")
        reached = _die_at(row, statement)
        bench.heal()
        later(SENDER_IS_GONE)
        bench.drive(row)
        assert_hedged(bench)
        if row.state == "BALANCED":
            bench.close(row)
        assert_flat(bench)
        statement += 11
    assert statement > 30
    assert not sent_twice(bench)
    assert_books_agree(bench)


def _die_at(execution: Execution, statement: int) -> bool:
    left = statement

    def dying(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal left
        if not sql.startswith("ROLLBACK"):
            left -= 1
            if left == 0:
                raise Killed
        return execute(sql, params, many, context)

    try:
        with connection.execute_wrapper(dying):
            while machine.drive(execution.pk) is not None:
                pass
    except Killed:
        return True
    return False


def test_no_message_at_all(bench: Bench, later: Later) -> None:
    """Valkey lost every nudge: the sweep reads the rows, and finds what lies in them."""
    row = bench.open()
    assert late() == []  # fresh: its own nudge is on the way
    later(1.1)
    assert late() == [(tasks.drive, row.pk)]
    assert machine.wanted(row.pk)
    bench.drive(row)
    later(60)
    assert late() == []
    assert not machine.wanted(row.pk)
    assert_books_agree(bench)


def test_a_driver_that_died_is_found_by_the_sweep(bench: Bench, later: Later) -> None:
    row = bench.open()
    assert die(row, "_visit", 1)
    row.refresh_from_db()
    assert row.next_at is not None
    later(2)
    assert late() == [(tasks.drive, row.pk)]


def test_the_sweeper_drives_what_it_finds_once(busy_bench: Bench, later: Later) -> None:
    """By itself, without a worker or a broker; a row that it is driving is not taken a second time."""
    row = busy_bench.open()
    later(2)
    sweeper = Sweeper()
    assert (sweeper.sweep(), sweeper.sweep()) == (1, 0)
    sweeper.close()
    row.refresh_from_db()
    assert row.state == "BALANCED"
    assert_hedged(busy_bench)
    assert not sent_twice(busy_bench)
    assert Sweeper().sweep() == 0


def test_a_sweep_without_a_database_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(sweep, "late", gone)
    assert Sweeper().sweep() == 0


def test_a_process_that_stalls_between_claim_and_network_does_not_send(bench: Bench, later: Later) -> None:
    """Claimed, then frozen for as long as others need to call it absent: sent now it would be a second."""
    row, visit = bench.open(), machine._visit

    def stalled(*args: Any, **more: Any) -> None:
        later(SENDER_IS_GONE)
        time.sleep(SEND_WITHIN.total_seconds() + 0.1)  # by the clock that nobody can set
        visit(*args, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "_visit", stalled)
        machine.drive(row.pk)
    bench.drive(row)
    assert not bench.orders(A) + bench.orders(B)
    assert row.state == "ABORTED_CLEAN"
    assert_books_agree(bench)


def test_a_dead_broker_holds_nobody_up(
    transactional_db: None, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kombu would try again for six seconds, and whoever presses a stop with it."""
    from celery import Celery

    naps: list[float] = []
    app = Celery("nobody-listens", broker="redis+socket:///nowhere/valkey.sock", set_as_current=False)
    app.conf.broker_transport_options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
    app.conf.task_publish_retry = settings.CELERY_TASK_PUBLISH_RETRY
    monkeypatch.setattr(kombu.utils.functional, "sleep", naps.append)
    monkeypatch.setattr(nudge, "current_app", app)
    nudge.nudge("trading.drive", uuid4())
    assert naps == []
