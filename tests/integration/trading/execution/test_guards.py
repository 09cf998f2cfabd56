"""Each guard: its cause made for real, HOLD and an incident, no clear while it persists, then a clear."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

import pytest
from django.conf import settings
from django.utils import timezone

from leadership.models import Lease
from ops import desk
from ops.actions.base import Refusal
from ops.models import DeskState, HoldCause, Incident
from risk import guards, runaway
from risk.models import CancelClaim, GuardState
from tests import factories
from tests.database import tamper, without_controls
from tests.integration.trading.execution.bench import A, B, Bench, configure
from trading import book_watch, watch
from trading.domain.reconcile import BreakKind
from trading.guards import _audit_chain
from trading.models import FlattenJob, ReconciliationBreak
from trading.paper import orders as paper
from trading.paper.streams.faults import StreamFault
from trading.venues import get_hub

Later = Callable[[float], None]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    watch.forget()
    yield
    watch.forget()


def look(name: str) -> list[str]:
    """As the breaker process does, with answers of now."""
    watch.forget()
    get_hub()._facts.clear()
    return guards.evaluate(name)


def row(name: str, scope: str = "") -> GuardState:
    return GuardState.objects.get(name=name, scope=scope)


@dataclass
class Cause:
    """make: brings the guard to trip; remove: takes the cause away; scope: whose guard it is."""

    guard: str
    make: Callable[[Bench, Later], None]
    remove: Callable[[Bench, Later], None]
    scope: str = ""
    level: str = "HOLD"


def _silent(bench: Bench, later: Later) -> None:
    bench.fault(A, "venue_down", "any")
    look("cancel_on_disconnect")
    later(16)


def _short_of_margin(bench: Bench, later: Later) -> None:
    """Nearly all of the equity is lost on a large long."""
    engine = bench.paper[A].engine
    engine.set_leverage("BTC", 100)
    engine.place(
        paper.NewOrder("BTC", paper.Side.BUY, Decimal(20), None, paper.TimeInForce.IOC, False, "big")
    )
    held = engine.account.position("BTC")
    down = engine.equity() / held.net - held.entry * Decimal("0.025")
    bench.price(A, "BTC", (held.entry - down).quantize(Decimal("0.1")))


def _breaches(bench: Bench, later: Later) -> None:
    bench.drive(bench.open())
    configure(max_total_notional_usdt=1000)


def _held_break(bench: Bench, later: Later) -> None:
    now = timezone.now()
    ReconciliationBreak.objects.create(
        venue=B,
        kind=BreakKind.POSITION,
        key="x",
        detail="one coin more",
        opened_at=now,
        last_seen_at=now,
        held_at=now,
    )


def _explained(bench: Bench, later: Later) -> None:
    ReconciliationBreak.objects.update(closed_at=timezone.now())


def _two_orders_where_one_is_allowed(bench: Bench, later: Later) -> None:
    configure(runaway_orders_per_min=1)
    bench.drive(bench.open())


def _heal(bench: Bench, later: Later) -> None:
    bench.heal()
    get_hub().venue(A).stay_away(0)  # type: ignore[attr-defined]


CAUSES = [
    Cause("clock_skew", lambda b, _: b.fault(A, "clock_skew", "any", ms=3_000), _heal, A),
    Cause(
        "maintenance_calendar",
        lambda b, _: b.fault(B, "reject", "public", code="50001", count=None),
        _heal,
        B,
    ),
    Cause("cancel_on_disconnect", _silent, _heal, A),
    Cause("rate_limit", lambda b, _: b.fault(A, "throttle", "public", count=None, retry_after=60), _heal, A),
    Cause("margin", _short_of_margin, lambda b, _: b.price(A, "BTC", Decimal(60_000)), A),
    Cause("kill_caps", _breaches, lambda b, _: configure(max_total_notional_usdt=100000)),
    Cause("reconciliation", _held_break, _explained, B),
    Cause(
        "runaway_breaker",
        _two_orders_where_one_is_allowed,
        lambda b, later: later(61),
    ),
]


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.guard)
def test_a_cause_for_real(bench: Bench, later: Later, cause: Cause, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "ENV", settings.ENV.model_copy(update={"risk_checks_enabled": True}))
    look(cause.guard)
    assert row(cause.guard, cause.scope).level == "OK", row(cause.guard, cause.scope).summary
    cause.make(bench, later)
    assert look(cause.guard) == [guards.label(cause.guard, cause.scope)]
    state = row(cause.guard, cause.scope)
    assert state.level == cause.level
    source = guards.source_of(state)
    scope = ("venue", cause.scope) if cause.scope else desk.DESK
    assert source in desk.blocking_sources({scope})
    assert Incident.objects.filter(code="guard.tripped", source__startswith=source).exists()
    with pytest.raises(Refusal, match="its cause persists"):
        factories.submit("alice", "risk.clear_guard", guard=cause.guard, scope=cause.scope)
    cause.remove(bench, later)
    look(cause.guard)
    assert row(cause.guard, cause.scope).level == cause.level, "latched"
    factories.submit("alice", "risk.clear_guard", guard=cause.guard, scope=cause.scope)
    state = row(cause.guard, cause.scope)
    assert (state.level, state.cleared_by.username if state.cleared_by else None) == ("OK", "alice")
    assert HoldCause.objects.get(source=source).state == HoldCause.State.RESOLVED, "the HOLD stays"


def test_a_broken_audit_chain_trips(bench: Bench) -> None:
    tamper("UPDATE ops_auditentry SET reason = 'nothing' WHERE seq = 1")
    reading = _audit_chain()()[""]
    assert (reading.level.value, "BROKEN" in reading.summary) == ("HOLD", True)


def test_a_fence_that_goes_back_trips(bench: Bench) -> None:
    _lease(7)
    look("leader")
    assert row("leader").level == "OK"
    _lease(3)
    assert look("leader") == ["leader"]
    assert row("leader").summary == "fence 3 after 7"


def _lease(fence: int) -> None:
    with without_controls():
        Lease.objects.update(fence=fence)


def test_clear_and_resume_as_the_runbook_has_it(bench: Bench, later: Later) -> None:
    """§7: the cause removed, the guard set to OK, the checklist green, two people resume."""
    _two_orders_where_one_is_allowed(bench, later)
    look("runaway_breaker")
    assert DeskState.objects.get(pk=1).mode == "HOLD"
    with pytest.raises(Refusal) as refused:
        factories.submit("alice", "ops.resume")
    assert {"guards", "hold_causes", "root_causes"} <= {line["name"] for line in refused.value.errors}
    later(61)
    look("")
    factories.submit("alice", "risk.clear_guard", guard="runaway_breaker", reason="the two orders were mine")
    incident = Incident.objects.get(code="guard.tripped", source="guard:runaway_breaker")
    assert not Incident.objects.exclude(pk=incident.pk).exists(), list(
        Incident.objects.values_list("source", "summary")
    )
    named = str(incident.pk)
    factories.submit("alice", "ops.acknowledge_incident", incident_id=named, comment="seen")
    factories.submit("alice", "ops.acknowledge_root_cause", incident_id=named, text="a limit of one")
    factories.resume()
    assert DeskState.objects.get(pk=1).mode == "RUN"


def test_a_silent_source_is_unknown_and_then_a_cause(bench: Bench, later: Later) -> None:
    look("clock_skew")
    bench.fault(A, "venue_down", "any")
    look("clock_skew")
    assert row("clock_skew", A).level == "UNKNOWN"
    later(16)
    assert look("clock_skew") == [f"clock_skew@{A}"]
    assert row("clock_skew", A).level == "UNKNOWN"
    assert f"guard:clock_skew@{A}" in desk.blocking_sources({("venue", A)})


# --- runaway guard v2 -------------------------------------------------------------------


def test_the_cancel_that_is_one_too_many_trips_instead(bench: Bench, later: Later) -> None:
    configure(max_cancels_per_min=5)
    for _ in range(5):
        assert runaway.claim(B, "BTC/USDT:USDT", strategy="capture") is None
    block = runaway.claim(B, "BTC/USDT:USDT", strategy="capture")
    assert block is not None
    assert (block.venue, block.symbol, block.count, block.limit) == (B, "BTC/USDT:USDT", 6, 5)
    assert CancelClaim.objects.count() == 5, "the sixth was never claimed"
    assert "guard:runaway_guard_v2" in desk.blocking_sources()
    assert runaway.claim(A, "ETH/USDT:USDT", strategy="other") == block, "strategies wait"
    assert runaway.claim(B, "BTC/USDT:USDT") is None, "an operator's is counted, never refused"
    shown = runaway.state()
    assert shown["per_venue"] == {B: {"BTC/USDT:USDT": 6}}
    assert shown["max_cancels_per_min"] == 5
    assert shown["last_block"]["count"] == 6
    assert 0 < shown["cooldown_remaining"] <= 120
    with pytest.raises(Refusal, match="its cause persists"):
        factories.submit("alice", "risk.clear_guard", guard="runaway_guard_v2")
    later(121)
    look("runaway_guard_v2")
    assert runaway.state()["cooldown_remaining"] == 0
    assert runaway.state()["per_venue"] == {}, "the minute is over"
    factories.submit("alice", "risk.clear_guard", guard="runaway_guard_v2", reason="runaway guard cleared")
    assert runaway.claim(B, "BTC/USDT:USDT", strategy="capture") is None


def test_a_guard_that_is_not_there(bench: Bench) -> None:
    with pytest.raises(Refusal, match="accepted: audit_chain"):
        factories.submit("alice", "risk.clear_guard", guard="nonsense")


# --- what a trip does besides holding ---------------------------------------------------


def test_a_lost_link_cancels_ours_there_as_soon_as_it_can(bench: Bench, later: Later) -> None:
    look("cancel_on_disconnect")
    _silent(bench, later)
    assert look("cancel_on_disconnect") == [f"cancel_on_disconnect@{A}"]
    job = FlattenJob.objects.get(kind="cancel", venue=A)
    assert job.next_at is not None
    assert "no answer" in job.reason


@pytest.mark.parametrize("told", [True, False])
def test_a_breached_cap_flattens_when_so_configured(
    bench: Bench, later: Later, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "ENV", settings.ENV.model_copy(update={"risk_checks_enabled": True}))
    bench.drive(bench.open())
    configure(max_total_notional_usdt=1000, flatten_on_breach=str(told).lower())
    assert look("kill_caps") == ["kill_caps"]
    assert FlattenJob.objects.filter(kind="flatten").count() == told


def test_frames_that_are_dropped_for_long_trip_and_whole_books_do_not(bench: Bench) -> None:
    configure(gap_heal_sec=1)
    followed = book_watch.watch
    try:
        followed.follow()
        _until(lambda: bench.paper[A].streams.watching and bench.paper[B].streams.watching)
        look("snapshot_diff")
        assert row("snapshot_diff", B).level == "OK"
        faults = bench.paper[B].streams.faults
        faults.add(StreamFault("gap", "public"))
        faults.add(StreamFault("gap", "snapshot", count=None))  # what would heal it
        _until(lambda: look("snapshot_diff") == [f"snapshot_diff@{B}"])
        assert "no snapshot healed" in row("snapshot_diff", B).summary
        assert row("snapshot_diff", A).level == "OK"
        with pytest.raises(Refusal, match="its cause persists"):
            factories.submit("alice", "risk.clear_guard", guard="snapshot_diff", scope=B)
        bench.paper[B].streams.faults.clear()
        _until(lambda: not [key for key in followed.gaps() if key[0] == B])
        factories.submit("alice", "risk.clear_guard", guard="snapshot_diff", scope=B)
        assert row("snapshot_diff", B).level == "OK"
    finally:
        followed.stop()


def _until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)
