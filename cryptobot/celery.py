"""The Celery app: queues, routes, beat table. Tasks are nudges; the truth is a row: all of them may be lost.

`celery -A cryptobot` finds `app` here. Nothing else imports this module except CryptobotConfig.ready,
which makes it the default app of every Django process, in every thread.
"""

import os
import warnings
from typing import Any

from celery import Celery
from celery.platforms import SecurityWarning  # type: ignore[attr-defined]
from celery.signals import beat_init, worker_ready
from kombu import Queue

from cryptobot.notify import notify

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cryptobot.settings")

from django.conf import settings

EXECUTION = f"execution.{settings.INSTANCE}"  # warm venue clients are an instance's own
HEARTBEAT = "heartbeat"
DEFAULT = "default"

# By task name; an exact name beats a pattern. tests/architecture holds every task to a line here.
ROUTES = {
    "trading.drill": {"queue": DEFAULT},
    "trading.*": {"queue": EXECUTION},
    "leadership.*": {"queue": HEARTBEAT},
    "ops.heartbeat": {"queue": HEARTBEAT},
    "ops.*": {"queue": DEFAULT},
}

# `expires`: a tick that waited longer than its period is worth nothing, the next one does its work.
BEAT = {
    "digest_journals": {"task": "ops.digest_journals", "schedule": 3600.0, "options": {"expires": 3600.0}},
    "drill": {"task": "trading.drill", "schedule": 86_400.0, "options": {"expires": 3600.0}},
    "expire_requests": {"task": "ops.expire_requests", "schedule": 30.0, "options": {"expires": 30.0}},
}

# Root is dangerous to a worker that accepts pickle; ours accepts JSON only, and containers run as root.
warnings.filterwarnings("ignore", category=SecurityWarning)

app = Celery("cryptobot")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.task_queues = [Queue(name) for name in (EXECUTION, HEARTBEAT, DEFAULT)]
app.conf.task_routes = ROUTES
app.conf.beat_schedule = BEAT
app.set_default()  # Celery's own "current app" is per thread; daphne serves requests in threads
app.autodiscover_tasks()


@worker_ready.connect
def _worker_ready(sender: Any, **_: Any) -> None:
    """An execution worker is ready when its venue clients are: the first order must not pay for them."""
    if EXECUTION in sender.app.amqp.queues.consume_from:
        from trading.execution.warm import warm_all

        warm_all()
    notify("READY=1")


@beat_init.connect
def _beat_ready(**_: Any) -> None:
    notify("READY=1")
