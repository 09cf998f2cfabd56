"""Version 1 comes from the profile's file, once, whoever starts first."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from ops import config
from ops.config import ControlConfig, versions
from ops.models import AuditEntry, ConfigVersion
from tests import factories


@pytest.mark.django_db
def test_before_the_first_start_nothing_runs() -> None:
    versions.forget()
    for ask in (config.active, config.running_version):
        with pytest.raises(LookupError, match="desk_start"):
            ask()


@pytest.mark.usefixtures("house")
def test_the_first_version_is_stored_once_with_its_audit_entry() -> None:
    first = config.ensure_first_version()
    assert config.ensure_first_version() == first
    assert (first.version, first.profile, first.active) == (1, "paper", True)
    assert ConfigVersion.objects.count() == 1
    assert AuditEntry.objects.filter(action="ops.config_loaded").count() == 1
    assert (config.active().version, config.active().digest) == (1, first.digest)


@pytest.mark.usefixtures("house")
def test_the_file_is_only_a_candidate_once_something_runs() -> None:
    second = factories.activate(ConfigVersion.objects.get().yaml.replace("quorum: 1", "quorum: 3"))
    assert config.ensure_first_version() == second
    assert config.active().section(ControlConfig).quorum == 3
    assert config.running_version() == 2


@pytest.mark.django_db(transaction=True)
def test_processes_that_start_together_store_one_version() -> None:
    starters = 8
    together = threading.Barrier(starters)

    def start(_: int) -> int:
        try:
            together.wait()
            return config.ensure_first_version().version
        finally:
            connection.close()

    with ThreadPoolExecutor(starters) as pool:
        assert list(pool.map(start, range(starters))) == [1] * starters
    assert ConfigVersion.objects.count() == 1
    assert AuditEntry.objects.filter(action="ops.config_loaded").count() == 1
    versions.forget()
