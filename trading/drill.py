"""The exercise of stopping: sixty orders and three positions on paper venues of its own, out as `panic` does.

It runs on this machine with this desk's code, and touches neither the desk's account nor its state. What it
found is an audit entry: that stopping works is shown, not believed.
"""

import asyncio
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.db import transaction

from ops import audit
from ops.incidents.service import alarm
from trading import panic
from trading.paper.faults import Fault
from trading.paper.orders import NewOrder, Side, TimeInForce
from trading.paper.server import PaperVenues
from trading.venues.endpoints import load_endpoints
from trading.venues.hub import VenueHub

ORDERS_EACH, LATENCY_MS, PREFIX = 20, 50, "cb"
START_SEC = 20


def run(say: Any = print) -> bool:
    """One exercise, written down. False when the venues did not confirm that everything was out."""
    with tempfile.TemporaryDirectory(prefix="cryptobot-drill-") as folder, _venues(Path(folder)) as venues:
        hub = VenueHub(lambda: load_endpoints("paper", Path(folder), {}))
        for venue in venues.venues.values():
            _load(venue)
        journal = panic.Journal(Path(folder) / panic.LOG, "drill", say)
        began = time.monotonic()
        done = panic.run(hub, sorted(venues.venues), prefix=PREFIX, flatten=True, journal=journal)
        took = round(time.monotonic() - began, 2)
        left = {name: len(v.engine.live) for name, v in venues.venues.items()}
        hub.close()
    result = {
        "took_sec": str(took),
        "orders": ORDERS_EACH * len(left),
        "left": left,
        "latency_ms": LATENCY_MS,
    }
    _write_down(done and not any(left.values()), result)
    return done and not any(left.values())


def _load(venue: Any) -> None:
    """Resting orders, a position, and a network that takes its time."""
    engine = venue.engine
    instrument = engine.instruments["BTC"]
    price = engine.mark("BTC") * Decimal("0.97") // instrument.tick * instrument.tick
    engine.place(NewOrder("BTC", Side.BUY, Decimal("0.5"), None, TimeInForce.IOC, False, "drillheld"))
    for number in range(ORDERS_EACH):
        key = f"{PREFIX}drill{number:03d}"
        engine.place(NewOrder("BTC", Side.BUY, Decimal("0.01"), price, TimeInForce.GTC, False, key))
    venue.faults.add(Fault("delay", count=None, ms=LATENCY_MS))


@contextmanager
def _venues(folder: Path) -> Iterator[PaperVenues]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True, name="drill-venues")
    thread.start()
    venues = PaperVenues(folder)
    try:
        asyncio.run_coroutine_threadsafe(venues.start(), loop).result(START_SEC)
        yield venues
    finally:
        asyncio.run_coroutine_threadsafe(venues.stop(), loop).result(START_SEC)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(START_SEC)
        loop.close()


def _write_down(passed: bool, result: dict[str, Any]) -> None:
    with transaction.atomic(durable=True):
        verdict = "passed" if passed else "failed"
        audit.append_system(action="trading.drill", target="kill and flatten", verdict=verdict, after=result)
        if not passed:
            alarm("drill.failed", "drill.failed", f"the kill and flatten drill failed: {result}", result)
