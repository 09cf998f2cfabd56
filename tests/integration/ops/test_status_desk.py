"""Heartbeats of real processes: each reports itself, and a stopped one is red until it goes on."""

import json
import os
import signal
import urllib.request
from typing import Any

import pytest

from tests.desk import Desk, eventually

pytestmark = [pytest.mark.desk, pytest.mark.faults]
PROCESSES = ("web", "worker-execution", "worker-default", "sweeper", "beat")


def components(desk: Desk) -> dict[str, Any]:
    with urllib.request.urlopen(f"{desk.base_url}/api/ui/status/components", timeout=30) as reply:
        return {row["id"]: row for row in json.loads(reply.read())["components"]}


def is_well(row: dict[str, Any]) -> bool:
    """OK, and its own loop has left a trace lately."""
    metrics = row["metrics"]
    turns = metrics.get("busy_sec") is not None or (metrics.get("loop_age_sec") or 99) < 5
    return row["status"] == "OK" and turns


def test_every_process_reports_itself_and_its_loop(desk: Desk) -> None:
    eventually(
        lambda: all(is_well(components(desk)[f"process.{name}"]) for name in PROCESSES),
        f"not all well: {components(desk)}",
        60,
    )
    rows, pids = components(desk), desk.pids()
    for name in PROCESSES:
        metrics = rows[f"process.{name}"]["metrics"]
        assert metrics["pid"] == pids[name]
        assert metrics["build"].startswith("src-")


def test_a_stopped_process_is_unknown_until_it_goes_on(desk: Desk) -> None:
    pid = desk.pids()["worker-default"]

    def status() -> str:
        return str(components(desk)["process.worker-default"]["status"])

    os.kill(pid, signal.SIGSTOP)
    try:
        eventually(lambda: status() == "UNKNOWN", "a stopped process looks well", 30)
    finally:
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: status() == "OK", "it goes on and still looks ill", 30)
