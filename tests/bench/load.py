"""The load: a process of its own. A job as JSON on stdin, what was measured as JSON on stdout.

Each round visits each target at each concurrency for a moment, so that noise of the machine hits all alike.
"""

import asyncio
import json
import re
import sys
import time
from dataclasses import asdict, dataclass, field
from statistics import median

import aiohttp

_TIMING = re.compile(r"(\w+);dur=([\d.]+)")


@dataclass(frozen=True, kw_only=True)
class Target:
    name: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Job:
    """A turn ends after `requests` or after `seconds`, whichever is first."""

    targets: list[Target]
    concurrencies: list[int]
    rounds: int
    requests: int
    seconds: float


@dataclass
class Sample:
    """Of one target at one concurrency. ms: of each request; turn_p50: of each turn, ms; took: seconds of all
    turns together.
    """

    name: str
    concurrency: int
    ms: list[float] = field(default_factory=list)
    turn_p50: list[float] = field(default_factory=list)
    took: float = 0.0
    timing: list[dict[str, float]] = field(default_factory=list)


async def _turn(session: aiohttp.ClientSession, target: Target, sample: Sample, job: Job) -> None:
    left, before = job.requests, len(sample.ms)
    started = time.perf_counter()

    async def client() -> None:
        nonlocal left
        while left > 0 and time.perf_counter() - started < job.seconds:
            left -= 1
            asked = time.perf_counter()
            async with session.get(target.url, headers=target.headers) as answer:
                body = await answer.read()
                sample.ms.append((time.perf_counter() - asked) * 1000)
                if answer.status != 200:
                    raise SystemExit(f"{target.name}: {answer.status} {body[:300]!r}")
                if timing := answer.headers.get("Server-Timing"):
                    sample.timing.append({name: float(ms) for name, ms in _TIMING.findall(timing)})

    await asyncio.gather(*(client() for _ in range(sample.concurrency)))
    sample.took += time.perf_counter() - started
    sample.turn_p50.append(median(sample.ms[before:]))


async def run(job: Job) -> list[Sample]:
    samples = [Sample(target.name, n) for n in job.concurrencies for target in job.targets]
    turns = list(zip(samples, [t for _ in job.concurrencies for t in job.targets], strict=True))
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        for sample, target in turns:  # warm connections, caches and pools; not counted
            await _turn(session, target, Sample(target.name, sample.concurrency), job)
        for _ in range(job.rounds):
            for sample, target in turns:
                await _turn(session, target, sample, job)
    return samples


def main() -> None:
    data = json.load(sys.stdin)
    job = Job(**data | {"targets": [Target(**target) for target in data["targets"]]})
    json.dump([asdict(sample) for sample in asyncio.run(run(job))], sys.stdout)


if __name__ == "__main__":
    main()
