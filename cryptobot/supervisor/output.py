"""One log stream of many children: whole lines, each with the name of its child before it."""

import contextlib
import os
import select
from collections import deque

CHUNK = 4096  # at most PIPE_BUF: a write that select() allowed does not block
LINE_LIMIT = 64 * 1024
BACKLOG_LINES = 10_000


class Output:
    """Never blocks: a paused terminal must not stop a child that trades.

    What cannot be written waits; beyond BACKLOG_LINES the oldest lines are lost.
    """

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor: int | None = descriptor
        self._waiting: deque[bytes] = deque(maxlen=BACKLOG_LINES)

    def line(self, name: str, text: bytes | str) -> None:
        data = (text.encode() if isinstance(text, str) else text).rstrip()
        if data:
            self._waiting.append(f"{name:>17} | ".encode() + data + b"\n")
            self.flush()

    def plain(self, text: str) -> None:
        self._waiting.extend(line + b"\n" for line in text.encode().splitlines())
        self.flush()

    def flush(self) -> None:
        """Write what can be written now."""
        while self._waiting and self._descriptor is not None:
            line = self._waiting.popleft()
            rest = self._write(line)
            if rest:
                self._waiting.appendleft(rest)
                return

    def _write(self, line: bytes) -> bytes:
        descriptor = self._descriptor
        assert descriptor is not None
        while line:
            try:
                if not select.select([], [descriptor], [], 0)[1]:
                    return line
                line = line[os.write(descriptor, line[:CHUNK]) :]
            except OSError:  # nobody reads any more: the desk goes on without a log
                self._descriptor = None
                return b""
        return b""


class LineBuffer:
    """Cuts a byte stream into lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Whole lines so far; at the end of the stream (no data) also the unfinished one."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if self._rest and (not data or len(self._rest) > LINE_LIMIT):
            lines.append(self._rest)
            self._rest = b""
        return lines


def read_available(descriptor: int) -> bytes | None:
    """What a non-blocking pipe holds: None when there is nothing now, empty at its end."""
    with contextlib.suppress(BlockingIOError):
        return os.read(descriptor, 65536)
    return None
