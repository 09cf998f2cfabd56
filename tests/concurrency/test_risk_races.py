"""Many at once against one piece of room: the gate gives out what there is, the runaway guard stops all."""

import multiprocessing
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import connection, connections, transaction

from ops import desk
from ops.config import versions
from risk import reservations, runaway
from risk.domain.gate import LegIntent, OrderIntent
from risk.models import CancelClaim, GuardState, Reservation
from risk.reservations import LegReservation
from risk.services import risk_gate
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)
A, B, BTC = "binanceusdm", "okx", "BTC/USDT:USDT"
PRICE, QTY = Decimal(50_000), Decimal("0.1")
MARKS = {(venue, BTC): PRICE for venue in (A, B)}
INTENTS, ROOM, PROCESSES, THREADS = 200, 10, 2, 16


@pytest.fixture(autouse=True)
def desk_in_run(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """100,000 USDT of room: each intent takes 10,000, so that ten fit."""
    factories.make_desk()
    monkeypatch.setattr(settings, "ENV", settings.ENV.model_copy(update={"risk_checks_enabled": True}))
    yield
    versions.forget()


def ask_and_reserve() -> bool:
    """As `trading.execute` does: gate and reservation in one transaction."""
    long, short = LegIntent(A, BTC, QTY, PRICE), LegIntent(B, BTC, -QTY, PRICE)
    try:
        with transaction.atomic():
            allowed = risk_gate(OrderIntent((long, short)), marks=MARKS).allowed
            if allowed:
                legs = [
                    LegReservation(i, v, BTC, s, QTY, PRICE)
                    for i, (v, s) in enumerate(((A, "buy"), (B, "sell")))
                ]
                reservations.reserve(uuid4(), legs)
            return allowed
    finally:
        connection.close()


def many(count: int) -> None:
    """In a process of its own."""
    connections.close_all()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda _: ask_and_reserve(), range(count)))


def test_two_hundred_intents_at_once_against_room_for_ten() -> None:
    connections.close_all()
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=many, args=(INTENTS // PROCESSES,)) for _ in range(PROCESSES)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * PROCESSES
    assert Reservation.objects.values("execution_id").distinct().count() == ROOM


def test_four_workers_that_cancel_as_fast_as_they_can() -> None:
    limit = 120
    start, blocked = threading.Barrier(4), threading.Barrier(4)
    after: list[bool] = []

    def cancel() -> None:
        try:
            start.wait()
            while runaway.claim(B, BTC, strategy="capture") is None:
                pass
            blocked.wait()
            after.append(runaway.claim(B, BTC, strategy="capture") is None)
        finally:
            connection.close()

    workers = [threading.Thread(target=cancel) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    claims = CancelClaim.objects.filter(venue=B, symbol=BTC)
    assert claims.count() == limit, "not one more than allowed, whoever asked"
    assert after == [False] * 4
    row = GuardState.objects.get(name="runaway_guard_v2", scope="")
    assert row.level == "HOLD"
    assert row.metrics["last_block"] == {
        "reason": "runaway",
        "venue": B,
        "symbol": BTC,
        "count": limit + 1,
        "limit": limit,
    }
    latest = claims.latest("at").at
    assert latest <= row.since, "none was claimed after the trip"
    assert "guard:runaway_guard_v2" in desk.blocking_sources()
