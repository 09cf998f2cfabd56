"""A desk's database, broker, paper venues and execution processes under one roof, to be killed one by one.

No supervisor and no web: who is killed is started again by whoever killed it, at once, so that a round takes
seconds. The harness is the operator (actions through the runner) and reads the venues' own books.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptobot.embedded import postgres, throwaway, valkey
from cryptobot.embedded.process import Launch, spawn, stop, wait_until
from cryptobot.env import BASE_DIR
from cryptobot.supervisor.children import CELERY, DJANGO

#: Two workers and the sweeper: when one dies, another finds what it left.
WORKERS = ("worker-1", "worker-2")
SWEEPER = "sweeper"
GIVE_UP_SEC = 60.0


@dataclass
class World:
    data_dir: Path
    instance: str
    valkey: subprocess.Popen[bytes] | None = None
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    killed: int = 0
    database: subprocess.Popen[bytes] | None = None

    # -- services --

    def restart_database(self) -> None:
        """`pg_ctl -m immediate`: no goodbye, no checkpoint; what was committed is recovered."""
        assert self.database is not None
        self.database.send_signal(signal.SIGQUIT)
        self.database.wait()
        self.database = spawn(postgres.prepare(self.data_dir), stdout=subprocess.DEVNULL)
        wait_until(lambda: postgres.answers(self.data_dir), self.database, timeout_sec=60)

    def stop_database(self) -> None:
        assert self.database is not None
        stop(self.database, signal.SIGINT)

    def start_valkey(self) -> None:
        """Empty: nothing of it is kept on disk."""
        self.valkey = spawn(valkey.prepare(self.data_dir), stdout=subprocess.DEVNULL)
        wait_until(lambda: valkey.answers(self.data_dir), self.valkey, timeout_sec=30)

    def kill_valkey(self) -> None:
        assert self.valkey is not None
        self.valkey.kill()
        self.valkey.wait()

    # -- execution processes --

    def start(self, *names: str) -> None:
        """Those that do not run; returns without waiting until they are ready."""
        for name in names:
            known = self.processes.get(name)
            if known is None or known.poll() is not None:
                self.processes[name] = subprocess.Popen(
                    self._argv(name), cwd=BASE_DIR, stdout=self._log(name), stderr=subprocess.STDOUT
                )

    def start_all(self) -> None:
        self.start(*WORKERS, SWEEPER)

    def kill(self, *names: str) -> None:
        """kill -9, and bury."""
        for name in names:
            process = self.processes[name]
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                self.killed += 1
            process.wait()

    def bury(self) -> list[str]:
        """Who died by itself since the last look, at a failpoint."""
        dead = [n for n, p in self.processes.items() if p.poll() is not None]
        for name in dead:
            assert self.processes[name].returncode == -signal.SIGKILL, self.tail(name)
            del self.processes[name]
        self.killed += len(dead)
        return dead

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(30)
        if self.valkey is not None:
            stop(self.valkey, signal.SIGTERM)

    def _argv(self, name: str) -> tuple[str, ...]:
        if name == SWEEPER:
            return (*DJANGO, "sweeper")
        quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING")
        queue = f"execution.{self.instance}"
        return (*CELERY, "worker", "-Q", queue, "--pool=solo", "-n", f"{name}@{self.instance}", *quiet)

    def _log(self, name: str) -> Any:
        return (self.data_dir / f"{name}.log").open("ab")

    def tail(self, name: str) -> str:
        return (self.data_dir / f"{name}.log").read_text(errors="replace")[-4000:]

    def wait_ready(self) -> None:
        """Until each process has beaten its heart once."""
        for name in self.processes:
            until(f"{name} to start", lambda name=name: "ready" in self._health(name))  # type: ignore[misc]

    def _health(self, name: str) -> str:
        from ops.models import ProcessHeartbeat

        role = name.removesuffix("-1").removesuffix("-2")
        found = ProcessHeartbeat.objects.filter(role__in=[name, role], pid=self.processes[name].pid)
        return "ready" if found.exists() else ""


def until(what: str, holds: Callable[[], bool], *, seconds: float = GIVE_UP_SEC) -> None:
    """Wait for what another process does."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"gave up waiting for {what}")
        time.sleep(0.02)


@contextmanager
def world(data_dir: Path) -> Iterator[World]:
    """Database and broker, migrated and started as a desk is; Django set up in this process for it."""
    with ExitStack() as end:
        end.callback(throwaway.remove, data_dir)
        log = end.enter_context((data_dir / throwaway.LOG).open("ab"))
        database = spawn(postgres.prepare(data_dir), stdout=log)
        here = World(data_dir, "", database=database)
        end.callback(here.stop_database)
        wait_until(lambda: postgres.answers(data_dir), database, timeout_sec=60)
        postgres.bootstrap(data_dir)
        os.environ.update(DATA_DIR=str(data_dir), DJANGO_SETTINGS_MODULE="cryptobot.settings")
        here.instance = _set_up_django()
        here.start_valkey()
        end.callback(here.stop)
        yield here


def _set_up_django() -> str:
    """Migrated by the owner, in a process of its own; then this one, as the application role."""
    import django

    from cryptobot.embedded import paths

    owner = paths.embedded_database_url(Path(os.environ["DATA_DIR"]), role=paths.OWNER_ROLE)
    migrate = Launch(argv=(*DJANGO, "migrate_desk"), env=os.environ | {"DATABASE_URL": owner}, cwd=BASE_DIR)
    subprocess.run(migrate.argv, env=migrate.env, cwd=migrate.cwd, check=True, stdout=sys.stderr)
    django.setup()
    from django.conf import settings

    return str(settings.INSTANCE)
