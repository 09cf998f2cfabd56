"""Executions through real workers, at venues that answer after a simulated 20 ms: times, throughput, CPU.

python -m tests.bench.execution [--executions N] [--markdown FILE]

Ratios within one run mean something, absolute times only on the machine that is named.
"""

import argparse
import logging
import os
import platform
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

from tests.faults.world import WORKERS, World, until, world

DELAY_MS = 20


@dataclass(frozen=True, slots=True)
class Result:
    """Milliseconds; cpu_ms: of all execution processes, per execution."""

    workers: int
    per_sec: float
    cpu_ms: float
    send: list[int]
    skew: list[int]
    hedge: list[int]

    def line(self) -> str:
        cells = [f"{p50:.0f} / {p99:.0f}" for p50, p99 in map(_p50_p99, (self.send, self.skew, self.hedge))]
        return f"| {self.workers} | {' | '.join(cells)} | {self.per_sec:.1f} | {self.cpu_ms:.0f} |"


HEADER = [
    "| workers | decision → first send ms p50 / p99 | leg skew ms | hedge ms | executions/s | CPU ms each |",
    "| --- | --- | --- | --- | --- | --- |",
]


def _p50_p99(values: list[int]) -> tuple[float, float]:
    cuts = quantiles(values, n=100, method="inclusive")
    return cuts[49], cuts[98]


def measure(here: World, bench: Any, names: tuple[str, ...], executions: int) -> Result:
    from trading.domain.execution_state import FINAL, RESTING
    from trading.execution import times
    from trading.models import Execution

    here.start(*names)
    here.wait_ready()
    for venue in bench.both:
        bench.fault(venue, "delay", "any", ms=DELAY_MS, count=None)
    before, cpu, began = set(Execution.objects.values_list("pk", flat=True)), _cpu(here), time.monotonic()
    for number in range(executions):
        bench.open(("BTCUSDT", "ETHUSDT", "SOLUSDT")[number % 3], notional="300")
    rows = Execution.objects.exclude(pk__in=before)
    until("rest", lambda: not rows.exclude(state__in=sorted(FINAL | RESTING)).exists())
    took = time.monotonic() - began
    seen = [times.of(row) for row in rows.filter(state="BALANCED")]
    bench.heal()
    result = Result(
        workers=len(names),
        per_sec=executions / took,
        cpu_ms=(_cpu(here) - cpu) * 1000 / executions,
        send=_known(t.send_ms for t in seen),
        skew=_known(t.skew_ms for t in seen),
        hedge=_known(t.hedge_ms for t in seen),
    )
    here.kill(*names)
    return result


def _known(values: Iterable[int | None]) -> list[int]:
    return [value for value in values if value is not None]


def _cpu(here: World) -> float:
    """Seconds of user and system time of the execution processes that run."""
    ticks = os.sysconf("SC_CLK_TCK")
    fields = [
        Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        for process in here.processes.values()
        if process.poll() is None
    ]
    return sum(int(each[11]) + int(each[12]) for each in fields) / ticks


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.execution", description=__doc__.splitlines()[0])
    parser.add_argument("--executions", type=int, default=60)
    parser.add_argument("--markdown", type=Path, help="write the table here as well")
    options = parser.parse_args()
    data_dir = Path(tempfile.mkdtemp(prefix="cryptobot-bench-"))
    with world(data_dir) as here:
        logging.disable(logging.WARNING)
        from tests.faults.rounds import desk_of
        from tests.in_process import paper_venues
        from tests.integration.trading.execution.bench import Bench

        with paper_venues(data_dir) as paper:
            bench = Bench(paper)
            bench.pin()
            desk_of(data_dir)
            results = [measure(here, bench, names, options.executions) for names in (WORKERS[:1], WORKERS)]
    about = f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
    about += (
        f"{options.executions} executions asked for one after the other, venues answer after {DELAY_MS} ms"
    )
    text = "\n".join([about, "", *HEADER, *(result.line() for result in results)])
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n")


if __name__ == "__main__":
    main()
