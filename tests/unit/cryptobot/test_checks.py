import pytest
from pytest_django.fixtures import Settings

from cryptobot.checks import tasks_end_before_they_are_delivered_again


def test_the_settings_as_they_are_pass() -> None:
    assert tasks_end_before_they_are_delivered_again() == []


@pytest.mark.parametrize("limit", [600, 601])
def test_a_task_may_not_outlive_its_message(settings: Settings, limit: int) -> None:
    settings.CELERY_TASK_TIME_LIMIT = limit
    assert [error.id for error in tasks_end_before_they_are_delivered_again()] == ["cryptobot.E001"]
