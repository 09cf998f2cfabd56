"""The execution spine on a bench: rows in PostgreSQL, ccxt over HTTP, paper venues in a thread. No Celery.

Prices stand still (pinned by the venues' control), so what an order does is what the test says it does.
"""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction

from leadership.clock import boottime
from ops.actions.base import Outcome
from ops.models import ConfigVersion
from tests import factories
from trading.domain.rescue import Rescue
from trading.execution import machine
from trading.execution.closing import ask_to_close
from trading.models import Execution
from trading.paper.faults import Fault
from trading.paper.orders import Order
from trading.paper.overlay import Overlay
from trading.paper.server import PaperVenues
from trading.venues import get_hub

A, B = "binanceusdm", "okx"  # the long and the short leg of every pair opened here
BTC, SOL = "BTC/USDT:USDT", "SOL/USDT:USDT"
MIDS = {"BTC": Decimal(60_000), "ETH": Decimal(2_500), "SOL": Decimal(150)}
EDGE_BPS = Decimal(40)  # okx above binance: four taker fees are 20
GIVE_UP_SEC = 20.0


#: Faster than a desk, and no funding instant is near enough to matter.
CONFIG = {
    "funding_quiet_sec: 30": "funding_quiet_sec: 0",
    "acceptance_window_ms: 6000": "acceptance_window_ms: 1000",
    "unknown_refresh_ms: 500": "unknown_refresh_ms: 50",
    "resting_ttl_ms: 5000": "resting_ttl_ms: 300",
}


def configure(**changes: Any) -> None:
    """Another version of the configuration: the bench's, with `key=value` lines replaced."""
    active = ConfigVersion.objects.get(active=True)
    yaml = active.yaml
    for before, after in CONFIG.items():
        yaml = yaml.replace(before, after)
    if changes.get("venues"):
        yaml = yaml.replace("venues: [binanceusdm, okx]", f"venues: {changes.pop('venues')}")
        yaml = yaml.replace("hard_venue: okx", "hard_venue: " + yaml.split("venues: [")[1].split(",")[0])
    for key, value in changes.items():
        yaml, found = re.subn(rf"(?m)\b{key}: [^,\n}}]+", f"{key}: {value}", yaml)
        assert found, f"no {key} in the configuration"
    factories.activate(yaml)


class Killed(BaseException):
    """kill -9, for the code under test: nothing catches it, nothing is written after it."""


#: Each venue's own code of a definite refusal: insufficient margin.
NO_MARGIN = {"binanceusdm": "-2019", "okx": "51008", "bybit": "110007"}


def send(orders: Iterable[int]) -> None:
    """What a worker does with orders that it has claimed just now."""
    machine._visit(tuple(orders), leaves_by=boottime() + 5)


@dataclass
class Bench:
    """long, short: where the legs of every pair opened here are."""

    paper: PaperVenues
    long: str = A
    short: str = B

    # -- the market and the venues --

    def pin(self, **mids: Decimal) -> None:
        for base, mid in (MIDS | mids).items():
            self.price(self.long, base, mid)
            self.price(self.short, base, mid, shift_bps=EDGE_BPS)

    def price(self, venue: str, base: str, mid: Decimal, **overlay: Any) -> None:
        quiet = {"funding_rate": Decimal(0)} | overlay
        self.paper[venue].market.change(venue, base, Overlay(mid=mid, **quiet))

    def fault(self, venue: str, effect: str, kind: str = "place", **rule: Any) -> None:
        self.paper[venue].faults.add(Fault(effect, kind=kind, **rule))

    def reject(self, venue: str, *, count: int = 1) -> None:
        self.fault(venue, "reject", code=NO_MARGIN[venue], count=count)

    @property
    def both(self) -> tuple[str, str]:
        return self.long, self.short

    def heal(self) -> None:
        for venue in self.both:
            self.paper[venue].faults.clear()

    def orders(self, venue: str) -> list[Order]:
        """The venue's own list: every order that it ever accepted."""
        return list(self.paper[venue].engine.orders.values())

    def net(self, venue: str, base: str = "BTC") -> Decimal:
        return self.paper[venue].engine.account.position(base).net

    # -- the desk --

    def ask(self, symbol: str = "BTCUSDT", **fields: Any) -> Any:
        """Alice asks. At the prices of now: neither pin nor jump waits for a cache."""
        get_hub()._facts.clear()
        return factories.ask("alice", "trading.execute", symbol=symbol, long_venue=self.long, **fields)

    def open(self, symbol: str = "BTCUSDT", *, by_cost: bool = False, **fields: Any) -> Execution:
        """Armed: asked for by alice, approved by bob, intents written, nothing sent.

        A rescue is told to reverse, as a person may tell it: prices here stay, so that completing would
        always be the cheaper way. by_cost: it chooses.
        """
        row = opened(factories.vote("bob", self.ask(symbol, **fields)))
        if not by_cost:
            row.ordered = Rescue.REVERSE
            row.save(update_fields=["ordered"])
        return row

    def drive(self, execution: Execution) -> Execution:
        """As a worker does, nudge after nudge, until the execution rests."""
        deadline = time.monotonic() + GIVE_UP_SEC
        while (pause := machine.drive(execution.pk)) is not None:
            assert time.monotonic() < deadline, f"does not come to rest: {execution}"
            time.sleep(pause.total_seconds())  # as the countdown of the next nudge does
        execution.refresh_from_db()
        return execution

    def close(self, execution: Execution, *, leave: Decimal = Decimal(0)) -> Execution:
        with transaction.atomic():
            ask_to_close(execution.pk, leave=leave)
        return self.drive(execution)


def opened(outcome: Outcome) -> Execution:
    assert "execution_id" in outcome.body, outcome.body
    return Execution.objects.get(pk=UUID(outcome.body["execution_id"]))
