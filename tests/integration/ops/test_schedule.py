"""Two instances' beats, one sending."""

import threading
from datetime import timedelta

import pytest
from celery.beat import ScheduleEntry
from celery.schedules import schedule as every
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models.functions import Now

from cryptobot.celery import BEAT, app
from cryptobot.pulse import Scheduler
from ops import schedule
from ops.models import ScheduleClaim


@pytest.mark.django_db(transaction=True)
def test_of_many_beats_one_sends_in_a_period() -> None:
    for _ in range(3):
        sent: list[bool] = []
        start = threading.Barrier(4)

        def send(sent: list[bool] = sent, start: threading.Barrier = start) -> None:
            start.wait()
            sent.append(schedule.claim("drill", 86_400))
            connection.close()

        threads = [threading.Thread(target=send) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(sent) == 1
        ScheduleClaim.objects.update(sent_at=Now() - timedelta(days=2), instance="another")


@pytest.mark.django_db
def test_what_another_has_sent_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert schedule.claim("drill", 60)
    monkeypatch.setattr(settings, "INSTANCE", "another")
    assert not schedule.claim("drill", 60)
    ScheduleClaim.objects.update(sent_at=Now() - timedelta(seconds=45))
    assert schedule.claim("drill", 60)


@pytest.mark.django_db
def test_beat_asks_before_it_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(
        "celery.beat.PersistentScheduler.apply_async", lambda _self, entry, *_, **__: sent.append(entry.name)
    )
    beat = Scheduler(app, schedule_filename=":memory:", lazy=True)
    entry = ScheduleEntry("drill", str(BEAT["drill"]["task"]), schedule=every(60), app=app)
    beat.apply_async(entry)
    beat.apply_async(entry)
    assert sent == ["drill"]

    def gone(*_: object) -> bool:
        raise DatabaseError("no route")

    monkeypatch.setattr(schedule, "claim", gone)
    beat.apply_async(entry)  # and the beat goes on
    assert sent == ["drill"]
