"""Waking a worker. A message is only a hint: the rows say what is to be done, and the sweeper reads them.

Celery loses messages when workers die (spec 5); nothing here may matter when it does.
"""

from datetime import timedelta
from uuid import UUID

import structlog
from celery import current_app
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from trading.models import Execution, FlattenJob

log = structlog.get_logger()
#: A row this late has lost its wake-up (or its driver).
LATE = timedelta(seconds=1)


def queue() -> str:
    return f"execution.{settings.INSTANCE}"


def nudge(task: str, key: UUID, *, after: timedelta = timedelta(0)) -> None:
    """Ask for `task` on commit. A broker that is down costs at most one sweep."""

    def send() -> None:
        try:
            current_app.send_task(
                task, args=[str(key)], queue=queue(), countdown=max(after.total_seconds(), 0) or None
            )
        except OperationalError as error:
            log.warning("nudge.lost", task=task, key=str(key), error=str(error))

    transaction.on_commit(send, robust=True)  # committed is committed, whatever becomes of the hint


def sweep() -> int:
    """Nudge every row whose time has gone by. Returns how many."""
    late = timezone.now() - LATE
    due = [
        ("trading.drive", pk)
        for pk in Execution.objects.filter(next_at__lt=late).values_list("pk", flat=True)
    ]
    due += [
        ("trading.flatten", pk)
        for pk in FlattenJob.objects.filter(next_at__lt=late).values_list("pk", flat=True)
    ]
    for task, pk in due:
        nudge(task, pk)
    return len(due)
