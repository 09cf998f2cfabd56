"""The supervisor's promises, on children that need nothing: restart, end, and nothing left behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cryptobot.env import BASE_DIR
from tests.desk import alive, eventually

PATIENCE_SEC = 30


class SmallDesk:
    def __init__(self, directory: Path, grace_sec: float) -> None:
        self.directory = directory
        command = [
            sys.executable,
            "-m",
            "tests.integration.cryptobot.small_desk",
            str(directory),
            str(grace_sec),
        ]
        self.process: subprocess.Popen[str] = subprocess.Popen(
            command, cwd=BASE_DIR, stdout=subprocess.PIPE, text=True
        )
        self.said: list[str] = []

    def until(self, words: str) -> str:
        """Read its lines up to one that holds `words`."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if words in line:
                return str(line)
        raise AssertionError(f"never said {words!r}: {''.join(self.said)}")

    def child(self, name: str) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.directory / "supervisor.json").read_text())["children"][name]
        return state

    def pids(self) -> list[int]:
        return [self.child(name)["pid"] for name in ("speaker", "deaf")]


@pytest.fixture
def directory() -> Iterator[Path]:
    short = Path(tempfile.mkdtemp())  # a socket's path may not exceed 107 bytes
    yield short
    shutil.rmtree(short)


@pytest.fixture
def patient(directory: Path) -> Iterator[SmallDesk]:
    yield from started(directory, grace_sec=600)


@pytest.fixture
def hasty(directory: Path) -> Iterator[SmallDesk]:
    yield from started(directory, grace_sec=0.5)


def started(directory: Path, *, grace_sec: float) -> Iterator[SmallDesk]:
    desk = SmallDesk(directory, grace_sec)
    try:
        desk.until("all ready")
        yield desk
    finally:
        desk.process.kill()
        desk.process.communicate()


def test_what_dies_comes_back_and_that_is_told(hasty: SmallDesk) -> None:
    old = hasty.child("speaker")["pid"]
    os.kill(old, signal.SIGKILL)
    assert "speaker killed by SIGKILL; starting it again in 0.5 s" in hasty.until("speaker killed")
    assert hasty.until("hello").startswith("          speaker | hello")
    eventually(lambda: hasty.child("speaker")["state"] == "ready", "not ready again", PATIENCE_SEC)
    again = hasty.child("speaker")
    assert again["pid"] != old
    assert (again["restarts"], again["last_exit"]) == (1, "killed by SIGKILL")
    assert hasty.child("deaf")["restarts"] == 0


def test_what_cannot_start_is_told_and_tried_ever_more_rarely(hasty: SmallDesk) -> None:
    assert any("absent cannot start" in line and "in 0.5 s" in line for line in hasty.said)
    hasty.until("in 1 s")
    hasty.until("in 2 s")
    eventually(
        lambda: hasty.child("absent")["restarts"] == 3, "the third try is not in the file", PATIENCE_SEC
    )
    assert (hasty.child("absent")["pid"], hasty.child("absent")["state"]) == (None, "waiting")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_all_even_who_does_not_listen(hasty: SmallDesk, number: signal.Signals) -> None:
    pids = hasty.pids()
    hasty.process.send_signal(number)
    hasty.process.communicate(timeout=PATIENCE_SEC)
    assert hasty.process.returncode == 0
    assert not [pid for pid in pids if alive(pid)]
    assert list(hasty.directory.iterdir()) == []


def test_a_second_signal_cuts_the_waiting_short(patient: SmallDesk) -> None:
    pids = patient.pids()
    patient.process.send_signal(signal.SIGTERM)
    eventually(
        lambda: patient.child("speaker")["state"] == "ended", "the first signal did nothing", PATIENCE_SEC
    )
    assert alive(pids[1])
    patient.process.send_signal(signal.SIGTERM)
    patient.process.communicate(timeout=PATIENCE_SEC)
    assert patient.process.returncode == 0
    assert not alive(pids[1])


def test_kill_9_of_the_supervisor_leaves_no_child(patient: SmallDesk) -> None:
    pids = patient.pids()
    patient.process.kill()
    eventually(
        lambda: not [pid for pid in pids if alive(pid)], "a child outlived its supervisor", PATIENCE_SEC
    )
