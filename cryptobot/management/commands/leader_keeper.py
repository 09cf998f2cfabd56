import signal
import threading
from typing import Any

import structlog
from django.core.management.base import BaseCommand

from cryptobot.notify import notify
from leadership.keeper import LOOK_SEC, Keeper
from ops.heartbeat import Progress, beat_forever

log = structlog.get_logger()
STOP_GRACE_SEC = 20.0


class Command(BaseCommand):
    help = "Keep this instance's lease until SIGTERM; then finish, and give it back."

    def handle(self, *_: Any, **__: Any) -> None:
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        progress, keeper = Progress(), Keeper()
        heart = beat_forever("leader-keeper", progress)
        keeper.look()
        notify("READY=1")
        while not stopping.wait(LOOK_SEC):
            keeper.look()
            progress.tick()
            notify("WATCHDOG=1")
        became = keeper.stop(grace_sec=STOP_GRACE_SEC, tick=progress.tick)
        if became:
            self.stdout.write(f"leader-keeper: {became}")
        keeper.close()
        heart.stop()
