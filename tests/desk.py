"""A whole desk under test: `manage.py run` as a process of its own, on its own DATA_DIR and PORT."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptobot.env import BASE_DIR, Environment

READY = "Ctrl-C ends everything"  # the last line of the welcome
START_SEC = 120
STOP_SEC = 40


class Desk:
    """Start with `start()`, end with `stop()`. `log` holds every line it wrote."""

    def __init__(self, data_dir: Path, **environ: str) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.log: list[str] = []
        own = {n: v for n, v in os.environ.items() if n.lower() not in Environment.model_fields}
        self.environ = own | {"DATA_DIR": str(data_dir), "PORT": str(self.port)} | environ
        self._ready = threading.Event()
        self._pids: set[int] = set()
        self.process: subprocess.Popen[str] | None = None

    def start(self, *, wait: bool = True) -> "Desk":
        """Until it says that it is ready; raises with its log when it does not."""
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "run"],
            cwd=BASE_DIR,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if wait and not self._ready.wait(START_SEC):
            self.process.kill()
            raise AssertionError(f"the desk did not become ready:\n{self.tail()}")
        if wait and self.process.poll() is not None:
            raise AssertionError(f"the desk ended with {self.process.returncode}:\n{self.tail()}")
        return self

    def _read(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.log.append(line.rstrip("\n"))
            if READY in line:
                self._ready.set()
        self._ready.set()  # it ended: whoever waits for it must look

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it as a person would, and hold it to leaving no process. Returns its exit code."""
        assert self.process is not None
        self.pids()
        self.process.send_signal(number)
        code = self.process.wait(STOP_SEC)
        self.expect_gone()
        return code

    def kill(self) -> None:
        """kill -9 of the supervisor."""
        assert self.process is not None
        self.pids()
        self.process.kill()
        self.process.wait()

    def kill_if_running(self) -> None:
        """Last resort of fixtures, after whatever went wrong."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def expect_gone(self) -> None:
        """Nothing that ever belonged to this desk is still alive (the kernel may need a moment)."""
        eventually(lambda: not [p for p in self._pids if alive(p)], f"processes left: {self._pids}", 20)
        self._reader.join(10)

    def state(self) -> dict[str, Any]:
        """DATA_DIR/supervisor.json."""
        state: dict[str, Any] = json.loads((self.data_dir / "supervisor.json").read_text())
        return state

    def pids(self) -> dict[str, int]:
        """Name and process of each child that has one now."""
        found = {n: c["pid"] for n, c in self.state()["children"].items() if c["pid"] is not None}
        self._pids.update(found.values())
        return found

    def kill_child(self, name: str) -> None:
        """kill -9 of one child; returns when the supervisor has started it again and it is ready."""
        pid = self.pids()[name]
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: self._is_new(name, pid), f"{name} did not come back:\n{self.tail()}", START_SEC)

    def _is_new(self, name: str, old: int) -> bool:
        child = self.state()["children"][name]
        return bool(child["state"] == "ready" and child["pid"] != old)

    def people(self) -> dict[str, dict[str, str]]:
        """DATA_DIR/demo-desk.json: name to role, password, token."""
        people: dict[str, dict[str, str]] = json.loads((self.data_dir / "demo-desk.json").read_text())[
            "people"
        ]
        return people

    def tail(self, lines: int = 200) -> str:
        return "\n".join(self.log[-lines:])


def eventually(holds: Callable[[], bool], message: str, timeout_sec: float) -> None:
    """Wait for something that another process does and nobody tells us about."""
    deadline = time.monotonic() + timeout_sec
    while not holds():
        assert time.monotonic() < deadline, message
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether the process still runs; a zombie waiting for its reaper does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
