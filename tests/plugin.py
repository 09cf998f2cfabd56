"""One embedded PostgreSQL and Valkey per test run, one database per worker, the app's role in every test.

A test's connections run as the application role, so grants and triggers hold as in production.
`tests.database.as_owner()` and `as_superuser()` are for the few lines that must go round them.
"""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from cryptobot.embedded import throwaway
from tests import database, environment

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
