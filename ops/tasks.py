"""Celery entry points of the frame: one service call each."""

from celery import shared_task

from ops import digests, secrets_for
from ops.actions import approvals, once


@shared_task(name="ops.expire_requests")
def expire_requests() -> None:
    approvals.expire()
    once.prune()
    secrets_for.prune()


@shared_task(name="ops.digest_journals")
def digest_journals() -> None:
    digests.run()
