"""Several drivers at once, on rows that all of them see. Threads with connections of their own."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction

from ops import desk
from ops.models import HoldCause
from tests.integration.trading.execution.bench import A, B, Bench
from tests.integration.trading.execution.books import assert_books_agree, assert_flat, assert_hedged
from trading.execution import machine
from trading.models import Execution


def side_by_side(*works: Callable[[], Any]) -> None:
    """All at once; the first failure is raised."""
    failures: list[BaseException] = []
    start = threading.Barrier(len(works))

    def run(work: Callable[[], Any]) -> None:
        try:
            start.wait()
            work()
        except BaseException as failure:
            failures.append(failure)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if failures:
        raise failures[0]


@pytest.mark.parametrize("trouble", ["none", "reject", "lost"])
def test_two_drivers_of_one_execution(busy_bench: Bench, trouble: str) -> None:
    bench = busy_bench
    for _ in range(3):
        row = bench.open()
        if trouble == "reject":
            bench.reject(B)
        if trouble == "lost":
            bench.fault(A, "drop_answer_after_accept")
        other = Execution.objects.get(pk=row.pk)
        side_by_side(lambda: bench.drive(row), lambda: bench.drive(other))  # noqa: B023
        assert_hedged(bench)
        row.refresh_from_db()
        if row.state == "BALANCED":
            mine, yours = bench_close(bench, row)
            side_by_side(mine, yours)
    assert_flat(bench)
    assert_books_agree(bench)


def bench_close(bench: Bench, row: Execution) -> tuple[Callable[[], Any], Callable[[], Any]]:
    other = Execution.objects.get(pk=row.pk)
    from trading.execution.closing import ask_to_close

    with transaction.atomic():
        ask_to_close(row.pk)
    return lambda: bench.drive(row), lambda: bench.drive(other)


def test_executions_on_one_instrument(busy_bench: Bench) -> None:
    """One order in doubt per instrument: the others wait their turn, none is lost, none is doubled."""
    bench = busy_bench
    rows = [bench.open(notional="300") for _ in range(4)]
    side_by_side(*(lambda row=row: bench.drive(row) for row in rows))
    assert {row.state for row in rows} == {"BALANCED"}
    assert_hedged(bench)
    assert_books_agree(bench)


def test_two_quarantines_at_once(
    busy_bench: Bench, later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both hold the desk row shared and want it alone: neither may be the other's deadlock."""
    bench = busy_bench
    rows = [bench.open(notional="300"), bench.open("ETHUSDT", notional="300")]
    bench.fault(B, "venue_down", "any")
    for row in rows:
        machine.drive(row.pk)
    later(31)
    together, shared, me = threading.Barrier(2), desk.lock_shared, threading.local()

    def meet() -> Any:
        state = shared()
        if not hasattr(me, "met"):
            me.met = True
            together.wait(20)
        return state

    monkeypatch.setattr(desk, "lock_shared", meet)
    side_by_side(*(lambda row=row: machine.step(row.pk, {}) for row in rows))
    assert set(Execution.objects.values_list("state", flat=True)) == {"QUARANTINED"}
    assert HoldCause.objects.filter(source__startswith="execution.quarantined").count() == 2
