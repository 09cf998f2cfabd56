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
