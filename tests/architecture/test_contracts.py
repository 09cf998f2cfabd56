"""The house rules that a machine can check, so that no reviewer has to."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path

from cryptobot.env import BASE_DIR

APPS = ("cryptobot", "trading", "risk", "leadership", "ops")


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from (BASE_DIR / folder).rglob("*.py")


def test_imports_run_one_way() -> None:
    """The contracts of pyproject.toml, held by import-linter."""
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=BASE_DIR, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_domain_imports_only_the_standard_library_and_itself() -> None:
    for path in (p for app in APPS for p in sources(f"{app}/domain")):
        for name in imported(path):
            root = name.split(".")[0]
            assert root in sys.stdlib_module_names or ".domain" in name, f"{path} imports {name}"


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} uses a relative import"
            yield node.module or ""


# Who may look at the environment: its reader, those who hand it on to a child, and the notify protocol.
READERS = {
    "cryptobot/env.py",
    "cryptobot/notify.py",
    "cryptobot/asgi.py",
    "cryptobot/celery.py",
    "cryptobot/translations.py",  # an entry point of its own: it names the settings module, as manage.py does
    "cryptobot/embedded/__main__.py",
    "cryptobot/supervisor/children.py",
    "ops/notifications/service.py",  # addresses hold tokens: they stay out of the settings, too
    "trading/venues/__init__.py",  # venue keys stay out of the settings, so that nothing can print them
}


def test_only_env_py_reads_the_environment() -> None:
    readers = {
        path.relative_to(BASE_DIR).as_posix()
        for path in sources(*APPS)
        if any(word in path.read_text() for word in ("os.environ", "getenv"))
    }
    assert readers - READERS == set()


def test_every_task_has_a_queue_of_its_own_choice() -> None:
    """A task without a route would land in `default`, behind reports and exports."""
    from cryptobot.celery import ROUTES, app

    app.loader.import_default_modules()
    ours = [name for name in app.tasks if not name.startswith("celery.")]
    assert ours
    assert [n for n in ours if not any(fnmatch(n, pattern) for pattern in ROUTES)] == []
    known = {queue.name for queue in app.conf.task_queues}
    assert {route["queue"] for route in ROUTES.values()} <= known


def test_every_beat_entry_names_a_task_that_exists() -> None:
    from cryptobot.celery import BEAT, app

    app.loader.import_default_modules()
    assert [entry["task"] for entry in BEAT.values() if entry["task"] not in app.tasks] == []


def test_every_queue_is_eaten_by_a_worker_of_the_desk() -> None:
    from cryptobot.celery import ROUTES
    from cryptobot.settings import ENV  # as loaded: `settings.ENV` of a worker may be on a fixture's DATA_DIR
    from cryptobot.supervisor.children import desk

    words = [word for child in desk(ENV) for word in child.launch().argv]
    eaten = {queue for before, word in pairwise(words) if before == "-Q" for queue in word.split(",")}
    assert {route["queue"] for route in ROUTES.values()} - eaten == set()


def test_migrations_are_those_of_the_models() -> None:
    """Needs no database: it compares files with classes."""
    from django.apps import apps
    from django.db.migrations.autodetector import MigrationAutodetector
    from django.db.migrations.loader import MigrationLoader
    from django.db.migrations.state import ProjectState

    loader = MigrationLoader(None, ignore_no_migrations=True)
    found = MigrationAutodetector(loader.project_state(), ProjectState.from_apps(apps)).changes(loader.graph)
    assert {
        app: [str(m.operations) for m in migrations] for app, migrations in found.items() if app in APPS
    } == {}
