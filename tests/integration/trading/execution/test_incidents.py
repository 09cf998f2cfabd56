"""What of trading raises an incident: a rescue, an order in doubt, a flatten that nobody confirms."""

from ops.incidents.timeline import timeline
from ops.models import Incident, IncidentEvent
from tests.integration.trading.execution.bench import A, B, Bench, configure
from tests.integration.trading.execution.test_flatten import flatten
from trading.execution import machine
from trading.models import OrderIntent


def test_a_rescue(bench: Bench) -> None:
    row = bench.open()
    bench.reject(B)
    assert bench.drive(row).state == "FLAT_AFTER_RESCUE"
    found = Incident.objects.get(code="execution.rescued")
    assert found.source == f"execution.rescued:{row.pk}"
    assert IncidentEvent.objects.get(incident=found).data == {"state": "RESCUE_REVERSE"}
    kinds = [line["kind"] for line in timeline(found)]
    moves = [f"{m.before} → {m.after}" for m in row.transitions.order_by("pk")]
    assert [kind for kind in kinds if "→" in kind] == moves
    assert {"approval.approve executed", "trading.execute accepted"} <= set(kinds)


def test_a_good_execution_raises_nothing(bench: Bench) -> None:
    assert bench.drive(bench.open()).state == "BALANCED"
    assert not Incident.objects.exists()


def test_an_order_whose_fate_is_unknown(bench: Bench) -> None:
    row = bench.open()
    bench.fault(A, "venue_down", "any")
    assert machine.drive(row.pk) is not None
    assert not Incident.objects.exists(), "a doubt that may pass in a second is no alarm"
    configure(unknown_max_ms=1)
    machine.drive(row.pk)
    order = OrderIntent.objects.get(venue=A)
    found = Incident.objects.get(code="order.unknown")
    assert (found.source, found.occurrences) == (f"order.unknown:{order.client_order_id}", 1)
    assert Incident.objects.get(code="execution.quarantined").severity == "P0"
    assert "WORKING → UNKNOWN" in [line["kind"] for line in timeline(found)]


def test_a_flatten_that_nobody_confirms(bench: Bench) -> None:
    configure(flatten_deadline_sec=1)
    bench.drive(bench.open())
    bench.fault(A, "venue_down", "any")
    job = flatten()
    found = Incident.objects.get(code="flatten.unverified")
    assert (found.source, found.severity) == (f"flatten.unverified:{job.pk}", "P0")
    assert found.summary.startswith("UNVERIFIED: ")
