"""Times are read out of rows, and an execution that is too slow opens an incident."""

from collections.abc import Callable

from django.test import Client

from ops.models import Incident
from tests.integration.trading.execution.bench import B, Bench, configure, send
from trading import selectors
from trading.execution import machine, times


def test_of_a_good_execution(bench: Bench) -> None:
    row = bench.drive(bench.open())
    seen = times.of(row)
    assert seen.send_ms is not None
    assert None not in {seen.ack_ms, seen.skew_ms, seen.hedge_ms}
    assert seen.naked_ms == 0
    assert not Incident.objects.filter(code="execution.slow").exists()


def test_of_one_that_sent_nothing(bench: Bench, later: Callable[[float], None]) -> None:
    row = bench.open()
    later(60)
    bench.drive(row)
    assert row.state == "ABORTED_CLEAN"
    assert times.of(row) == times.Times(None, None, None, None, 0)


def test_a_slow_one_opens_an_incident(bench: Bench, later: Callable[[float], None]) -> None:
    configure(slo_send_ms=500)
    row = bench.open()
    later(1.5)
    bench.drive(row)
    found = Incident.objects.get(code="execution.slow")
    assert found.source == "execution.slow:BTC/USDT:USDT"
    assert "send_ms" in found.summary
    assert "of 500" in found.summary


def test_the_screen_says_what_is_unhedged_and_since_when(bench: Bench) -> None:
    row = bench.open()
    bench.reject(B)
    machine.step(row.pk, {})
    from trading.models import OrderIntent

    send(OrderIntent.objects.values_list("pk", flat=True))
    machine.step(row.pk, {})
    row.refresh_from_db()
    marks = {(leg.venue, leg.symbol): leg.plan_price for leg in row.legs.all()}
    shown = selectors.execution(row, marks=marks)["naked"]
    assert shown["delta"] == row.legs.get(index=0).target
    assert shown["value"] == shown["delta"] * row.legs.get(index=0).plan_price
    assert shown["loss_per_percent"] == shown["value"] / 100
    assert shown["since"] == row.naked_since is not None
    assert shown["next_look_at"] is not None
    bench.drive(row)
    assert selectors.execution(row, marks={})["naked"]["delta"] == 0


def test_they_are_exported(bench: Bench) -> None:
    bench.drive(bench.open())
    text = Client().get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    exported = text.content.decode()
    for name in ("execution_send", "leg_skew", "hedge"):
        assert f'cryptobot_{name}_seconds_count{{symbol="BTC/USDT:USDT"}} 1.0' in exported
