import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError, connection

from cryptobot.notify import notify
from leadership import services as leadership
from ops.heartbeat import Progress, beat_forever
from trading import takeover
from trading.execution import residuals
from trading.execution.dead_man import Keeper
from trading.execution.listening import Listener
from trading.execution.sweep import PERIOD_SEC, Sweeper
from trading.execution.warm import warm_all
from trading.reconciliation import service as reconciliation

LOOK_SEC = 1.0


class Command(BaseCommand):
    help = (
        "Drive the executions whose wake-up was lost, keep the venues' dead-man switches, listen to "
        "their private streams, compare our books with each venue's, until SIGTERM. Needs no broker."
    )

    def handle(self, *_: Any, **__: Any) -> None:
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        warm_all()
        progress, sweeper, dead_men = Progress(), Sweeper(), Keeper()
        listener = Listener().start()
        heart = beat_forever("sweeper", progress)
        comparing = threading.Thread(target=self._compare, args=(stopping,), name="reconciliation")
        comparing.start()
        following = threading.Thread(target=self._follow, args=(stopping,), name="takeover")
        following.start()
        notify("READY=1")
        while not stopping.wait(PERIOD_SEC):
            sweeper.sweep()
            if self._on_duty():
                residuals.tell_quietly()
                dead_men.keep_quietly()
            progress.tick()
        heart.stop()
        listener.stop()
        sweeper.close()
        comparing.join()
        following.join()

    def _on_duty(self) -> bool:
        """A standby leaves the venues to the leader; without the database nobody knows: nothing is told."""
        try:
            return leadership.on_duty()
        except DatabaseError:
            return False
        finally:
            connection.close()

    def _follow(self, stopping: threading.Event) -> None:
        """What older terms left at the venues: a thread of its own, since venues may hang."""
        while not stopping.wait(LOOK_SEC):
            takeover.settle_quietly()

    def _compare(self, stopping: threading.Event) -> None:
        """A thread of its own: a venue that hangs must not hold up a sweep. How old its last success is, is
        what the status shows."""
        while not stopping.wait(LOOK_SEC):
            if self._on_duty():
                reconciliation.run_due()
