"""The environment of a test run: nothing of the developer's own, one DATA_DIR for all xdist workers.

A plain run, or the xdist controller, makes the DATA_DIR and (in tests/plugin.py) starts one embedded
PostgreSQL and Valkey on it; workers inherit `TESTS_DATA_DIR` and only take a Redis database each.
"""

import fcntl
import os
import sys
import tempfile
from pathlib import Path

from cryptobot.embedded import paths, throwaway
from cryptobot.env import Environment

DATA_DIR_VARIABLE = "TESTS_DATA_DIR"
_PREFIX = "cryptobot-tests-"
_LOCK = "tests.lock"
_held: list[int] = []


def is_worker() -> bool:
    return "PYTEST_XDIST_WORKER" in os.environ


def data_dir() -> Path:
    return Path(os.environ[DATA_DIR_VARIABLE])


def prepare() -> None:
    """Set os.environ and set Django up. Called once, by the root conftest."""
    if "cryptobot.settings" in sys.modules:
        sys.exit("unset DJANGO_SETTINGS_MODULE: it makes pytest read the settings of your own desk")
    for name in [n for n in os.environ if n.lower() in Environment.model_fields or n.startswith("PG")]:
        del os.environ[name]
    if not is_worker():
        os.environ[DATA_DIR_VARIABLE] = str(_new_data_dir())
    superuser = paths.embedded_database_url(data_dir(), role=paths.SUPERUSER_ROLE)
    redis = paths.embedded_redis_url(data_dir(), db=_redis_database())
    os.environ.update(DATA_DIR=str(data_dir()), DATABASE_URL=superuser, REDIS_URL=redis)
    _set_up_django()


def _set_up_django() -> None:
    import django
    from django.conf import settings

    os.environ["DJANGO_SETTINGS_MODULE"] = "cryptobot.settings"
    database = settings.DATABASES["default"]
    database["OPTIONS"].pop("pool", None)  # a pool would keep the test database open
    # Everything until the grants (create, migrate) is done by the owner, as in production.
    database["OPTIONS"]["options"] += f" -c role={paths.OWNER_ROLE}"
    settings.AUDIT_HEADS = (
        data_dir() / f"audit-heads-{_redis_database()}.jsonl"
    )  # as its database: a worker's
    settings.THROTTLE_RATES = dict.fromkeys(settings.THROTTLE_RATES, "100000/min")  # its own tests lower it
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    django.setup()
    # pytest-django of a worker would read the settings before its conftest has chosen a Redis database.
    del os.environ["DJANGO_SETTINGS_MODULE"]


def _redis_database() -> int:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    return int(worker.removeprefix("gw")) + 1 if worker else 0


def _new_data_dir() -> Path:
    _remove_abandoned()
    draft = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}"))
    lock = os.open(draft / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    _held.append(lock)  # held as long as this process lives: how others know that the directory is in use
    directory = draft.with_name(draft.name.removeprefix("."))
    draft.rename(directory)  # only now can another run see it
    return directory


def _remove_abandoned() -> None:
    """What killed test runs left behind."""
    for directory in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            with (directory / _LOCK).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                throwaway.remove(directory)
        except OSError:
            continue
