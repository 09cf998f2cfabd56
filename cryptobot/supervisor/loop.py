"""Starts children, gathers their lines, starts again what dies, ends all of them. One thread, no Django.

One thread because the kernel ties PR_SET_PDEATHSIG to the thread that forked.
"""

import contextlib
import json
import os
import selectors
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from cryptobot.embedded.process import Launch, ServiceError, spawn
from cryptobot.supervisor.children import Child
from cryptobot.supervisor.output import LineBuffer, Output, read_available
from cryptobot.supervisor.restarts import History, after_exit

TICK_SEC = 0.1
GRACE_SEC = 15.0
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid of the sender, filled in by the kernel

State = Literal["starting", "ready", "waiting", "ended"]


class StopRequestedError(Exception):
    """Somebody asked the desk to end while it was still starting."""


@dataclass
class Running:
    """A child under supervision: its process, if it has one now, and its past."""

    child: Child
    state: State = "waiting"
    process: subprocess.Popen[bytes] | None = None
    launch: Launch | None = None
    history: History = field(default_factory=History)
    start_at: float = 0.0  # monotonic: when to start next
    started_at: float = 0.0  # monotonic
    started_time: str | None = None
    last_exit: str | None = None
    lines: LineBuffer = field(default_factory=LineBuffer)


class Supervisor:
    """`start` children, `pump` until something holds, `stop` them; signals only set a flag."""

    def __init__(
        self, *, state_file: Path, notify_path: Path, output: Output, about: dict[str, object]
    ) -> None:
        self.output = output
        self.children: dict[str, Running] = {}
        self.stop_signals = 0
        self._about = about | {"pid": os.getpid(), "started_at": _now()}
        self._state_file = state_file
        self._notify_path = notify_path
        self._selector = selectors.DefaultSelector()
        self._listen_to_signals()
        self._listen_to_children()

    # -- what the sequence of a desk calls ------------------------------------------------------------

    def start(self, *children: Child) -> None:
        """Put `children` under supervision and start them now."""
        for child in children:
            running = self.children[child.name] = Running(child)
            self._start(running)
        self._write_state()

    def wait_ready(self, *names: str, patience_sec: float = 20, failures: int | None = None) -> None:
        """Until all of them are ready; says every `patience_sec` what it is waiting for.

        Raises:
            ServiceError: one of them ended `failures` times before it was ready.
        """
        remind_at = time.monotonic() + patience_sec
        while waiting := [n for n in names if self.children[n].state != "ready"]:
            self._step_or_stop()
            for name in waiting:
                if failures is not None and self.children[name].history.failures >= failures:
                    raise ServiceError(f"{name}: {self.children[name].last_exit}")
            if time.monotonic() > remind_at:
                remind_at += patience_sec
                self.say(f"still waiting for {', '.join(waiting)}; see the lines above")

    def run_to_end(self, name: str, launch: Launch) -> None:
        """Run a one-shot command, its lines in the stream.

        Raises:
            ServiceError: it failed.
        """
        running = Running(Child(name=name, launch=lambda: launch))
        self.children[name] = running
        self._start(running)
        while running.state != "ended" and running.process is not None:
            self._step_or_stop(restart=False)
        del self.children[name]
        if running.last_exit != "exit 0":
            raise ServiceError(f"{name}: {running.last_exit}; see its lines above")

    def run_until_stopped(self) -> None:
        while not self.stop_signals:
            self.pump()

    def stop(self, names: Iterable[str], *, grace_sec: float = GRACE_SEC) -> None:
        """End them together: ask, wait, insist. A second signal to us cuts the waiting short."""
        names = list(names)
        doomed = [r for r in (self.children[n] for n in names) if r.process is not None]
        signals_before = self.stop_signals
        for running in doomed:
            assert running.process is not None
            assert running.launch is not None
            running.process.send_signal(running.launch.stop_signal)
        deadline = time.monotonic() + grace_sec
        while any(r.process is not None for r in doomed):
            if time.monotonic() > deadline or self.stop_signals > max(signals_before, 1):
                for running in doomed:
                    self._kill_group(running)
            self.pump(restart=False)
        for name in names:
            self.children.pop(name)

    def close(self) -> None:
        """Leave no trace that says we run."""
        self._state_file.unlink(missing_ok=True)
        self._notify_path.unlink(missing_ok=True)
        self.output.flush()

    def say(self, text: str) -> None:
        self.output.line("desk", text)

    # -- one step ---------------------------------------------------------------------------------------

    def pump(self, *, restart: bool = True) -> None:
        """Wait up to a tick for lines, ends, messages; look after every child once."""
        for key, _ in self._selector.select(TICK_SEC):
            key.data()
        self.output.flush()
        changed = [self._look_after(r, restart=restart) for r in list(self.children.values())]
        if any(changed):
            self._write_state()

    def _step_or_stop(self, *, restart: bool = True) -> None:
        self.pump(restart=restart)
        if self.stop_signals:
            raise StopRequestedError

    def _look_after(self, running: Running, *, restart: bool) -> bool:
        """One child; True when its state changed."""
        if running.process is None:
            if restart and running.state == "waiting" and time.monotonic() >= running.start_at:
                self._start(running)
                return True
            return False
        if running.process.poll() is not None:
            self._bury(running, restart=restart)
            return True
        if running.state == "starting" and running.child.ready is not None and running.child.ready():
            running.state = "ready"
            return True
        return False

    def _start(self, running: Running) -> None:
        running.started_at, running.started_time = time.monotonic(), _now()
        try:
            running.launch = running.child.launch()
            notify = {"NOTIFY_SOCKET": str(self._notify_path)}
            launch = replace(running.launch, env={**running.launch.env, **notify})
            running.process = spawn(launch, stdout=subprocess.PIPE)
        except (ServiceError, OSError) as error:
            self._plan_restart(running, f"cannot start: {error}")
            return
        running.state = "starting"
        pipe = running.process.stdout
        assert pipe is not None
        os.set_blocking(pipe.fileno(), False)
        self._selector.register(pipe, selectors.EVENT_READ, lambda: self._read(running))

    def _bury(self, running: Running, *, restart: bool) -> None:
        process = running.process
        assert process is not None
        while self._read(running):  # its last words
            pass
        self._kill_group(running)  # what it may have started itself
        self._close_pipe(process)
        running.process = None
        code = process.returncode
        reason = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit {code}"
        if restart:
            self._plan_restart(running, reason)
        else:
            running.state, running.last_exit = "ended", reason

    def _plan_restart(self, running: Running, reason: str) -> None:
        decision = after_exit(running.history, uptime_sec=time.monotonic() - running.started_at)
        running.history = decision.history
        running.state, running.last_exit = "waiting", reason
        running.start_at = time.monotonic() + decision.delay_sec
        self.say(f"{running.child.name} {reason}; starting it again in {decision.delay_sec:g} s")

    # -- inputs -----------------------------------------------------------------------------------------

    def _read(self, running: Running) -> bool:
        assert running.process is not None
        pipe = running.process.stdout
        assert pipe is not None
        if pipe.closed:
            return False
        data = read_available(pipe.fileno())
        if data is None:
            return False
        for line in running.lines.feed(data):
            self.output.line(running.child.name, line)
        if not data:
            self._close_pipe(running.process)
        return bool(data)

    def _close_pipe(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdout is not None and not process.stdout.closed:
            self._selector.unregister(process.stdout)
            process.stdout.close()

    def _listen_to_signals(self) -> None:
        """Handlers only count; the wake-up descriptor ends the select at once."""
        reading, writing = socket.socketpair()
        reading.setblocking(False)
        writing.setblocking(False)
        signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        self._wakeup = (reading, writing)
        self._selector.register(reading, selectors.EVENT_READ, lambda: reading.recv(512))
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._count_signal)

    def _count_signal(self, *_: object) -> None:
        self.stop_signals += 1

    def _listen_to_children(self) -> None:
        """Children say READY=1 here; the kernel tells which of them spoke."""
        self._notify_path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        listener.bind(str(self._notify_path))
        listener.setblocking(False)
        self._listener = listener
        self._selector.register(listener, selectors.EVENT_READ, self._hear)

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            message, ancillary, _, _ = self._listener.recvmsg(4096, socket.CMSG_SPACE(_CREDENTIALS.size))
            for _, kind, data in ancillary:
                if kind == socket.SCM_CREDENTIALS and b"READY=1" in message.splitlines():
                    self._is_ready(_CREDENTIALS.unpack(data[: _CREDENTIALS.size])[0])

    def _is_ready(self, pid: int) -> None:
        for running in self.children.values():
            if running.process is not None and running.process.pid == pid and running.child.ready is None:
                running.state = "ready"
                self._write_state()

    # -- outputs ----------------------------------------------------------------------------------------

    def _write_state(self) -> None:
        """DATA_DIR/supervisor.json, whole or not at all: status components and tests read it."""
        children = {name: _describe(running) for name, running in self.children.items()}
        draft = self._state_file.with_suffix(".new")
        draft.write_text(json.dumps(self._about | {"children": children}, indent=1))
        draft.replace(self._state_file)

    @staticmethod
    def _kill_group(running: Running) -> None:
        if running.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(running.process.pid, signal.SIGKILL)


def _describe(running: Running) -> dict[str, object]:
    return {
        "pid": running.process.pid if running.process is not None else None,
        "state": running.state,
        "restarts": running.history.restarts,
        "started_at": running.started_time,
        "last_exit": running.last_exit,
    }


def _now() -> str:
    return datetime.now(UTC).isoformat()
