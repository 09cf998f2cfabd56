"""Waking a worker. A message is only a hint: the rows say what is to be done, and the sweeper reads them.

Celery loses messages when workers die (spec 5); nothing here may matter when it does.
"""

from datetime import timedelta
from uuid import UUID

import structlog
from celery import current_app
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from kombu.exceptions import OperationalError

from trading.models import Execution

log = structlog.get_logger()


def queue() -> str:
    return f"execution.{settings.INSTANCE}"


def wake(executions: "QuerySet[Execution]") -> None:
    """They are looked at now, whatever was planned."""
    for key in set(executions.values_list("pk", flat=True)):
        Execution.objects.filter(pk=key).update(next_at=timezone.now())
        nudge("trading.drive", key)


def nudge(task: str, key: UUID | str, *, after: timedelta = timedelta(0)) -> None:
    """Ask for `task` on commit. A broker that is down costs at most one sweep."""

    def send() -> None:
        try:
            current_app.send_task(
                task, args=[str(key)], queue=queue(), countdown=max(after.total_seconds(), 0) or None
            )
        except OperationalError as error:
            log.warning("nudge.lost", task=task, key=str(key), error=str(error))

    transaction.on_commit(send, robust=True)  # committed is committed, whatever becomes of the hint
