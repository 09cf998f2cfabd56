"""Every process of a desk writes a row every two seconds: who it is, what it runs, how it is.

The row is written by a thread, and a thread goes on when the main loop hangs. So the main loop leaves traces
in a `Progress`, the row carries their ages, and whoever judges the row judges those too.
"""

import os
import threading
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import connection
from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now
from django.utils import timezone

from ops import config, hooks
from ops.models import ProcessHeartbeat

log = structlog.get_logger()
INTERVAL_SEC = 2.0


class Progress:
    """Traces of a main loop: its ticks and the work it has under way. The loop writes, the beat reads.

    in_loop: the loop itself does the work, so it cannot tick meanwhile and the work's own age counts.
    """

    def __init__(self, *, in_loop: bool = False) -> None:
        self._in_loop = in_loop
        self._ticked_at = time.monotonic()
        self._under_way: dict[str, tuple[float, str]] = {}

    def tick(self) -> None:
        """The loop has come round again."""
        self._ticked_at = time.monotonic()

    def begin(self, key: str, what: str) -> None:
        """Work `key` starts."""
        self._under_way[key] = (time.monotonic(), what)

    def end(self, key: str) -> None:
        """Work `key` ended; the loop that did it has come round as well."""
        self._under_way.pop(key, None)
        self.tick()

    def health(self) -> dict[str, Any]:
        """`loop_age_sec` (null while the loop itself works), and of the oldest work under way `busy_sec` and
        `busy_with` (null when idle)."""
        now = time.monotonic()
        oldest = min(self._under_way.copy().values(), default=None)
        return {
            "loop_age_sec": None if oldest and self._in_loop else round(now - self._ticked_at, 2),
            "busy_sec": round(now - oldest[0], 2) if oldest else None,
            "busy_with": oldest[1] if oldest else None,
            "under_way": len(self._under_way),
        }


class Heart:
    """A running beat; `stop()` ends it (tests: a process takes its heart with it)."""

    def __init__(self, role: str, progress: Progress) -> None:
        self.role, self.progress = role, progress
        self.started_at = timezone.now()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"heartbeat-{role}", daemon=True)

    def start(self) -> "Heart":
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        lost = False
        while True:
            try:
                beat(self.role, started_at=self.started_at, health=self.progress.health())
                lost = False
            except Exception as error:  # a heart goes on beating
                if not lost:  # once, not every two seconds for as long as the database is away
                    log.warning("heartbeat.lost", role=self.role, error=str(error))
                lost = True
            finally:
                connection.close()  # back to the pool: the next beat must not meet a dead connection
            if self._stopping.wait(INTERVAL_SEC):
                return


def beat_forever(role: str, progress: Progress) -> Heart:
    """Start this process's heartbeat in a daemon thread."""
    hooks.build()  # now: what this process loaded, not what lies on the disk later
    return Heart(role, progress).start()


def beat(role: str, *, started_at: datetime, health: dict[str, Any]) -> None:
    """Write this process's row, on the database's clock."""
    values: dict[str, Any] = {
        "pid": os.getpid(),
        "build": hooks.build(),
        "config_version": _config_version(),
        "health": health,
        "started_at": started_at,
        "at": Now(),
    }
    mine = ProcessHeartbeat.objects.filter(instance=settings.INSTANCE, role=role)
    if not mine.update(**values):
        row = ProcessHeartbeat(instance=settings.INSTANCE, role=role, **values)
        ProcessHeartbeat.objects.bulk_create([row], ignore_conflicts=True)


def _config_version() -> int:
    """0 while no configuration is active yet."""
    try:
        return config.active().version
    except LookupError:
        return 0


def rows(instance: str | None = None) -> dict[tuple[str, str], tuple[ProcessHeartbeat, timedelta]]:
    """(instance, role) → row and its age by the database's clock; of one instance or of all."""
    age = ExpressionWrapper(Now() - F("at"), output_field=DurationField())
    found = ProcessHeartbeat.objects.annotate(age=age)
    if instance is not None:
        found = found.filter(instance=instance)
    return {(row.instance, row.role): (row, row.age) for row in found}


def last_age_sec(instance: str) -> float | None:
    """Seconds since any process of `instance` gave a sign of life."""
    return min((age.total_seconds() for _, age in rows(instance).values()), default=None)


# --- what is expected --------------------------------------------------------

_expected: tuple[str, ...] = ()


def expect(roles: Iterable[str]) -> None:
    """The processes this instance should have (the composition root knows)."""
    global _expected
    _expected = tuple(roles)


def expected() -> tuple[str, ...]:
    return _expected
