"""Who listens to a venue, and what they are told.

A step of the venue is on disk before anybody hears of it; its private events may still be heard before the
answer to the request that caused them. A listener who cannot keep up is cut off, never waited for.
"""

import asyncio
import contextlib
import json
from abc import ABC, abstractmethod
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from trading.paper.dialects.base import Dialect
from trading.paper.market import Levels
from trading.paper.orders import Changes
from trading.paper.streams.books import Shown
from trading.paper.streams.events import OrderEvent, order_events
from trading.paper.streams.faults import StreamFault, StreamFaults

BEHIND = 1_000  # frames that a listener may be behind
ABNORMAL = 1006


class Connection:
    """One websocket. `topics` maps what it subscribed to, in the venue's words, to the book it was shown, or
    None for what is no book. `owner`: it has proven to be the account's."""

    def __init__(self, request: web.BaseRequest, socket: web.WebSocketResponse, faults: StreamFaults) -> None:
        self.path, _, self.query = request.raw_path.partition("?")
        self._transport = request.transport
        self.topics: dict[str, Shown | None] = {}
        self.owner = self.silent = False
        self._socket, self._faults = socket, faults
        self._frames: asyncio.Queue[str | int] = asyncio.Queue(BEHIND)
        self._held: str | None = None

    def say(self, frame: str) -> None:
        """An answer to what the listener said: no fault concerns it."""
        self._put(frame)

    def tell(self, frame: str, kind: str) -> None:
        """News; `kind` is public, snapshot (a whole book) or private."""
        if self.silent:
            return
        fault = self._faults.strike(kind)
        if fault is not None:
            self._struck(fault, frame)
            return
        self._put(frame)
        if self._held is not None:
            held, self._held = self._held, None
            self._put(held)

    def _struck(self, fault: StreamFault, frame: str) -> None:
        match fault.effect:
            case "duplicate":
                self._put(frame)
                self._put(frame)
            case "reorder":
                self._held = frame
            case "late":
                asyncio.get_running_loop().call_later(fault.ms / 1000, self._put, frame)
            case "hang_up":
                self.end(fault.code)
            case "half_open":
                self.silent = True

    def _put(self, frame: str) -> None:
        try:
            self._frames.put_nowait(frame)
        except asyncio.QueueFull:
            self.end(WSCloseCode.POLICY_VIOLATION)

    def end(self, code: int) -> None:
        """Close after what was said before; at once when the listener is too far behind for that."""
        self.silent = True
        with contextlib.suppress(asyncio.QueueFull):
            self._frames.put_nowait(code)
            return
        self._abort()

    def _abort(self) -> None:
        if isinstance(self._transport, asyncio.Transport):
            self._transport.abort()

    async def write(self) -> None:
        """Until the end."""
        while isinstance(frame := await self._frames.get(), str):
            await self._socket.send_str(frame)
        if frame == ABNORMAL:
            self._abort()
        else:
            await self._socket.close(code=frame)


class StreamDialect(ABC):
    """The words of one venue. Synchronous: what it has to say goes through the connection."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect, self.engine, self.keys = dialect, dialect.engine, dialect.keys

    @abstractmethod
    def opened(self, c: Connection, now_ms: int) -> bool:
        """False: there is no such stream."""

    @abstractmethod
    def heard(self, c: Connection, text: str, now_ms: int) -> None: ...

    @abstractmethod
    def private(self, c: Connection, events: list[OrderEvent], changes: Changes, now_ms: int) -> list[str]:
        """Frames for the account's owner."""

    @abstractmethod
    def book(self, topic: str, shown: Shown, bids: Levels, asks: Levels, *, first: bool, since: int) -> str:
        """A frame with these levels, changed since `since` in the venue's sequence; `first`: all of them."""

    @abstractmethod
    def sequence(self) -> int:
        """Of the books as they are now."""


class Streams:
    """All listeners of one venue."""

    def __init__(self, dialect: StreamDialect) -> None:
        self.dialect = dialect
        self.faults = StreamFaults()
        self.connections: set[Connection] = set()

    @property
    def watching(self) -> bool:
        """Whether anybody listens to books: only then is there a reason to compute them."""
        return any(shown for c in self.connections for shown in c.topics.values())

    async def serve(self, request: web.BaseRequest, now_ms: Any) -> web.StreamResponse:
        """One connection from handshake to end. `now_ms` is the venue's clock, called for each message."""
        socket = web.WebSocketResponse(max_msg_size=64 * 1024)
        connection = Connection(request, socket, self.faults)
        if not self.dialect.opened(connection, now_ms()):
            return web.Response(status=404)
        await socket.prepare(request)
        self.connections.add(connection)
        writer = asyncio.create_task(connection.write())
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self.dialect.heard(connection, message.data, now_ms())
                    self.show_books()
        finally:
            self.connections.discard(connection)
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await writer
        return socket

    def tell(self, changes: Changes, now_ms: int) -> None:
        """What a step of the venue changed, to the owner."""
        owners = [c for c in self.connections if c.owner]
        if not owners or not changes:
            return
        events = order_events(changes)
        for connection in owners:
            for frame in self.dialect.private(connection, events, changes, now_ms):
                connection.tell(frame, "private")

    def show_books(self) -> None:
        """To each listener what has changed since it was last told."""
        sequence = self.dialect.sequence()
        for connection in list(self.connections):
            for topic, shown in connection.topics.items():
                if shown is None:
                    continue
                since = shown.sequence
                levels = shown.changed(*self.dialect.dialect.book_levels(shown.base), sequence)
                if levels is not None:
                    frame = self.dialect.book(topic, shown, *levels, first=not since, since=since)
                    connection.tell(frame, "public" if since else "snapshot")

    def end_all(self, code: int = WSCloseCode.GOING_AWAY) -> None:
        for connection in list(self.connections):
            connection.end(code)


def said(text: str) -> dict[str, Any]:
    """What a listener sent; nothing when it is no JSON object."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
