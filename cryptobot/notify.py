"""Tell whoever started this process how it is: systemd's notify protocol, spoken by our supervisor too."""

import contextlib
import os
import socket


def notify(state: str) -> None:
    """Send `READY=1`, `WATCHDOG=1` and the like. Nothing happens when nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with (
        contextlib.suppress(OSError),
        contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as out,
    ):
        out.sendto(state.encode(), address.replace("@", "\0", 1) if address.startswith("@") else address)
