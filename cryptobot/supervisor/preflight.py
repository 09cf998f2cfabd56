"""Is this host fit to run a desk? Each check answers with one clear line before anything is started."""

import contextlib
import errno
import fcntl
import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import IO

from cryptobot.embedded import paths
from cryptobot.env import Environment

NEEDED_MB = 512
LOCK_NAME = "supervisor.lock"


class UnfitHostError(Exception):
    """The desk cannot start here; the message names what, where and the way out."""


def check_host(env: Environment) -> IO[str]:
    """Run every check. Returns the held lock of DATA_DIR: keep it open as long as the desk runs.

    Raises:
        UnfitHostError: the first thing in the way.
    """
    writable_directory(env.data_dir)
    lock = only_desk_on(env.data_dir)
    enough_disk([env.data_dir, *([_existing(paths.postgres_data(env.data_dir))] if env.embedded else [])])
    port_free(env.host, env.port)
    return lock


def writable_directory(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise UnfitHostError(
                f"the disk of DATA_DIR={path} is full: free at least {NEEDED_MB} MB"
            ) from None
        raise UnfitHostError(
            f"DATA_DIR={path} is not a directory we can write to ({error.strerror}): choose another DATA_DIR"
        ) from None


def only_desk_on(data_dir: Path) -> IO[str]:
    """Two supervisors on one DATA_DIR would start two desks on one database."""
    lock = (data_dir / LOCK_NAME).open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise UnfitHostError(
            f"another desk (process {holder}) already runs on DATA_DIR={data_dir}: "
            "stop it, or choose another DATA_DIR and PORT"
        ) from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def enough_disk(places: list[Path], *, needed_mb: int = NEEDED_MB) -> None:
    for place in places:
        free_mb = shutil.disk_usage(place).free // 2**20
        if free_mb < needed_mb:
            raise UnfitHostError(
                f"{place} has {free_mb} MB free, {needed_mb} MB are needed: free some, or set DATA_DIR"
            )


def port_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UnfitHostError(
                f"PORT={port} on HOST={host} cannot be used ({error.strerror}): "
                f"stop what holds it, or choose another, e.g. PORT={port + 1 if port < 65535 else 8001}"
            ) from None


def _existing(path: Path) -> Path:
    return next(p for p in (path, *path.parents) if p.exists())
