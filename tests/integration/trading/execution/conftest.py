from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine

from ops.config import versions
from tests import factories
from tests.in_process import paper_venues
from tests.integration.trading.execution.bench import Bench, configure
from trading.services.gather import EXIT_BASIS

#: Each pair of venues once, each venue once on either side.
PAIRS = [("binanceusdm", "okx"), ("okx", "bybit"), ("bybit", "binanceusdm")]


@pytest.fixture
def venues(tmp_path: Path) -> Iterator[Bench]:
    """Fresh paper venues at fixed prices, and this process's hub talking to them."""
    with paper_venues(tmp_path) as paper:
        bench = Bench(paper)
        bench.pin()
        yield bench


def _in_run(there: Bench, **config: Any) -> Iterator[Bench]:
    EXIT_BASIS.forget()
    factories.make_desk()
    configure(**config)
    factories.safe_mode_off()
    factories.resume()
    yield there
    versions.forget()


@pytest.fixture
def bench(db: None, venues: Bench) -> Iterator[Bench]:
    """A desk in RUN with SAFE_MODE off, and nothing open anywhere."""
    yield from _in_run(venues)


@pytest.fixture(params=PAIRS, ids=">".join)
def pair_bench(db: None, venues: Bench, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """The same once for each ordered pair of venues: the long leg's first."""
    venues.long, venues.short = request.param
    venues.pin()
    yield from _in_run(venues, venues=f"[{venues.long}, {venues.short}]")


@pytest.fixture
def busy_bench(transactional_db: None, venues: Bench) -> Iterator[Bench]:
    """The same, with transactions that other threads see."""
    yield from _in_run(venues)


@pytest.fixture
def later() -> Iterator[Callable[[float], None]]:
    """`later(10)`: everybody's clock, the venues' too, goes on by 10 s at once."""
    with ExitStack() as travels:

        def jump(seconds: float) -> None:
            travels.enter_context(time_machine.travel(datetime.now(UTC) + timedelta(seconds=seconds)))

        yield jump


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Venue clients that give up after 0.4 s."""
    monkeypatch.setattr("trading.venues.base.CLIENT_TIMEOUT_MS", 400)
