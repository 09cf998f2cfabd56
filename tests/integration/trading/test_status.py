"""Trading's components on real paper venues and real rows, each turned red by breaking what it looks at."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from ops import hooks, metrics, status
from ops.config import versions
from ops.status import Row, Status
from tests import factories
from tests.database import as_superuser
from tests.in_process import paper_venues
from trading import watch
from trading.models import Execution, Leg, OrderIntent, Position
from trading.paper.faults import Fault
from trading.paper.server import PaperVenues
from trading.venues.hub import FactKey

BTC = "BTC/USDT:USDT"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PaperVenues]:
    with paper_venues(tmp_path_factory.mktemp("venues"), seed=1) as venues:
        yield venues


@pytest.fixture
def venues(running: PaperVenues, db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[PaperVenues]:
    """A started desk; every look asks the venues anew."""
    factories.make_desk()
    monkeypatch.setattr(watch, "FRESH_MS", 0)
    monkeypatch.setattr(watch, "PATIENCE_SEC", 10.0)
    watch.forget()
    status.forget()
    yield running
    for venue in running.venues.values():
        venue.faults.clear()
    watch.forget()
    status.forget()
    versions.forget()


def look(name: str) -> Row:
    """One component, evaluated now."""
    _, _, provider = status._providers["venues"]
    return status.evaluate(status._components.get(name) or {c.id: c for c in provider()}[name])


# --- venues ------------------------------------------------------------------


def test_venues_that_answer(venues: PaperVenues) -> None:
    for name in ("binanceusdm", "okx"):
        connected, books = look(f"venue.{name}"), look(f"books.{name}")
        assert (connected.status, books.status) == (Status.OK, Status.OK)
        assert abs(connected.metrics["clock_offset_ms"]) < 1000
        assert set(books.metrics) == {BTC, "ETH/USDT:USDT", "SOL/USDT:USDT"}
        assert connected.source_age_sec is not None
    assert look("positions").status is Status.OK
    assert look("paper_venues").status is Status.OK


def test_a_venue_that_is_down(venues: PaperVenues) -> None:
    venues["okx"].faults.add(Fault(effect="venue_down"))
    assert look("venue.okx").status is Status.ERROR
    assert look("books.okx").status is Status.ERROR
    assert look("positions").status is Status.UNKNOWN, "an unread venue is not a match"
    assert look("venue.binanceusdm").status is Status.OK
    assert look("paper_venues").status is not Status.OK
    venues["okx"].faults.clear()
    assert look("venue.okx").status is Status.OK


def test_a_book_without_a_side(venues: PaperVenues) -> None:
    control = venues["okx"].control
    assert control is not None
    control.change_market({"symbol": "BTC-USDT-SWAP", "withdraw": "bids"})
    try:
        found = look("books.okx")
    finally:
        control.clear_market({})
    assert found.status is Status.ERROR
    assert found.summary == f"{BTC}: a side is empty"


def test_a_venue_that_hangs_keeps_its_last_word_and_its_age(
    venues: PaperVenues, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trading import desk_config

    config = desk_config.active().trading
    before = watch.look(config)
    venues["okx"].faults.add(Fault(effect="delay", kind="public", count=None, ms=1_000))
    monkeypatch.setattr(watch, "PATIENCE_SEC", 0.01)
    after = watch.look(config)
    clock = FactKey("clock", "okx")
    assert after[clock] is before[clock]


def test_injected_faults_are_named(venues: PaperVenues) -> None:
    venues["okx"].faults.add(Fault(effect="reject", kind="cancel"))
    found = look("paper_venues")
    assert (found.status, found.metrics) == (Status.WARN, {"faults": {"okx": 1}})


def test_no_endpoints_at_all(venues: PaperVenues, settings: Any, tmp_path: Any) -> None:
    from trading.venues import get_hub

    settings.ENV = settings.ENV.model_copy(update={"data_dir": tmp_path})
    get_hub().close()
    get_hub.cache_clear()
    try:
        assert look("venue.okx").status is Status.ERROR
        assert look("paper_venues").status is Status.UNKNOWN
    finally:
        get_hub().close()
        get_hub.cache_clear()


# --- rows --------------------------------------------------------------------


@pytest.fixture
def started(db: None) -> Iterator[None]:
    """A started desk without venues: what rests on rows alone needs none."""
    factories.make_desk()
    yield
    versions.forget()


def an_execution(state: str, *, since: datetime | None = None, **fields: Any) -> Execution:
    """A row as the machine leaves it, without the way there: what allowed it is not the matter here."""
    with as_superuser():
        _unguarded()
        return Execution.objects.create(
            plan_id=uuid4(),
            state=state,
            symbol=BTC,
            policy="simultaneous",
            plan={},
            plan_digest="d",
            config_version=1,
            fence=1,
            since=since,
            **fields,
        )


def an_order(execution: Execution, state: str, *, sent_ago: float, **fields: Any) -> OrderIntent:
    sent = timezone.now() - timedelta(seconds=sent_ago)
    with as_superuser():
        _unguarded()
        one = Decimal(1)
        leg = Leg.objects.create(
            execution=execution,
            index=execution.legs.count(),
            venue="okx",
            symbol=BTC,
            side="buy",
            target=one,
            lot=one,
            min_qty=one,
            tick=one,
            plan_price=one,
        )
        return OrderIntent.objects.create(
            **{
                "leg": leg,
                "attempt": 1,
                "purpose": "open",
                "client_order_id": uuid4().hex,
                "venue": "okx",
                "symbol": BTC,
                "side": "buy",
                "qty": one,
                "price": one,
                "time_in_force": "IOC",
                "state": state,
                "fence": 1,
                "config_version": 1,
                "written_at": sent,
                "sent_at": sent,
            }
            | fields
        )


def _unguarded() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")


def ago(seconds: float) -> datetime:
    return timezone.now() - timedelta(seconds=seconds)


@pytest.mark.parametrize(("late", "expected"), [(1, Status.OK), (7, Status.WARN), (60, Status.ERROR)])
def test_work_that_nobody_does(started: None, late: float, expected: Status) -> None:
    assert look("outbox").summary == "nothing due"
    an_execution("WORKING", next_at=ago(late))
    found = look("outbox")
    assert (found.status, found.metrics["due"]) == (expected, 1)


@pytest.mark.parametrize(("sent_ago", "expected"), [(1, Status.WARN), (600, Status.ERROR)])
def test_an_unknown_order(started: None, sent_ago: float, expected: Status) -> None:
    assert look("orders_unknown").status is Status.OK
    an_order(an_execution("UNKNOWN"), "UNKNOWN", sent_ago=sent_ago)
    assert look("orders_unknown").status is expected
    assert hooks.fact("unresolved_orders") == 1


@pytest.mark.parametrize(
    ("state", "since", "expected"),
    [
        ("BALANCED", 100, Status.OK),
        ("WORKING", 100, Status.OK),
        ("SETTLED", 100, Status.OK),
        ("IMBALANCED", 1, Status.WARN),
        ("RESCUE_REVERSE", 100, Status.ERROR),
        ("RESIDUAL_HELD", 1, Status.WARN),
        ("QUARANTINED", 1, Status.ERROR),
    ],
)
def test_executions_that_somebody_should_look_at(
    started: None, state: str, since: float, expected: Status
) -> None:
    an_execution(state, since=ago(since))
    assert look("executions").status is expected


def test_a_dry_run_is_nobodys_worry(started: None) -> None:
    an_execution("QUARANTINED", dry_run=True)
    assert look("executions").status is Status.OK


def test_a_position_that_the_venue_does_not_have(venues: PaperVenues) -> None:
    row = Position.objects.create(venue="okx", symbol=BTC, net=Decimal("0.5"))
    Position.objects.filter(pk=row.pk).update(updated_at=ago(-60))
    assert look("positions").status is Status.OK, "it moved after the venue was asked"
    Position.objects.filter(pk=row.pk).update(updated_at=ago(60))
    found = look("positions")
    assert (found.status, found.metrics["mismatches"]) == (Status.ERROR, 1)
    assert found.summary == f"okx {BTC}: ours 0.5, theirs 0"


def test_a_position_on_the_move_is_no_mismatch(venues: PaperVenues) -> None:
    row = Position.objects.create(venue="okx", symbol=BTC, net=Decimal("0.5"))
    Position.objects.filter(pk=row.pk).update(updated_at=ago(60))
    an_order(an_execution("WORKING"), "SENDING", sent_ago=1)
    assert look("positions").status is Status.OK


# --- what the faces say of it ------------------------------------------------


def test_faces(venues: PaperVenues) -> None:
    an_order(an_execution("WORKING"), "ACKED", sent_ago=1)
    status.forget()
    state = Client().get("/api/ui/state").json()
    assert state["open"] == {"approvals": 0, "hold_causes": 0, "positions": 0, "executions": 1, "orders": 1}
    overview = Client().get("/api/ui/status/overview").json()
    assert overview["risk_snapshot"]["total_notional_usdt"] == "0"
    ready = Client().get("/live-readiness").json()
    assert set(ready["venues"]) == {"binanceusdm", "okx", "bybit"}
    assert all(isinstance(venue["offset_ms"], int) for venue in ready["venues"].values())
    assert all(venue["fenced"] for venue in ready["venues"].values())


def test_a_venue_of_no_pair_is_connected_and_has_no_books_to_grow_old(venues: PaperVenues) -> None:
    assert look("venue.bybit").status is Status.OK
    assert "books.bybit" not in {row.id for row in status.snapshot().rows}


def test_at_least_twenty_components(venues: PaperVenues) -> None:
    assert len(status.snapshot().rows) >= 20


def test_order_times_are_histograms_of_rows(started: None, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = ago(100)
    an_order(
        an_execution("BALANCED"),
        "FILLED",
        sent_ago=0,
        written_at=sent - timedelta(milliseconds=10),
        sent_at=sent,
        acked_at=sent + timedelta(milliseconds=70),
    )
    an_order(an_execution("WORKING", dry_run=True), "ACKED", sent_ago=0)  # not a real one
    monkeypatch.setattr(metrics, "_sources", {"order_times": metrics._sources["order_times"]})
    text = metrics.exposition().decode()
    for line in (
        'cryptobot_order_send_seconds_bucket{le="0.005",venue="okx"} 0.0',
        'cryptobot_order_send_seconds_bucket{le="0.01",venue="okx"} 1.0',
        'cryptobot_order_send_seconds_count{venue="okx"} 1.0',
        'cryptobot_order_ack_seconds_bucket{le="0.05",venue="okx"} 0.0',
        'cryptobot_order_ack_seconds_bucket{le="0.1",venue="okx"} 1.0',
        'cryptobot_order_ack_seconds_bucket{le="+Inf",venue="okx"} 1.0',
        'cryptobot_order_ack_seconds_sum{venue="okx"} 0.07',
    ):
        assert line in text.splitlines()
