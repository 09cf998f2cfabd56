from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db.models.functions import Now

from leadership import keeper, store
from leadership.keeper import Keeper
from leadership.models import Lease
from tests import factories
from tests.database import without_controls
from tests.integration.ops.conftest import house, own_checklist  # noqa: F401 (fixtures)
from tests.integration.trading.execution.conftest import bench, later, venues  # noqa: F401 (fixtures)

TTL = 20


@pytest.fixture
def lock_on() -> Iterator[None]:
    """FEATURE_LEADER_LOCK=1 for this process."""
    before, instance = settings.ENV, settings.INSTANCE
    settings.ENV = before.model_copy(update={"feature_leader_lock": True, "leader_lock_ttl_sec": TTL})
    yield
    settings.ENV, settings.INSTANCE = before, instance


@pytest.fixture
def desk(transactional_db: None, lock_on: None) -> None:
    """People, configuration, and a lease that is free."""
    factories.make_desk()
    Lease.objects.update(state="FREE", owner="")


@pytest.fixture
def link() -> Iterator[psycopg.Connection[Any]]:
    """A connection as a keeper has it."""
    with keeper.connect() as found:
        yield found


@pytest.fixture
def keeper_of() -> Iterator[Callable[[str], Keeper]]:
    """`keeper_of("a")` is the keeper of instance a, in this process."""
    made: list[Keeper] = []

    def make(instance: str) -> Keeper:
        class Its(Keeper):
            me = instance

        made.append(Its())
        return made[-1]

    yield make
    for each in made:
        each.close()


def begin(link: "psycopg.Connection[Any]", me: str, how: str = "free", ttl: float | None = TTL) -> int:
    """Take the lease as it is."""
    cursor = link.cursor()
    fence = store.begin_term(cursor, store.read(cursor), me=me, host="h", how=how, ttl_sec=ttl)
    assert fence is not None
    return fence


def silent_for(seconds: float) -> None:
    """The holder's last heartbeat was so long ago."""
    with without_controls():
        Lease.objects.update(
            renewed_at=_ago(seconds), expires_at=_ago(seconds - settings.ENV.leader_lock_ttl_sec)
        )


def _ago(seconds: float) -> Any:
    return Now() - timedelta(seconds=seconds)
