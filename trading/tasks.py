"""Celery entry points: find by id, see that it is still wanted, one service call."""

from uuid import UUID

from celery import shared_task

from leadership import services as leadership
from trading import drill as exercise
from trading.execution import flatten as flattening
from trading.execution import machine
from trading.execution import nudge as nudging
from trading.services import setup


@shared_task(name="trading.drive")
def drive(execution_id: str) -> None:
    key = UUID(execution_id)
    if machine.wanted(key):
        again = machine.drive(key)
        if again is not None:
            nudging.nudge("trading.drive", key, after=again)


@shared_task(name="trading.flatten")
def flatten(job_id: str) -> None:
    key = UUID(job_id)
    if not leadership.on_duty():
        return  # the leader's sweep finds it
    again = flattening.advance(key)
    if again is not None:
        nudging.nudge("trading.flatten", key, after=again)


@shared_task(name="trading.setup_venue")
def setup_venue(venue: str) -> None:
    setup.set_up(venue)


@shared_task(name="trading.drill")
def drill() -> None:
    """Beat runs on every instance; the exercise is the leader's."""
    if leadership.current().leader:
        exercise.run(lambda _: None)
