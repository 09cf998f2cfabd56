"""Mistakes between settings, found by `manage.py check`."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register


@register
def tasks_end_before_they_are_delivered_again(**_: Any) -> list[CheckMessage]:
    """With acks_late the broker delivers an unacknowledged task again after the visibility time-out."""
    visibility = settings.CELERY_BROKER_TRANSPORT_OPTIONS["visibility_timeout"]
    if visibility > settings.CELERY_TASK_TIME_LIMIT:
        return []
    return [
        Error(
            f"CELERY_TASK_TIME_LIMIT ({settings.CELERY_TASK_TIME_LIMIT} s) must be shorter than the broker's "
            f"visibility_timeout ({visibility} s): a running task would be given to a second worker",
            id="cryptobot.E001",
        )
    ]


#: A message only wakes a worker: it may come twice or never, and must never be the only copy of anything.
NUDGES = {
    "CELERY_TASK_ACKS_LATE": True,
    "CELERY_TASK_REJECT_ON_WORKER_LOST": True,
    "CELERY_WORKER_PREFETCH_MULTIPLIER": 1,
    "CELERY_TASK_PUBLISH_RETRY": False,
    "CELERY_TASK_SERIALIZER": "json",
    "CELERY_ACCEPT_CONTENT": ["json"],
    "CELERY_TASK_IGNORE_RESULT": True,
}


@register
def messages_are_nudges(**_: Any) -> list[CheckMessage]:
    """What the execution's crash safety was tested with (spec 5)."""
    return [
        Error(f"{name} is {getattr(settings, name, None)!r}, must be {value!r}", id="cryptobot.E002")
        for name, value in NUDGES.items()
        if getattr(settings, name, None) != value
    ]
