"""The heartbeat of the Celery processes, with the traces of their loops. Connected when Django is ready."""

from typing import Any

import structlog
from celery import bootsteps
from celery.beat import PersistentScheduler
from celery.signals import beat_init, task_postrun, task_prerun, worker_ready
from django.db import DatabaseError, connection

from cryptobot.celery import app
from ops import schedule
from ops.heartbeat import Progress, beat_forever

log = structlog.get_logger()
#: A worker's loop runs its tasks itself (--pool=solo), so it ticks only between them.
progress = Progress(in_loop=True)


class Ticks(bootsteps.StartStopStep):
    """A tick per second from the worker's own loop, also after it lost its broker and found it again."""

    def start(self, consumer: Any) -> None:
        consumer.timer.call_repeatedly(1.0, progress.tick)


app.steps["consumer"].add(Ticks)


@worker_ready.connect
def _worker(sender: Any, **_: Any) -> None:
    beat_forever(sender.hostname.partition("@")[0], progress)


@task_prerun.connect
def _task_begins(task_id: str, task: Any, **_: Any) -> None:
    progress.begin(task_id, task.name)


@task_postrun.connect
def _task_ends(task_id: str, **_: Any) -> None:
    progress.end(task_id)


class Scheduler(PersistentScheduler):
    """Beat's own, leaving a trace each time that its loop comes round. What another instance's beat has sent
    in this period is left out; what cannot be claimed for want of a database is sent in the next one."""

    def tick(self, *args: Any, **more: Any) -> float:
        progress.tick()
        return float(super().tick(*args, **more))

    def apply_async(self, entry: Any, *args: Any, **more: Any) -> Any:
        try:
            mine = schedule.claim(entry.name, entry.schedule.run_every.total_seconds())
        except DatabaseError as error:
            log.warning("beat.not_claimed", entry=entry.name, error=str(error))
            return None
        finally:
            connection.close()
        return super().apply_async(entry, *args, **more) if mine else None


@beat_init.connect
def _beat(**_: Any) -> None:
    beat_forever("beat", progress)
