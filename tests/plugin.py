"""One embedded PostgreSQL and Valkey per test run, one database per worker, the app's role in every test.

A test's connections run as the application role, so grants and triggers hold as in production.
`tests.database.as_owner()` and `as_superuser()` are for the few lines that must go round them.
"""

from collections.abc import Generator, Iterator
from contextlib import ExitStack

import pytest

from cryptobot.embedded import throwaway
from tests import database, environment
from tests.desk import Desk

_services = ExitStack()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    idle = config.option.help or config.option.version or config.option.collectonly
    if not environment.is_worker() and not idle:
        _services.enter_context(throwaway.services(environment.data_dir()))
        database.let_owner_create_databases(environment.data_dir())


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    _services.close()
    if not environment.is_worker():
        throwaway.remove(environment.data_dir())


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: "database.Blocker") -> Iterator[None]:
    """After pytest-django has migrated as the owner: grants, then the application role for the tests."""
    with django_db_blocker.unblock():
        database.become_application()
    yield
    with django_db_blocker.unblock():
        database.become_owner()


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A running desk, shared by the tests of one worker: leave it as you found it, in HOLD."""
    data_dir = tmp_path_factory.mktemp("desk")
    running = Desk(data_dir)
    try:
        yield running.start()
        assert running.stop() == 0, running.tail()
    finally:
        running.kill_if_running()
        throwaway.remove(data_dir)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of the shared desk go to one worker: a second desk would cost more than it saves."""
    for item in items:
        if "desk" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("desk"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the desk said, beside the failure of a test that used it."""
    report = yield
    running = getattr(item, "funcargs", {}).get("desk")
    if report.failed and isinstance(running, Desk):
        report.sections.append(("the desk's last lines", running.tail()))
    return report
