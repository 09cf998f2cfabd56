"""The gate: its pure decision beside nautilus_trader's check in the same run, and the durable whole of it.

python -m tests.bench.gate [--rounds N] [--markdown FILE]

nautilus_trader 1.221.0, the newest for Python 3.11, has an environment of its own, made at the first run.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from uuid import uuid4

from cryptobot.env import BASE_DIR
from risk.domain.gate import (
    CAPS,
    DESK,
    Exposure,
    InstrumentState,
    LegIntent,
    Limit,
    OrderIntent,
    RiskGovernor,
    Snapshot,
    decide,
)
from tests.faults.world import world

NAUTILUS = "nautilus_trader==1.221.0"
ENVIRONMENT = BASE_DIR / ".venv-bench"
WORKING = (0, 100, 1_000)
BTC = "BTC/USDT:USDT"
WIDE = Decimal(10) ** 12


@dataclass(frozen=True, slots=True)
class Row:
    what: str
    working: int
    p50_us: float
    p99_us: float

    def line(self) -> str:
        return f"| {self.what} | {self.working} | {self.p50_us:.1f} | {self.p99_us:.1f} |"


def timed(what: str, working: int, rounds: int, call: Callable[[], object]) -> Row:
    taken = []
    for _ in range(rounds):
        began = time.perf_counter_ns()
        call()
        taken.append(time.perf_counter_ns() - began)
    taken.sort()
    return Row(what, working, taken[rounds // 2] / 1000, taken[int(rounds * 0.99)] / 1000)


def ours(rounds: int) -> Iterator[Row]:
    """Every cap on at the desk's level. What works is in the sums: the decision does not see how many."""
    governor = RiskGovernor(Limit(cap, WIDE) for cap in CAPS.values())
    one = OrderIntent((LegIntent("okx", BTC, Decimal(2), Decimal(101)),), edge_bps=Decimal(10))
    pair = OrderIntent((*one.legs, LegIntent("bybit", BTC, Decimal(-2), Decimal(99))), edge_bps=Decimal(10))
    for working in WORKING:
        state = InstrumentState(working_buy=Decimal(working), mark_price=Decimal(100))
        desk = Exposure(
            reserved_notional=Decimal(100 * working),
            equity=WIDE,
            daily_loss=Decimal(1),
            gap_bps=Decimal(500),
        )
        now = Snapshot({DESK: desk}, {("okx", BTC): state, ("bybit", BTC): state})
        for name, intent in (("one order", one), ("a pair", pair)):
            assert decide(now, intent, governor).reason == "ok"
            call = partial(decide, now, intent, governor)
            yield timed(f"ours, {name}, {len(CAPS)} caps", working, rounds, call)


def nautilus(rounds: int) -> Iterator[Row]:
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        print(f"installing {NAUTILUS} into {ENVIRONMENT.name} ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(ENVIRONMENT)], check=True)
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
        subprocess.run([*pip, "--only-binary", ":all:", NAUTILUS], check=True)
    script = Path(__file__).with_name("nautilus_gate.py")
    done = subprocess.run([str(python), str(script), str(rounds)], check=True, capture_output=True, text=True)
    for line in done.stdout.splitlines():
        found = json.loads(line)
        name = f"nautilus_trader, one order, {found['account']} account"
        yield Row(name, found["open"], found["p50_us"], found["p99_us"])


def durable(rounds: int) -> Iterator[Row]:
    """Gate, reservation and intent in one transaction of a real PostgreSQL, rolled back each time."""
    from django.conf import settings
    from django.db import transaction

    from risk import reservations
    from risk.reservations import LegReservation
    from risk.services import risk_gate
    from tests import factories

    factories.make_desk()
    settings.ENV = settings.ENV.model_copy(update={"risk_checks_enabled": True})
    qty, price = Decimal("0.001"), Decimal(50_000)
    legs = [
        LegReservation(i, v, BTC, s, qty, price)
        for i, (v, s) in enumerate((("okx", "buy"), ("bybit", "sell")))
    ]
    intent = OrderIntent((LegIntent("okx", BTC, qty, price), LegIntent("bybit", BTC, -qty, price)))
    marks = {(venue, BTC): price for venue in ("okx", "bybit")}

    def once() -> None:
        with transaction.atomic():
            assert risk_gate(intent, marks=marks).allowed
            reservations.reserve(uuid4(), legs)
            transaction.set_rollback(True)

    there = 0
    for working in WORKING:
        for _ in range((working - there) // 2):
            reservations.reserve(uuid4(), [*legs])
        there = working
        factories.watched()
        yield timed("ours, durable: gate, reservation, commit path", working, rounds, once)


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.gate", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5_000)
    parser.add_argument("--markdown", type=Path, help="write the table here as well")
    options = parser.parse_args()
    rows = [*ours(options.rounds), *nautilus(options.rounds)]
    with world(Path(tempfile.mkdtemp(prefix="cryptobot-bench-"))):
        rows += durable(min(options.rounds, 300))
    head = ["| what | working orders | p50 µs | p99 µs |", "| --- | ---: | ---: | ---: |"]
    about = f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    text = "\n".join([about, "", *head, *(row.line() for row in rows)])
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n")


if __name__ == "__main__":
    main()
