"""What a person at a browser is told of leadership, on the leader, on a standby, and where nobody leads."""

import re
from collections.abc import Callable

import pytest
from django.conf import settings
from django.test import Client

from leadership.keeper import Keeper
from leadership.models import Lease
from tests.factories import person
from tests.integration.leadership.conftest import silent_for

pytestmark = pytest.mark.usefixtures("desk")


def banner() -> str:
    client = Client()
    client.force_login(person("alice"), backend="django.contrib.auth.backends.ModelBackend")
    page = client.get("/admin/").content.decode()
    found = re.search(r'<p class="desk-line" id="leadership">(.*?)</p>', page, re.DOTALL)
    text = re.sub(r"<[^>]+>", " ", found[1]) if found else ""
    return " ".join(text.split())


def test_the_page_says_who_leads(keeper_of: Callable[[str], Keeper]) -> None:
    assert "nobody leads" in banner()
    other = keeper_of("another")
    other.look()
    Lease.objects.update(host="rack-2:8000")
    assert "standby" in banner()
    assert "another (rack-2:8000) leads; only stopping works here" in banner()
    assert re.search(r"term \d+, heartbeat \d+\.\d s ago", banner())
    silent_for(settings.ENV.stale_sec + 1)
    ours = keeper_of(settings.INSTANCE)
    ours.look()
    assert f"this instance leads as {Lease.objects.get()}" in banner()
    Lease.objects.update(draining_at=Lease.objects.get().renewed_at)
    assert "gives its lease away" in banner()


def test_without_a_lock_there_is_nothing_to_say() -> None:
    settings.ENV = settings.ENV.model_copy(update={"feature_leader_lock": False})
    assert banner() == ""
