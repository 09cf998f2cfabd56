import pytest
from pytest_django.fixtures import Settings

from cryptobot.checks import NUDGES, messages_are_nudges, tasks_end_before_they_are_delivered_again


def test_the_settings_as_they_are_pass() -> None:
    assert tasks_end_before_they_are_delivered_again() == messages_are_nudges() == []


@pytest.mark.parametrize("limit", [600, 601])
def test_a_task_may_not_outlive_its_message(settings: Settings, limit: int) -> None:
    settings.CELERY_TASK_TIME_LIMIT = limit
    assert [error.id for error in tasks_end_before_they_are_delivered_again()] == ["cryptobot.E001"]


@pytest.mark.parametrize("name", NUDGES)
def test_each_setting_that_the_crash_safety_rests_on(settings: Settings, name: str) -> None:
    setattr(settings, name, "something else")
    (error,) = messages_are_nudges()
    assert error.msg.startswith(f"{name} is 'something else'")
