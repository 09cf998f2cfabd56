import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from cryptobot.notify import notify
from ops.heartbeat import Progress, beat_forever
from trading.execution.sweep import PERIOD_SEC, Sweeper
from trading.execution.warm import warm_all


class Command(BaseCommand):
    help = "Drive the executions whose wake-up was lost, every two seconds, until SIGTERM. Needs no broker."

    def handle(self, *_: Any, **__: Any) -> None:
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        warm_all()
        progress, sweeper = Progress(), Sweeper()
        heart = beat_forever("sweeper", progress)
        notify("READY=1")
        while not stopping.wait(PERIOD_SEC):
            sweeper.sweep()
            progress.tick()
        heart.stop()
        sweeper.close()
