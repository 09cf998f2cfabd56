"""An alarm reaches its routes: over real HTTP, with one channel failing; nobody is told twice for nothing."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from ops import config
from ops.actions.base import Refusal
from ops.config import versions
from ops.incidents import service as incidents
from ops.models import ConfigVersion, Delivery, Incident
from ops.notifications import service
from ops.notifications.config import NotificationsConfig
from ops.notifications.service import Sender
from ops.status import Status
from tests import factories


class Channel:
    """A webhook that takes messages, or refuses the first `refuses` of them."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.refuses = 0
        channel = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                refused, channel.refuses = channel.refuses > 0, max(0, channel.refuses - 1)
                if not refused:
                    channel.heard.append(json.loads(body))
                self.send_response(503 if refused else 200)
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"json://127.0.0.1:{self._server.server_port}/"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def channel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Channel]:
    there = Channel()
    monkeypatch.setenv("NOTIFY_DESK", there.url)
    monkeypatch.delenv("NOTIFY_ON_CALL", raising=False)
    yield there
    there.close()


@pytest.fixture(autouse=True)
def desk(db: None) -> Iterator[None]:
    factories.make_desk()
    yield
    versions.forget()


def deliver() -> None:
    """Everything due now, one try each, here."""
    sender, rules = Sender(), config.active().section(NotificationsConfig)
    for row in Delivery.objects.filter(state="due", next_at__lte=timezone.now()):
        sender.deliver(row, rules)
    sender.close()


def raised(code: str = "execution.rescued", source: str = "x", summary: str = "a leg alone") -> Incident:
    return incidents.raise_incident(code, source, summary)


def states() -> dict[str, str]:
    return dict(Delivery.objects.values_list("route", "state"))


def test_an_alarm_goes_where_its_severity_goes(channel: Channel) -> None:
    raised()
    assert states() == {"desk": "due"}, "a P1 wakes nobody"
    deliver()
    assert states() == {"desk": "sent"}
    (message,) = channel.heard
    assert message["title"].startswith("P1 execution.rescued: x")
    assert "a leg alone" in message["message"]
    raised("flatten.unverified", "y")
    assert Delivery.objects.filter(route="on_call", state="due").exists()


def test_a_channel_that_fails_is_tried_again_and_holds_up_no_other(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Channel()
    monkeypatch.setenv("NOTIFY_ON_CALL", other.url)
    channel.refuses = 1
    raised("flatten.unverified", "y")
    deliver()
    assert states() == {"desk": "due", "on_call": "sent"}
    row = Delivery.objects.get(route="desk")
    assert (row.attempts, "1 of 1 channels failed" in row.error) == (1, True)
    assert row.next_at > timezone.now()
    assert channel.url not in row.error, "the address holds a token"
    Delivery.objects.filter(pk=row.pk).update(next_at=timezone.now())
    deliver()
    assert states() == {"desk": "sent", "on_call": "sent"}
    other.close()


def test_after_the_last_try_it_is_failed_and_the_page_is_red(channel: Channel) -> None:
    channel.refuses = 99
    raised()
    for _ in range(8):
        Delivery.objects.update(next_at=timezone.now())
        deliver()
    assert states() == {"desk": "failed"}
    assert service.reading().status is Status.ERROR


def test_a_route_without_an_address_is_said_to_have_none(channel: Channel) -> None:
    raised("flatten.unverified", "y")
    deliver()
    row = Delivery.objects.get(route="on_call")
    assert (row.state, row.attempts, row.error) == ("failed", 1, "NOTIFY_ON_CALL is not set")
    shown = service.reading()
    assert (shown.status, "without an address: on_call" in shown.summary) == (Status.WARN, True)


def test_the_same_alarm_again_tells_nobody_twice_at_once(channel: Channel) -> None:
    for number in range(5):
        raised(summary=f"say {number}")
    assert Delivery.objects.count() == 1
    Delivery.objects.update(created_at=timezone.now() - timedelta(minutes=6))
    raised(summary="something new")
    assert list(Delivery.objects.order_by("id").values_list("why", flat=True)) == ["raised", "again"]


def test_a_p0_that_nobody_acknowledges_goes_on_to_the_next_once(channel: Channel) -> None:
    raised("flatten.unverified", "y")
    assert service.escalate() == 0
    with time_machine.travel(timezone.now() + timedelta(minutes=11)):
        _escalates_once()


def _escalates_once() -> None:
    assert (service.escalate(), service.escalate()) == (1, 0)
    assert Delivery.objects.filter(route="on_call", why="escalated").count() == 1


def test_the_test_message(channel: Channel) -> None:
    factories.submit("alice", "ops.test_notification", route="desk")
    deliver()
    assert channel.heard[0]["title"] == "Test message"
    with pytest.raises(Refusal, match="accepted: desk, on_call"):
        factories.submit("alice", "ops.test_notification", route="moon")


def test_an_incident_is_not_lost_for_want_of_a_configuration(channel: Channel) -> None:
    with factories.arranged():
        ConfigVersion.objects.update(active=False)
        for version in ConfigVersion.objects.all():
            from ops import audit

            audit.touch(version)
    versions.forget()
    assert raised().pk
    assert not Delivery.objects.exists()


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.django_db(transaction=True)
def test_a_sender_finds_what_is_due_and_two_never_send_the_same(channel: Channel) -> None:
    for number in range(20):
        raised(source=f"x{number}")
    senders = [Sender(), Sender()]
    for sender in senders * 2:
        sender.look()
    wait_for(lambda: Delivery.objects.filter(state="sent").count() == 20)
    assert len(channel.heard) == 20
    for sender in senders:
        sender.close()
