"""One venue on one port: engine, dialect, faults, journal, and the HTTP around them."""

import asyncio
import socket
import struct
from pathlib import Path

from aiohttp import web

from trading.paper import control
from trading.paper.clock import Clock
from trading.paper.dialects import binance, bybit, okx
from trading.paper.dialects.base import Call, Dialect, Keys, Rejection, Reply
from trading.paper.engine import Engine, Rules
from trading.paper.faults import Fault, Faults
from trading.paper.instruments import INSTRUMENTS
from trading.paper.journal import Journal
from trading.paper.overlay import OverlaidMarket
from trading.paper.streams.binance import BinanceStreams
from trading.paper.streams.bybit import BybitStreams
from trading.paper.streams.hub import ABNORMAL, StreamDialect, Streams
from trading.paper.streams.okx import OkxStreams

DIALECTS: dict[str, tuple[type[Dialect], Rules]] = {
    binance.NAME: (binance.Binance, binance.RULES),
    okx.NAME: (okx.Okx, okx.RULES),
    bybit.NAME: (bybit.Bybit, bybit.RULES),
}
STREAMS: dict[str, type[StreamDialect]] = {
    binance.NAME: BinanceStreams,
    okx.NAME: OkxStreams,
    bybit.NAME: BybitStreams,
}
HTML_502 = "<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>"
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST, as a host that went away


class Venue:
    """`engine`, `dialect`, `faults` and `market` are there for tests in the same process."""

    def __init__(
        self,
        name: str,
        *,
        keys: Keys,
        control_token: str,
        market: OverlaidMarket,
        clock: Clock,
        journal_path: Path,
        seed: int,
    ) -> None:
        dialect, rules = DIALECTS[name]
        self.name, self.keys, self.control_token = name, keys, control_token
        self.market, self.clock = market, clock
        self.engine = Engine(name, rules, INSTRUMENTS[name], market, now_ms=clock.now_ms())
        self.journal = Journal(journal_path)
        self.journal.load(self.engine)
        self.dialect: Dialect = dialect(self.engine, keys)
        self.faults = Faults(seed)
        self.streams = Streams(STREAMS[name](self.dialect))
        self.control: control.Control | None = None
        self.port = 0
        self._runner: web.ServerRunner | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # -- serving --

    async def start(self, port: int) -> None:
        """Listen on `port` again, or on a free one when it is 0 or taken."""
        self._runner = web.ServerRunner(web.Server(self._serve, access_log=None))
        await self._runner.setup()
        try:
            site = web.TCPSite(self._runner, "127.0.0.1", port)
            await site.start()
        except OSError:
            if not port:
                raise
            site = web.TCPSite(self._runner, "127.0.0.1", 0)
            await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        self.streams.end_all()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        self.journal.save(self.engine)
        self.journal.close()

    @property
    def busy(self) -> bool:
        """Something may happen that nobody asks for: it needs a clock."""
        engine = self.engine
        return bool(engine.live or engine.dead_man or engine.marks() or self.streams.watching)

    def tick(self, now_ms: int) -> None:
        """What the venue does by itself; called a few times a second while `busy`."""
        self.engine.advance(now_ms)
        self.settle()

    def settle(self) -> None:
        """After a step: on disk, then to who listens. A venue that is down has no listeners."""
        changes = self.journal.save(self.engine)
        if self.faults.down:
            self.streams.end_all(ABNORMAL)
            return
        self.streams.tell(changes, self.engine.now_ms)
        self.streams.show_books()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket" and not self.faults.down:
            return await self.streams.serve(request, self.clock.now_ms)
        path, _, query = request.raw_path.partition("?")
        body = (await request.read()).decode("utf-8", "replace")
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = Call(request.method, path, query, body, headers, self.clock.now_ms())
        if path.startswith(control.PREFIX) and self.control is not None:
            reply = await self.control.answer(call)
            return _response(reply)
        if self.faults.down:
            _reset(request)
            return web.Response()
        answer = await self._answer(call)
        if answer is None:
            _reset(request)
            return web.Response()
        return _response(answer)

    async def _answer(self, call: Call) -> Reply | None:
        """None: the venue did what was asked and the answer is lost."""
        self.dialect.parse(call)
        met = self._struck(call)
        for fault in met:
            if fault.effect == "delay" and not fault.after:
                await self.clock.sleep(fault.ms)
                call.now_ms = self.clock.now_ms()
        rejected = next((fault for fault in met if fault.effect == "reject"), None)
        if rejected is not None:
            return self._rejected(rejected)
        reply = self._execute(call, met)
        for fault in met:
            if fault.effect == "delay" and fault.after:
                await self.clock.sleep(fault.ms)
        return None if any(f.effect == "drop_answer_after_accept" for f in met) else reply

    def _struck(self, call: Call) -> list[Fault]:
        endpoint = self.dialect.endpoint(call)
        symbol, side = self.dialect.subject(call)
        return self.faults.strike(kind=endpoint.kind if endpoint else "public", symbol=symbol, side=side)

    def _execute(self, call: Call, met: list[Fault]) -> Reply:
        """One step of the venue, on disk before anyone hears of it."""
        self.engine.advance(call.now_ms)
        partial = next((fault for fault in met if fault.effect == "partial"), None)
        reply = self.dialect.answer(call, fill_at_most=partial.fraction if partial else None)
        self.settle()
        return reply

    def _rejected(self, fault: Fault) -> Reply:
        if not fault.code:
            return Reply(fault.message or HTML_502, fault.status or 502, {"Content-Type": "text/html"})
        status = fault.status or (400 if self.name == binance.NAME else 200)
        rejection = Rejection(status, fault.code, fault.message or "injected", retry_after=fault.retry_after)
        return self.dialect.rejected(rejection)


def _response(reply: Reply) -> web.Response:
    headers = {"Content-Type": "application/json", **reply.headers}
    return web.Response(body=reply.body.encode(), status=reply.status, headers=headers)


def _reset(request: web.BaseRequest) -> None:
    transport = request.transport
    if isinstance(transport, asyncio.Transport):
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        transport.abort()
