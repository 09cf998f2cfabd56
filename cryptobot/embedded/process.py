"""Child processes that cannot outlive their parent, and the private directories they need."""

import ctypes
import os
import pwd
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from cryptobot.embedded import paths

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)  # loaded before any fork: the child may not allocate


class ServiceError(Exception):
    """An embedded service cannot run here; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What to run. `death_signal` is what the kernel sends when our process dies, however it dies."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    as_nobody: bool = False
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL


def service_account() -> pwd.struct_passwd | None:
    """The account the services run as, or None for our own: root gives its rights away."""
    return pwd.getpwnam("nobody") if os.getuid() == 0 else None


def _die_with(parent: int, death_signal: int) -> Callable[[], None]:
    def prepare_child() -> None:
        # After setuid, which clears it. Bound to the forking thread: spawn from the main thread only.
        _libc.prctl(PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:  # the parent died before the line above took effect
            os._exit(1)

    return prepare_child


def spawn(launch: Launch, *, stdout: int | IO[bytes] | None = None) -> subprocess.Popen[bytes]:
    """Start `launch` in a process group of its own, stderr joined to stdout. Main thread only."""
    account = service_account() if launch.as_nobody else None
    return subprocess.Popen(
        launch.argv,
        env=dict(launch.env),
        cwd=launch.cwd,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.STDOUT,
        process_group=0,
        user=account.pw_uid if account else None,
        group=account.pw_gid if account else None,
        extra_groups=[] if account else None,
        preexec_fn=_die_with(os.getpid(), launch.death_signal),
    )


def run_once(launch: Launch) -> None:
    """Run to the end.

    Raises:
        ServiceError: with the command's own output when it fails.
    """
    process = spawn(launch, stdout=subprocess.PIPE)
    output, _ = process.communicate()
    if process.returncode:
        raise ServiceError(f"{launch.argv[0]} ended with {process.returncode}:\n{output.decode().strip()}")


def stop(process: subprocess.Popen[bytes], stop_signal: signal.Signals, *, grace_sec: float = 10) -> None:
    """Ask to end, then insist; the whole process group goes."""
    if process.poll() is None:
        process.send_signal(stop_signal)
        try:
            process.wait(grace_sec)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], *, timeout_sec: float) -> None:
    """Poll `ready` until true.

    Raises:
        ServiceError: when the process ends first or the time is over.
    """
    deadline = time.monotonic() + timeout_sec
    while not ready():
        if process.poll() is not None:
            raise ServiceError(f"ended with {process.returncode} before it was ready; see its lines above")
        if time.monotonic() > deadline:
            raise ServiceError(f"not ready after {timeout_sec:.0f} s")
        time.sleep(0.02)


def private_directory(path: Path) -> Path:
    """Create `path` with mode 0700, owned by the service account; refuse one that somebody else made.

    Raises:
        ServiceError: the path is a link, not a directory, or belongs to another user.
    """
    account = service_account()
    owner = account.pw_uid if account else os.getuid()
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    for parent in path.parents if account else ():
        if parent.is_relative_to(paths.SYSTEM_DIR):  # whatever root's umask: the account must pass through
            parent.chmod(0o755)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (owner, os.getuid()):
            raise ServiceError(
                f"{path} belongs to somebody else: remove it, or choose another DATA_DIR"
            ) from None
    path.chmod(0o700)
    if account:
        os.chown(path, account.pw_uid, account.pw_gid)
    return path
