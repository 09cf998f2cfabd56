"""The exercise of stopping, and that it can fail."""

import pytest

from ops.models import AuditEntry, Incident
from tests import factories
from trading import drill, panic


@pytest.mark.django_db(transaction=True)
def test_sixty_orders_and_three_positions_are_out_and_it_is_on_record() -> None:
    factories.make_desk()
    said: list[str] = []
    assert drill.run(said.append)
    entry = AuditEntry.objects.get(action="trading.drill")
    assert entry.verdict == "passed"
    assert entry.after is not None
    assert (entry.after["orders"], set(entry.after["left"].values())) == (60, {0})
    assert sum("flat" in line for line in said) >= 3


@pytest.mark.django_db(transaction=True)
def test_a_drill_that_leaves_something_is_an_incident(monkeypatch: pytest.MonkeyPatch) -> None:
    factories.make_desk()
    monkeypatch.setattr(panic, "_cancel", lambda *_: False)
    assert not drill.run(lambda _: None)
    assert AuditEntry.objects.get(action="trading.drill").verdict == "failed"
    assert Incident.objects.filter(code="drill.failed").exists()
