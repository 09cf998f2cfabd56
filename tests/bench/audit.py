"""How fast the audit log takes entries and is verified, on a database of its own:

    python -m cryptobot.embedded python -m tests.bench.audit

The reference of the same run is a transaction that only locks the head and commits.
"""

import os
import threading
import time
from collections.abc import Callable

SECONDS = float(os.environ.get("SECONDS", "5"))


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cryptobot.settings")
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate_desk")
    from ops import audit

    rows = [
        ("empty transaction", 1, _rate(1, _empty)),
        ("append", 1, _rate(1, _append)),
        ("empty transaction", 4, _rate(4, _empty)),
        ("append", 4, _rate(4, _append)),
    ]
    started = time.perf_counter()
    found = audit.verify()
    verified = found.entries / (time.perf_counter() - started)
    assert found.ok, found
    print(f"{SECONDS:.0f} s each, {os.cpu_count()} cores, PostgreSQL on a socket, commit to disk\n")
    print("| what | writers | per second |\n| --- | --- | --- |")
    for name, writers, rate in rows:
        print(f"| {name} | {writers} | {rate:.0f} |")
    print(f"| verify, {found.entries} entries | 1 | {verified:.0f} |")


def _rate(writers: int, work: Callable[[], None]) -> float:
    counts, until = [0] * writers, time.perf_counter() + SECONDS

    def write(mine: int) -> None:
        from django.db import connection

        while time.perf_counter() < until:
            work()
            counts[mine] += 1
        connection.close()

    threads = [threading.Thread(target=write, args=(n,)) for n in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / SECONDS


def _empty() -> None:
    """What a commit costs here: the head's row locked and left as it is, one byte written."""
    from django.db import connection, transaction

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT seq FROM ops_audithead WHERE id = 1 FOR UPDATE")


def _append() -> None:
    from ops import audit

    with audit.recorded():
        audit.append_system(action="bench.append", target="desk", verdict="executed", after={"value": 1})


if __name__ == "__main__":
    main()
