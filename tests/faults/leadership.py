"""Two instances and one lease: `python -m tests.faults.leadership`, ROUNDS of a leader that dies, stops, or
loses its database, judged by what the paper venues accepted.

An instance here is its keeper and its sweeper, real processes; this process is the web process of whichever
leads. Wall clocks are not set back and forth where libfaketime is not installed: a note says so.
"""

import hashlib
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from cryptobot.env import BASE_DIR
from cryptobot.supervisor.children import DJANGO
from tests.faults.proxy import PORT, Proxy
from tests.faults.world import World, until, world

ROUNDS = int(os.environ.get("ROUNDS", "2"))
TTL, STALE = 3, 11  # windows of 6 s, an offset of 1 s and a margin of 0.5 s allow 10.5
SECRETS = ("SECRET_KEY", "FIELD_ENCRYPTION_KEY", "AUDIT_HMAC_KEY")
ROLES = {"leader-keeper": "leader_keeper", "sweeper": "sweeper"}
GIVE_UP_SEC = 90.0
TOO_LATE = "too late to be sent"


class Node:
    """One instance: its DATA_DIR, its own way to the database, its processes."""

    def __init__(self, name: str, here: World, secrets: dict[str, str]) -> None:
        from cryptobot.embedded import paths

        self.name, self.data_dir = name, here.data_dir / name
        self.data_dir.mkdir()
        sockets = Path(tempfile.mkdtemp(prefix="cryptobot-bh-"))
        server = paths.socket_dir(here.data_dir) / f".s.PGSQL.{PORT}"
        self.proxy = Proxy(sockets, server).start()
        self.instance = hashlib.sha256(
            f"{socket.gethostname()}:{self.data_dir.resolve()}".encode()
        ).hexdigest()[:8]
        own = paths.embedded_database_url(here.data_dir, role=paths.APP_ROLE)
        self.environ = os.environ | {
            "DATA_DIR": str(self.data_dir),
            "DATABASE_URL": _through(own, sockets),
            "REDIS_URL": paths.embedded_redis_url(here.data_dir),
            "FEATURE_LEADER_LOCK": "1",
            "LEADER_LOCK_TTL_SEC": str(TTL),
            "LEADER_LOCK_STALE_SEC": str(STALE),
            "PAPER_VENUES_DIR": str(here.data_dir),
            **secrets,
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        for role, command in ROLES.items():
            known = self.processes.get(role)
            if known is None or known.poll() is not None:
                self.processes[role] = subprocess.Popen(
                    (*DJANGO, command),
                    cwd=BASE_DIR,
                    env=self.environ,
                    stdout=(self.data_dir / f"{role}.log").open("ab"),
                    stderr=subprocess.STDOUT,
                )

    def signal(self, number: signal.Signals, *roles: str) -> None:
        for role in roles or ROLES:
            self.processes[role].send_signal(number)  # nothing, where it is dead already
            if number is signal.SIGKILL:
                self.processes[role].wait()

    def arm(self, point: str) -> None:
        from trading import failpoints

        mark = self.data_dir / failpoints.FOLDER / point
        mark.parent.mkdir(exist_ok=True)
        mark.with_name(f"{point}.hit").unlink(missing_ok=True)
        mark.touch()

    def disarm(self) -> None:
        from trading import failpoints

        for mark in (self.data_dir / failpoints.FOLDER).glob("*"):
            mark.unlink()

    def hit(self, point: str) -> bool:
        from trading import failpoints

        return (self.data_dir / failpoints.FOLDER / f"{point}.hit").exists()

    def stop(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        self.proxy.stop()


def _through(url: str, sockets: Path) -> str:
    """The same database by another folder of sockets."""
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    return f"{parts.scheme}://{user}@{quote(str(sockets), safe='')}{parts.path}"


@dataclass
class Totals:
    rounds: Counter[str] = field(default_factory=Counter)
    executions: Counter[str] = field(default_factory=Counter)
    took: dict[str, list[float]] = field(default_factory=dict)
    stale_accepts: int = 0
    duplicates: int = 0
    without_a_row: int = 0
    held_back: int = 0
    unplanned: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.stale_accepts or self.duplicates or self.without_a_row or self.problems)

    def lines(self) -> list[str]:
        rounds = ", ".join(f"{name} {n}" for name, n in sorted(self.rounds.items()))
        ends = ", ".join(f"{state} {n}" for state, n in sorted(self.executions.items()))
        times = [
            f"{name}: fault to new term p50 {_at(times, 0.5):.1f} s, p99 {_at(times, 0.99):.1f} s, "
            f"max {max(times):.1f} s ({len(times)})"
            for name, times in sorted(self.took.items())
        ]
        return [
            f"{self.rounds.total()} rounds ({rounds}); TTL {TTL} s, STALE {STALE} s",
            f"{self.executions.total()} executions: {ends}",
            f"{self.stale_accepts} stale accepts, {self.duplicates} duplicates, "
            f"{self.without_a_row} orders without a row, {self.held_back} orders held back after signing",
            f"{self.unplanned} rounds broken off: the lease changed hands by itself (this machine was busy)",
            *times,
            *self.problems,
        ]


def _at(times: list[float], share: float) -> float:
    return sorted(times)[min(int(len(times) * share), len(times) - 1)]


class Game:
    def __init__(self, here: World, bench: Any, nodes: dict[str, Node]) -> None:
        self.world, self.bench, self.totals = here, bench, Totals()
        self.nodes = {node.instance: node for node in nodes.values()}

    def kinds(self) -> dict[str, Callable[[Node], None]]:
        """What can happen to a leader, by name; each ends with another term."""
        return {
            "stopped_after_sign": self._stopped_after_sign,
            "released": self._released,
            "killed": self._killed,
            "frozen": self._frozen,
            "blackhole": self._blackhole,
            "killed_after_claim": self._killed_after_claim,
            "database_restarted": self._database_restarted,
        }

    def play(self, name: str) -> None:
        """One round; one in which a keeper was too slow for its TTL by itself is no round, and is judged all
        the same."""
        from ops.actions.base import Refusal

        self._lead()
        fence = self._fence()
        try:
            self._play(name)
        except (Refusal, TimeoutError) as broken:
            lapsed = isinstance(broken, Refusal) and broken.code.startswith("leader.")
            if self._fence() == fence and not lapsed:
                raise
            self.totals.unplanned += 1
            for node in self.nodes.values():
                node.signal(signal.SIGCONT)
                node.proxy.heal()
                node.disarm()
                node.start()
            self._settled()

    def _play(self, name: str) -> None:
        """Trade under the present term, let it happen, wait for the next one to be settled, come to rest."""
        from trading.models import Execution

        leader = self._lead()
        before = set(Execution.objects.values_list("pk", flat=True))
        self._resume()
        self.kinds()[name](leader)
        self._settled()
        rows = Execution.objects.exclude(pk__in=before)
        self._rest(rows, name)
        for row in rows.filter(state="BALANCED"):
            from tests import factories

            factories.submit("alice", "trading.close", execution_id=str(row.pk))
        self._rest(rows, name)
        self.totals.executions.update(rows.values_list("state", flat=True))
        self.totals.rounds[name] += 1

    # -- what happens --

    def _open(self) -> None:
        """Three executions; a venue that was too slow to be heard is asked again."""
        from ops.actions.base import Refusal

        def opened(pair: str) -> bool:
            try:
                self.bench.open(pair, notional="300")
            except Refusal as refused:
                if refused.code != "plan.not_viable":
                    raise
                return False
            return True

        for pair in ("BTCUSDT", "ETHUSDT", "SOLUSDT"):
            until(f"a plan for {pair}", lambda pair=pair: opened(pair))  # type: ignore[misc]

    def _stopped_after_sign(self, leader: Node) -> None:
        """SIGSTOP with the signed order in hand, until another leads; then it goes on."""
        leader.arm("after_sign.stop")
        self._open()
        until("an order to be signed", lambda: leader.hit("after_sign.stop"), seconds=GIVE_UP_SEC)
        fence = self._fence()
        leader.signal(signal.SIGSTOP, "leader-keeper")
        self._next_term("stopped", fence, time.time())
        leader.signal(signal.SIGCONT)
        until("what it held to be held back", _held_back, seconds=GIVE_UP_SEC)

    def _released(self, leader: Node) -> None:
        from tests import factories

        self._open()
        until("the orders to be sent", lambda: not _waiting())
        fence, began = self._fence(), time.time()
        factories.submit("alice", "leadership.release")
        self._next_term("released (drain included)", fence, began)

    def _killed(self, leader: Node) -> None:
        self._open()
        fence, began = self._fence(), time.time()
        leader.signal(signal.SIGKILL)
        self._next_term("killed", fence, began)
        leader.start()

    def _killed_after_claim(self, leader: Node) -> None:
        leader.arm("after_claim")
        self._open()
        until("a claim", lambda: leader.hit("after_claim"), seconds=GIVE_UP_SEC)
        fence, began = self._fence(), time.time()
        leader.signal(signal.SIGKILL, "leader-keeper")
        self._next_term("killed", fence, began)
        leader.start()

    def _frozen(self, leader: Node) -> None:
        """SIGSTOP anywhere: a transaction may be open, and must not keep the successor waiting for ever."""
        self._open()
        fence, began = self._fence(), time.time()
        time.sleep(1.1)
        leader.signal(signal.SIGSTOP)
        self._next_term("stopped", fence, began)
        leader.signal(signal.SIGCONT)

    def _blackhole(self, leader: Node) -> None:
        self._open()
        fence, began = self._fence(), time.time()
        leader.proxy.go_dark()
        self._next_term("no way to the database", fence, began)
        leader.proxy.heal()

    def _database_restarted(self, leader: Node) -> None:
        """A restart alone changes no leader; then it is released: every round ends with a new term."""
        self._open()
        fence = self._fence()
        self.world.restart_database()
        time.sleep(TTL + 1)
        self._lead()
        if self._fence() == fence:
            self._released(leader)

    # -- the harness is the operator --

    def _lead(self) -> Node:
        """Who leads, once somebody does; this process speaks for it."""
        from django.conf import settings

        from leadership.models import Lease

        def there() -> bool:
            return _quietly(lambda: Lease.objects.filter(state="HELD", owner__in=self.nodes).exists())

        until("a leader", there, seconds=GIVE_UP_SEC)
        settings.INSTANCE = Lease.objects.get().owner
        return self.nodes[settings.INSTANCE]

    def _fence(self) -> int:
        from leadership.models import Lease

        return int(Lease.objects.get().fence)

    def _next_term(self, name: str, fence: int, began: float) -> None:
        from leadership.models import Term

        until("the next term", lambda: Term.objects.filter(pk__gt=fence).exists(), seconds=GIVE_UP_SEC)
        at = Term.objects.filter(pk__gt=fence).last().began_at  # type: ignore[union-attr]
        self.totals.took.setdefault(name, []).append(at.timestamp() - began)
        self._lead()

    def _settled(self) -> None:
        from leadership.models import Term

        def done() -> bool:
            return _quietly(lambda: Term.objects.get(pk=self._fence()).settled_at is not None)

        try:
            until("the term to be settled", done, seconds=GIVE_UP_SEC)
        except TimeoutError as never:
            self.totals.problems.append(str(never))
        self._lead()

    def _resume(self) -> None:
        from ops import desk, hooks
        from tests import factories

        self._settled()
        if not desk.runs(desk.get_state(), hooks.fence()):
            factories.watched()  # no breaker runs here
            factories.resume()

    def _rest(self, rows: Any, name: str) -> None:
        from tests.faults.rounds import REST

        try:
            until("rest", lambda: not rows.exclude(state__in=REST, closing=False).exists(), seconds=60)
        except TimeoutError:
            stuck = [f"{row} next_at={row.next_at}" for row in rows.exclude(state__in=REST, closing=False)]
            self.totals.problems.append(f"{name}: not at rest: {stuck}")

    # -- judgement --

    def judge(self) -> None:
        """Everything that the venues ever accepted, beside the history of terms."""
        from leadership.models import Term
        from ops.models import HoldCause
        from tests.integration.trading.execution.bench import A, B
        from tests.integration.trading.execution.books import assert_books_agree
        from trading.models import Attempt, OrderIntent

        time.sleep(2)  # whoever was continued last has had its chance
        ours = {o.client_order_id: o for o in OrderIntent.objects.all()}
        terms = list(Term.objects.order_by("began_at"))
        for venue in (A, B):
            accepted = self.bench.orders(venue)
            sent = Counter(order.client_order_id for order in accepted)
            self.totals.duplicates += sum(n - 1 for n in sent.values())
            self.totals.without_a_row += len(sent.keys() - ours.keys())
            for order in accepted:
                row = ours.get(order.client_order_id)
                if row is not None and row.purpose in ("open", "proceed"):
                    self._stale(row, order, terms)
        self.totals.held_back = Attempt.objects.filter(detail__contains=TOO_LATE).count()
        fences = [term.fence for term in terms]
        if fences != sorted(set(fences)):
            self.totals.problems.append(f"fences do not grow: {fences}")
        if Term.objects.filter(ended_at=None).count() != 1:
            self.totals.problems.append("more than one term has not ended")
        if HoldCause.objects.filter(source="leader.changed").count() < len(terms) - 1:
            self.totals.problems.append("a change of leader without HOLD")
        try:
            assert_books_agree(self.bench)
        except AssertionError as differs:
            self.totals.problems.append(f"books: {differs}")

    def _stale(self, row: Any, order: Any, terms: list[Any]) -> None:
        at = datetime.fromtimestamp(order.created_ms / 1000, UTC)
        later = [term for term in terms if term.fence > row.fence and term.began_at < at]
        if later:
            self.totals.stale_accepts += 1
            self.totals.problems.append(
                f"{order.client_order_id} of term {row.fence} accepted {at} in term {later[-1]}"
            )


def _waiting() -> bool:
    from trading.models import OrderIntent

    return OrderIntent.objects.filter(state__in=["INTENT_WRITTEN", "SENDING"]).exists()


def _held_back() -> bool:
    from trading.models import Attempt

    return Attempt.objects.filter(detail__contains=TOO_LATE).exists()


def _quietly(holds: Callable[[], bool]) -> bool:
    """The database may be restarting."""
    from django.db import DatabaseError, connection

    try:
        return holds()
    except (DatabaseError, LookupError):
        connection.close()
        return False


def main() -> int:
    data_dir = Path(tempfile.mkdtemp(prefix="cryptobot-faults-"))
    with world(data_dir) as here:
        logging.disable(logging.WARNING)
        from celery import current_app
        from django.conf import settings

        from leadership.models import Lease
        from tests.in_process import paper_venues
        from tests.integration.trading.execution.bench import A, Bench, configure

        current_app.conf.task_create_missing_queues = True  # this process speaks for either instance
        secrets = {name: settings.ENV.secret(name) for name in SECRETS}
        with paper_venues(data_dir) as paper:
            bench = Bench(paper)
            bench.pin()
            paper[A].dialect.limit.weight_1m *= 20  # type: ignore[attr-defined]
            from tests import factories

            factories.make_desk()
            configure(acceptance_window_ms=6000)
            factories.safe_mode_off()
            settings.ENV = settings.ENV.model_copy(
                update={
                    "feature_leader_lock": True,
                    "leader_lock_ttl_sec": TTL,
                    "leader_lock_stale_sec": STALE,
                }
            )
            Lease.objects.update(state="FREE", expires_at=None, owner="")
            nodes = {name: Node(name, here, secrets) for name in ("a", "b")}
            game = Game(here, bench, nodes)
            try:
                for node in nodes.values():
                    node.start()
                names = list(game.kinds())
                for number in range(ROUNDS):
                    began, name = time.monotonic(), names[number % len(names)]
                    game.play(name)
                    print(
                        f"{number + 1}/{ROUNDS} {name} {time.monotonic() - began:.1f} s",
                        file=sys.stderr,
                        flush=True,
                    )
                game.judge()
            finally:
                for node in nodes.values():
                    node.stop()
        print("\n".join(game.totals.lines()))
        if not any(Path(folder).glob("**/libfaketime*") for folder in ("/usr/lib",)):
            print("wall clocks were not set: libfaketime is not installed here")
    return 0 if game.totals.clean else 1


if __name__ == "__main__":
    sys.exit(main())
