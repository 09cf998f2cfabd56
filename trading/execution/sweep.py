"""Rows whose time has gone by, driven here and now: the hints that should have woken a worker may be lost.

Celery is a nudge, rows are the truth (spec 5): with the queue purged, the broker dead or the workers killed
every row is still picked up within seconds. This needs the database and the venues, and nothing else.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import structlog
from django.db import connection
from django.utils import timezone

from leadership import services as leadership
from trading import tasks
from trading.models import Execution, FlattenJob

log = structlog.get_logger()
#: A row this late has lost its wake-up, or its driver.
LATE = timedelta(seconds=1)
PERIOD_SEC = 1.0
SIDE_BY_SIDE = 4

Job = tuple[Callable[[str], None], UUID]


def late() -> list[Job]:
    """What to run for each row that nobody came for, the longest waiting first."""
    before = timezone.now() - LATE
    found: list[Job] = []
    for run, rows in ((tasks.drive, Execution.objects), (tasks.flatten, FlattenJob.objects)):
        due = rows.filter(next_at__lt=before).order_by("next_at")
        found += [(run, pk) for pk in due.values_list("pk", flat=True)]
    return found


class Sweeper:
    """Drives late rows side by side; one that is still being driven is not taken twice."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="sweep")
        self._under_way: set[UUID] = set()
        self._lock = threading.Lock()

    def sweep(self) -> int:
        """Start what is late. Returns how many rows that was; never raises: the next sweep tries again."""
        try:
            jobs = [job for job in late() if self._begin(job[1])] if leadership.on_duty() else []
        except Exception as error:  # one sweep must not end the loop
            log.warning("sweep.lost", error=str(error))
            return 0
        finally:
            connection.close()  # back to the pool: the next sweep must not meet a dead one
        for run, key in jobs:
            self._pool.submit(self._run, run, key)
        if jobs:
            log.info("sweep.found", rows=len(jobs))
        return len(jobs)

    def close(self) -> None:
        """Waits for what is under way: an order that was claimed is sent and written down."""
        self._pool.shutdown(cancel_futures=True)

    def _begin(self, key: UUID) -> bool:
        with self._lock:
            new = key not in self._under_way
            self._under_way.add(key)
            return new

    def _run(self, run: Callable[[str], None], key: UUID) -> None:
        try:
            run(str(key))
        except Exception:  # one row's fault is not the others'
            log.exception("sweep.failed", key=str(key))
        finally:
            connection.close()
            with self._lock:
                self._under_way.discard(key)
