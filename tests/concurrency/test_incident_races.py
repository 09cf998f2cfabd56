"""The same alarm from several places at once, and an alarm that meets the closing of its incident."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from ops import audit
from ops.config import versions
from ops.incidents.service import raise_incident
from ops.models import Incident, IncidentEvent
from tests import factories
from tests.factories import submit

pytestmark = pytest.mark.django_db(transaction=True)
AT_ONCE, ROUNDS = 4, 6


@pytest.fixture(autouse=True)
def house() -> Iterator[None]:
    factories.make_desk()
    yield
    assert audit.verify().ok
    assert None not in IncidentEvent.objects.values_list("audit_seq", flat=True)
    seqs = list(IncidentEvent.objects.values_list("audit_seq", flat=True))
    assert len(seqs) == len(set(seqs)), "each line has an entry of its own"
    versions.forget()


def together(*calls: Callable[[], Any]) -> list[Any]:
    """Results of calls that start at the same moment, each on a connection of its own."""
    gate = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        try:
            gate.wait()
            return call()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(run, call) for call in calls]]


def test_one_incident_however_many_raise_it() -> None:
    for n in range(ROUNDS):
        together(*[lambda n=n: raise_incident("order.unknown", f"race:{n}", "x")] * AT_ONCE)
    found = Incident.objects.values_list("occurrences", flat=True)
    assert list(found) == [AT_ONCE] * ROUNDS


def test_an_alarm_that_meets_the_closing_is_in_one_or_the_next() -> None:
    for n in range(ROUNDS):
        row = raise_incident("order.unknown", f"race:{n}", "x")
        key = str(row.pk)
        submit("alice", "ops.acknowledge_incident", incident_id=key, comment="seen")
        submit("alice", "ops.resolve_incident", incident_id=key, resolution="gone")
        again, _ = together(
            lambda n=n: raise_incident("order.unknown", f"race:{n}", "x"),  # type: ignore[misc]
            lambda key=key: submit("alice", "ops.close_incident", incident_id=key),  # type: ignore[misc]
        )
        row.refresh_from_db()
        assert row.state == "closed"
        rows = Incident.objects.filter(source=f"race:{n}")
        assert sum(rows.values_list("occurrences", flat=True)) == 2
        assert again.pk == row.pk or again.state == "open"
