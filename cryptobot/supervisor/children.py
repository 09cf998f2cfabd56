"""What a desk consists of. Another process of the desk is another line of `desk()`."""

import contextlib
import http.client
import json
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cryptobot.embedded import postgres, valkey
from cryptobot.embedded.process import Launch
from cryptobot.env import BASE_DIR, Environment

DJANGO = (sys.executable, "manage.py")
CELERY = (sys.executable, "-m", "celery", "--quiet", "-A", "cryptobot")


#: Stopped before the others: it gives the lease back when they have finished.
KEEPER = "leader-keeper"


@dataclass(frozen=True, kw_only=True)
class Child:
    """`launch` is asked at every start. `ready` None: the child says READY=1 itself (cryptobot.notify)."""

    name: str
    launch: Callable[[], Launch]
    ready: Callable[[], bool] | None = None


def services(env: Environment) -> list[Child]:
    """The embedded ones this desk runs itself; they start first and stop last."""
    found = []
    if not env.redis_url:
        found.append(
            Child(
                name="valkey",
                launch=lambda: valkey.prepare(env.data_dir),
                ready=lambda: valkey.answers(env.data_dir),
            )
        )
    if env.embedded:
        found.append(
            Child(
                name="postgres",
                launch=lambda: postgres.prepare(env.data_dir),
                ready=lambda: postgres.answers(env.data_dir),
            )
        )
    return found


def paper_venues(env: Environment) -> list[Child]:
    """After `desk_start`, which stores the configuration that names their market; before the rest, which
    reads their addresses and keys."""
    if env.exchange_profile != "paper" or env.paper_venues_dir is not None:
        return []
    file = env.paper_dir / "paper-venues.json"
    return [_python(env, "paper-venues", *DJANGO, "paper_venues", ready=lambda: _all_listen(file))]


def desk(env: Environment) -> list[Child]:
    """The processes of the desk, started together once the database is up to date."""
    web = ("-m", "daphne", "-v", "0", "-b", env.host, "-p", str(env.port), "cryptobot.web:application")
    beat_file = str(env.data_dir / "celerybeat-schedule")
    return [
        _python(env, KEEPER, *DJANGO, "leader_keeper"),
        _python(env, "web", sys.executable, *web, ready=lambda: _healthy(env)),
        _worker(env, "worker-execution", f"execution.{env.instance}"),
        _python(env, "sweeper", *DJANGO, "sweeper"),
        _python(env, "breaker", *DJANGO, "breaker"),
        _worker(env, "worker-default", "default,heartbeat"),
        _python(env, "beat", *CELERY, "beat", "-l", "WARNING", "--pidfile=", "-s", beat_file),
    ]


def one_shot(env: Environment, *command: str, as_owner: bool = False) -> Launch:
    """A management command that ends by itself; migrations run as the owner of the tables."""
    url = {"DATABASE_URL": env.resolved_owner_url} if as_owner else {}
    return Launch(argv=(*DJANGO, *command), env=_environ(env) | url, cwd=BASE_DIR)


def _worker(env: Environment, name: str, queues: str) -> Child:
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING")
    node = f"{name}@{env.instance}"
    return _python(env, name, *CELERY, "worker", "-Q", queues, "--pool=solo", "-n", node, *quiet)


def _python(env: Environment, name: str, *argv: str, ready: Callable[[], bool] | None = None) -> Child:
    launch = Launch(argv=argv, env=_environ(env), cwd=BASE_DIR)
    return Child(name=name, launch=lambda: launch, ready=ready)


def _environ(env: Environment) -> dict[str, str]:
    return os.environ | {"DATA_DIR": str(env.data_dir.resolve()), "PYTHONUNBUFFERED": "1"}


def _all_listen(file: Path) -> bool:
    """Whether each venue of the file takes connections: the file of an earlier run may lie there."""
    try:
        addresses = [urlsplit(row["base_url"]) for row in json.loads(file.read_text())["venues"].values()]
        for address in addresses:
            socket.create_connection((address.hostname, address.port or 80), timeout=1).close()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return bool(addresses)


def _healthy(env: Environment) -> bool:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(env.host, env.host)  # noqa: S104 (we connect, not bind)
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection(host, env.port, timeout=2)
        with contextlib.closing(connection):
            connection.request("GET", "/api/health", headers={"Host": "127.0.0.1"})
            return connection.getresponse().status == http.HTTPStatus.OK
    return False


def read_demo_desk(data_dir: Path) -> dict[str, str]:
    """The people of the demo desk and their passwords; empty when there is none."""
    path = data_dir / "demo-desk.json"
    if not path.exists():
        return {}
    people = json.loads(path.read_text())["people"]
    return {f"{name} ({person['role']})": str(person["password"]) for name, person in people.items()}
