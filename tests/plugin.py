"""One embedded PostgreSQL and Valkey per test run, one database per worker, the app's role in every test.

A test's connections run as the application role, so grants and triggers hold as in production.
`tests.database.as_owner()` and `as_superuser()` are for the few lines that must go round them.
"""

import subprocess
from collections.abc import Iterator

import pytest

from cryptobot.embedded import postgres, valkey
from cryptobot.embedded.process import Launch, spawn, stop, wait_until
from tests import database, environment

_services: list[tuple[Launch, subprocess.Popen[bytes]]] = []


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if environment.is_worker() or config.option.help or config.option.version or config.option.collectonly:
        return
    data_dir = environment.data_dir()
    for launch in (valkey.prepare(data_dir), postgres.prepare(data_dir, durable=False)):
        with (data_dir / "services.log").open("ab") as log:
            _services.append((launch, spawn(launch, stdout=log)))
    wait_until(lambda: valkey.answers(data_dir), _services[0][1], timeout_sec=60)
    wait_until(lambda: postgres.answers(data_dir), _services[1][1], timeout_sec=60)
    postgres.bootstrap(data_dir)
    database.let_owner_create_databases(data_dir)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    for launch, process in reversed(_services):
        stop(process, launch.stop_signal)
    if not environment.is_worker():
        environment.remove(environment.data_dir())


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: "database.Blocker") -> Iterator[None]:
    """After pytest-django has migrated as the owner: grants, then the application role for the tests."""
    with django_db_blocker.unblock():
        database.become_application()
    yield
    with django_db_blocker.unblock():
        database.become_owner()
