"""The desk inside the test's own process: Django's client, and real paper venues in a thread beside it.

For what needs prices but no workers; a whole desk is `tests.desk`.
"""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import transaction
from django.test import Client

from cryptobot.demo_desk import PEOPLE
from ops import audit, chain_watch, config, status
from ops.models import User
from tests import factories
from trading.paper.server import PaperVenues
from trading.venues import get_hub


@contextmanager
def paper_venues(data_dir: Path, **options: Any) -> Iterator[PaperVenues]:
    """Paper venues on `data_dir`, and this process's hub talking to them."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True, name="paper-venues")
    thread.start()
    venues = PaperVenues(data_dir, **options)
    env = settings.ENV
    try:
        asyncio.run_coroutine_threadsafe(venues.start(), loop).result(20)
        settings.ENV = env.model_copy(update={"data_dir": data_dir})
        get_hub.cache_clear()
        yield venues
    finally:
        get_hub().close()
        get_hub.cache_clear()
        settings.ENV = env
        asyncio.run_coroutine_threadsafe(venues.stop(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()


def fresh_desk() -> dict[str, "Caller"]:
    """The first configuration and the people of the demo desk, logged in; in HOLD and SAFE_MODE."""
    Path(settings.STATIC_ROOT).mkdir(exist_ok=True)  # or whitenoise warns of it
    config.ensure_first_version()
    config.versions.forget()
    factories.watched()
    status.register(chain_watch.component())  # the one there is watched the chain of another test
    with transaction.atomic():  # the first people of a desk come together
        return {name: Caller(_person(name, role)) for name, role in PEOPLE.items()}


def _person(name: str, role: str) -> User:
    with factories.arranged():
        user = User.objects.create_user(name, password=f"{name}'s own password", is_staff=True)
        user.groups.set([Group.objects.get(name=role)])
        audit.touch(user)
        audit.touch_keys("ops_user_groups", user.pk)
    return user


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: Any
    headers: dict[str, str]

    def __getitem__(self, key: str) -> Any:
        return self.body[key]


class Caller:
    """Somebody at the API. `user` None: anonymous."""

    def __init__(self, user: User | None = None, *, csrf: bool = False) -> None:
        self.client = Client(enforce_csrf_checks=csrf, raise_request_exception=False)
        self.user = user
        self._logged_in = user is None

    def get(self, path: str, **headers: str) -> Reply:
        return self.send("GET", path, b"", "application/json", **headers)

    def post(self, path: str, /, **body: Any) -> Reply:
        return self.send("POST", path, json.dumps(body).encode())

    def send(
        self, method: str, path: str, raw: bytes = b"", content_type: str = "application/json", **headers: str
    ) -> Reply:
        if not self._logged_in and self.user is not None:
            self.client.force_login(self.user, backend="django.contrib.auth.backends.ModelBackend")
            self._logged_in = True
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.client.generic(method, path, raw, content_type=content_type, headers=named)
        content = b"".join(answer) if answer.streaming else answer.content
        try:
            body = json.loads(content)
        except ValueError:
            body = content.decode()
        return Reply(answer.status_code, body, {k.lower(): v for k, v in answer.items()})
