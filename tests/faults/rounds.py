"""Rounds of things going wrong under executions in flight, each judged against the venues' own books."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone

from tests import factories
from tests.faults.world import SWEEPER, WORKERS, World, until
from tests.integration.trading.execution.bench import A, B, Bench
from tests.integration.trading.execution.books import assert_books_agree
from trading import failpoints
from trading.domain.execution_state import FINAL, RESTING
from trading.domain.order_state import TERMINAL
from trading.execution.nudge import queue
from trading.models import Execution, OrderIntent, ReconciliationBreak

PAIRS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
REST = sorted(FINAL | RESTING)
#: Every written intent is claimed, or thrown away as too old, within this (issue 4).
PICKED_UP = timedelta(seconds=5)


@dataclass
class Totals:
    rounds: Counter[str] = field(default_factory=Counter)
    executions: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    without_a_row: int = 0
    unresolved: int = 0
    late: int = 0
    slowest: timedelta = timedelta(0)
    problems: list[str] = field(default_factory=list)

    def clean(self, *, in_time: bool) -> bool:
        """in_time: late pick-ups count too. Not where others load the machine: that would judge them."""
        wrong = self.duplicates or self.without_a_row or self.unresolved or self.problems
        return not (wrong or (in_time and self.late))

    def lines(self, killed: int) -> list[str]:
        rounds = ", ".join(f"{name} {n}" for name, n in sorted(self.rounds.items()))
        ends = ", ".join(f"{state} {n}" for state, n in sorted(self.executions.items()))
        return [
            f"{self.rounds.total()} rounds ({rounds}), {killed} processes killed",
            f"{self.executions.total()} executions: {ends}",
            f"{self.duplicates} duplicates, {self.without_a_row} orders without a row, "
            f"{self.unresolved} unresolved, {self.late} picked up after {PICKED_UP.seconds} s",
            f"slowest pick-up {self.slowest.total_seconds():.1f} s",
            *self.problems,
        ]


@dataclass
class Rounds:
    world: World
    bench: Bench
    totals: Totals = field(default_factory=Totals)
    _seen: set[Any] = field(default_factory=set)

    def kinds(self) -> dict[str, Callable[[], None]]:
        """What can be made to go wrong, by name."""
        dies = {point: lambda point=point: self._armed(point) for point in failpoints.POINTS}
        return {
            **dies,
            "after_send": self._after_send,
            "queue_purged": self._queue_purged,
            "valkey_emptied": self._valkey_emptied,
            "delivered_twice": self._delivered_twice,
            "workers_gone": self._workers_gone,
        }

    def play(self, name: str) -> None:
        """One round of that kind: three executions at once, all at rest at the end, then closed."""
        self.world.start_all()
        before = set(Execution.objects.values_list("pk", flat=True))
        self.kinds()[name]()
        self.bench.heal()
        self.totals.rounds[name] += 1
        rows = Execution.objects.exclude(pk__in=before)
        self._rest(rows, name)
        self._judge(rows)
        self._breaks(name)
        for row in rows.filter(state__in=RESTING):
            factories.submit("alice", "trading.close", execution_id=str(row.pk))
        self._rest(rows, name)

    # -- what goes wrong --

    def _open(self) -> list[Execution]:
        return [self.bench.open(pair, notional="300") for pair in PAIRS]

    def _armed(self, point: str) -> None:
        """The first process to get there dies."""
        if point == failpoints.IN_RESCUE:
            self.bench.reject(B, count=len(PAIRS))
        mark = self.world.data_dir / failpoints.FOLDER / point
        mark.parent.mkdir(exist_ok=True)
        mark.touch()
        self._open()
        until(f"a death at {point}", lambda: bool(self.world.bury()))
        self.world.start_all()

    def _after_send(self) -> None:
        """The venue has the order and has not answered yet when its sender dies."""
        known = len(self.bench.orders(B))
        self.bench.fault(B, "delay", ms=1_500, after=True, count=1)
        self._open()
        until("an order at the venue", lambda: len(self.bench.orders(B)) > known)
        self.world.kill(*WORKERS, SWEEPER)
        self.world.start_all()

    def _queue_purged(self) -> None:
        self.world.kill(*WORKERS)
        self._open()
        _redis().flushall()
        self.world.start_all()

    def _valkey_emptied(self) -> None:
        self.world.kill_valkey()
        self._open()
        until("somebody to act without a broker", lambda: not _waiting())
        self.world.start_valkey()

    def _delivered_twice(self) -> None:
        from celery import current_app

        for row in self._open():
            for _ in range(3):
                current_app.send_task("trading.drive", args=[str(row.pk)], queue=queue())

    def _workers_gone(self) -> None:
        self._open()
        self.world.kill(*WORKERS)
        until("the sweeper to do it", lambda: not _waiting())
        self.world.start_all()

    # -- judgement --

    def _breaks(self, name: str) -> None:
        """What the desk's own reconciliation found and nothing explained, after its own patience."""
        found = ReconciliationBreak.objects.exclude(warned_at=None, held_at=None)
        for row in found.exclude(pk__in=self._seen):
            self._seen.add(row.pk)
            self.totals.problems.append(f"{name}: break {row}: {row.key} {row.amount} {row.detail}")

    def _rest(self, rows: Any, name: str) -> None:
        try:
            until("rest", lambda: not rows.exclude(state__in=REST, closing=False).exists())
        except TimeoutError:
            stuck = [f"{row} next_at={row.next_at}" for row in rows.exclude(state__in=REST, closing=False)]
            self.totals.unresolved += len(stuck)
            self.totals.problems.append(f"{name}: {stuck}")

    def _judge(self, rows: Any) -> None:
        self.totals.executions.update(rows.values_list("state", flat=True))
        intents = OrderIntent.objects.filter(leg__execution__in=rows, purpose="open")
        for order in intents:
            picked = (order.sent_at or order.done_at or timezone.now()) - order.written_at
            self.totals.slowest = max(self.totals.slowest, picked)
            self.totals.late += picked > PICKED_UP

    def judge_books(self) -> None:
        """Against everything that the venues ever accepted."""
        ours = set(OrderIntent.objects.values_list("client_order_id", flat=True))
        for venue in (A, B):
            sent = Counter(order.client_order_id for order in self.bench.orders(venue))
            self.totals.duplicates += sum(n - 1 for n in sent.values())
            self.totals.without_a_row += len(sent.keys() - ours)
        self.totals.unresolved += OrderIntent.objects.exclude(state__in=sorted(TERMINAL)).count()
        try:
            assert_books_agree(self.bench)
        except AssertionError as differs:
            self.totals.problems.append(f"books: {differs}")


def _waiting() -> bool:
    return OrderIntent.objects.filter(state="INTENT_WRITTEN").exists()


def _redis() -> Any:
    import redis

    return redis.Redis.from_url(settings.REDIS_URL)


def run(world: World, bench: Bench, rounds: int, *, say: Callable[[str], None]) -> Totals:
    """Each kind in turn, `rounds` in all."""
    game = Rounds(world, bench)
    # Six previews in a round, each asking for everything anew: a night's requests in minutes.
    bench.paper[A].dialect.limit.weight_1m *= 20  # type: ignore[attr-defined]
    world.start_all()
    world.wait_ready()
    names = list(game.kinds())
    for number in range(rounds):
        name, began = names[number % len(names)], time.monotonic()
        game.play(name)
        say(f"{number + 1}/{rounds} {name} {time.monotonic() - began:.1f} s")
    game.judge_books()
    connection.close()
    return game.totals


def desk_of(data_dir: Path) -> None:
    """People, configuration and RUN, as the bench of the tests has them."""
    from tests.integration.trading.execution.bench import configure

    factories.make_desk()
    configure()
    factories.safe_mode_off()
    factories.resume()
