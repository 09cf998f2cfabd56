import signal
import threading
from typing import Any

import structlog
from django.core.management.base import BaseCommand
from django.db import connection

from cryptobot.notify import notify
from leadership import services as leadership
from ops.heartbeat import Progress, beat_forever
from ops.notifications.service import Sender
from risk import guards
from trading import book_watch, risk_inputs
from trading.execution.warm import warm_all

log = structlog.get_logger()
LOOK_SEC, FIGURES_SEC, TELL_SEC = 1.0, 10.0, 0.5


class Command(BaseCommand):
    help = (
        "Look with every guard each second, keep equity and the day's loss, tell people, until SIGTERM. "
        "Needs no broker: what stops the desk must not wait for a queue."
    )

    def handle(self, *_: Any, **__: Any) -> None:
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        warm_all()
        progress = Progress()
        heart = beat_forever("breaker", progress)
        reading = threading.Thread(target=self._figures, args=(stopping,), name="figures")
        reading.start()
        telling = threading.Thread(target=self._tell, args=(stopping,), name="notifications")
        telling.start()
        notify("READY=1")
        while True:
            self._quietly(self._look)
            progress.tick()
            if stopping.wait(LOOK_SEC):
                break
        heart.stop()
        book_watch.watch.stop()
        reading.join()
        telling.join()

    def _look(self) -> None:
        """The leader's guards speak for the desk; a standby's own view of the venues trips nobody."""
        if leadership.on_duty():
            book_watch.watch.follow()
            guards.evaluate()
        else:
            book_watch.watch.stop()

    def _figures(self, stopping: threading.Event) -> None:
        """A thread of its own: a venue that hangs must not hold up the guards."""
        while not stopping.wait(FIGURES_SEC):
            self._quietly(self._keep_figures)

    def _keep_figures(self) -> None:
        if leadership.on_duty():
            risk_inputs.keep_figures()

    def _tell(self, stopping: threading.Event) -> None:
        sender = Sender()
        while not stopping.wait(TELL_SEC):
            self._quietly(sender.look)
        sender.close()

    def _quietly(self, look: Any) -> None:
        """What goes wrong is logged, and the next look tries again; what is old is told by its age."""
        try:
            look()
        except Exception as error:  # one look must not end the loop
            log.exception("breaker.look_lost", error=str(error))
        finally:
            connection.close()
