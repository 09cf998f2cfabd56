"""What claimers cost the keeper, and the leader's heartbeat under full load.

python -m tests.bench.leadership [--rounds N] [--seconds N] [--markdown FILE]

A claimer holds the lease row for as long as the transaction of a claim. FOR SHARE stands beside FOR KEY SHARE
in the same run: it is what a renewal would wait for.
"""

import argparse
import os
import platform
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptobot.env import BASE_DIR
from cryptobot.supervisor.children import DJANGO
from tests.faults.world import until, world

CLAIMERS = 8
TTL = 20
CLAIM_SEC = 0.002  # between the read and the commit, as a claim's own statements take


@contextmanager
def claimers(count: int, strength: str) -> Iterator[list[int]]:
    """So many busy claimers; counts their transactions."""
    from leadership import keeper

    done, stopping = [0] * count, threading.Event()

    def claim(number: int) -> None:
        with keeper.connect() as link:
            link.execute("SET lock_timeout = '5s'")
            while not stopping.is_set():
                with link.transaction():
                    link.execute(f"SELECT fence FROM leadership_lease WHERE id = 1 {strength}")
                    time.sleep(CLAIM_SEC)
                done[number] += 1

    threads = [threading.Thread(target=claim, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield done
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def renewals(rounds: int, count: int, strength: str) -> str:
    """One line of the table: milliseconds of a renewal."""
    import psycopg

    from leadership import keeper, store

    taken, waited = [], 0
    with keeper.connect() as link, claimers(count, strength):
        cursor = link.cursor()
        fence = store.read(cursor).fence
        for _ in range(rounds):
            began = time.perf_counter()
            try:
                assert store.renew(cursor, fence, me="bench", ttl_sec=TTL)
            except (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled):
                waited += 1
            taken.append((time.perf_counter() - began) * 1000)
            time.sleep(0.01)
    taken.sort()
    p50, p99 = taken[rounds // 2], taken[int(rounds * 0.99)]
    return f"| {count} | {strength or 'none'} | {p50:.2f} | {p99:.2f} | {waited} |"


def heartbeat_ages(data_dir: Path, seconds: int) -> str:
    """A real keeper process, sampled in the row while claimers are busy: 0 to 2 s is the corridor."""
    from django.conf import settings

    from leadership import keeper, store
    from leadership.models import Lease

    Lease.objects.update(state="FREE", owner="", released_by="")
    environ = os.environ | {"DATA_DIR": str(data_dir), "FEATURE_LEADER_LOCK": "1"}
    process = subprocess.Popen(
        (*DJANGO, "leader_keeper"), cwd=BASE_DIR, env=environ, stdout=subprocess.DEVNULL
    )
    ages: list[float] = []
    try:
        until(
            "the keeper to lead", lambda: Lease.objects.filter(owner=settings.INSTANCE, state="HELD").exists()
        )
        with keeper.connect() as link, claimers(CLAIMERS, "FOR KEY SHARE") as done:
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                ages.append(store.read(link.cursor()).hb_age_sec)
                time.sleep(0.1)
    finally:
        process.terminate()
        process.wait()
    ages.sort()
    p99, claims = ages[int(len(ages) * 0.99)], sum(done) / seconds
    return f"hb_age_sec over {seconds} s with {claims:.0f} claims/s: p99 {p99:.2f}, max {ages[-1]:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.leadership", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--seconds", type=int, default=30, help="of the leader under load; 300 by hand")
    parser.add_argument("--markdown", type=Path, help="write the table here as well")
    options = parser.parse_args()
    data_dir = Path(tempfile.mkdtemp(prefix="cryptobot-bench-"))
    with world(data_dir):
        from leadership import keeper, store
        from tests import factories

        factories.make_desk()
        with keeper.connect() as link:
            seen = store.read(link.cursor())
            store.begin_term(link.cursor(), seen, me="bench", host="", how="free", ttl_sec=TTL)
        lines = [
            renewals(options.rounds, count, strength)
            for count, strength in ((0, ""), (CLAIMERS, "FOR KEY SHARE"), (CLAIMERS, "FOR SHARE"))
        ]
        ages = heartbeat_ages(data_dir, options.seconds)
    head = [
        "| claimers | lock of a claim | renewal p50 ms | p99 ms | not within 500 ms |",
        "| ---: | --- | ---: | ---: | ---: |",
    ]
    about = f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    text = "\n".join([about, "", *head, *lines, "", ages])
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n")


if __name__ == "__main__":
    main()
