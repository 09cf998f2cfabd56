"""One venue on one port: engine, dialect, faults, journal, and the HTTP around them."""

import asyncio
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

from aiohttp import web

from trading.paper import control, wire
from trading.paper.clock import Clock
from trading.paper.dialects import binance, bybit, okx
from trading.paper.dialects.base import Call, Dialect, Keys, Rejection, Reply
from trading.paper.engine import Engine, Rules
from trading.paper.faults import SAID, SILENT, Fault, Faults
from trading.paper.instruments import INSTRUMENTS
from trading.paper.journal import Journal
from trading.paper.latency import Latency
from trading.paper.orders import ZERO
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
BANNED = 418
LEAVE_SEC = 1.0  # for requests that hang in a fault when the venue stops


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
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lifted = asyncio.Event()  # set, and replaced, whenever faults change
        self._stale: dict[tuple[int, str, str], Reply] = {}  # by fault, path and query
        self.faults = Faults(seed, self.apply_conditions)
        self.latency = Latency(f"{seed}:latency:{name}")
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
        self._loop = asyncio.get_running_loop()
        self._apply_conditions()
        self._runner = web.ServerRunner(web.Server(self._serve, access_log=None), shutdown_timeout=LEAVE_SEC)
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
        self._lifted.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        self.journal.save(self.engine)
        self.journal.close()

    @property
    def busy(self) -> bool:
        """Something may happen that nobody asks for, or has and was not told: it needs a clock."""
        engine = self.engine
        return bool(
            engine.live or engine.dead_man or engine.changes or engine.marks() or self.streams.watching
        )

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

    def apply_conditions(self) -> None:
        """Faults have changed, in whatever thread: the market and the silences follow in the venue's own."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._apply_conditions)

    def _apply_conditions(self) -> None:
        """Lay what concerns the market over it, end what was lifted."""
        moved = False
        for symbol, instrument in self.dialect.by_symbol.items():
            before = self.market.overlay(self.name, instrument.base)
            after = replace(
                before,
                gap_bps=sum((fault.bps for fault in self.faults.of("price_gap", symbol)), ZERO),
                flipped=len(self.faults.of("funding_flip", symbol)) % 2 == 1,
            )
            if after != before:
                self.market.change(self.name, instrument.base, after)
                moved = True
        if moved:
            self.market_moved()
        self._lifted.set()
        self._lifted = asyncio.Event()

    def market_moved(self) -> None:
        """Not by time: what rests meets the new prices at once."""
        self.engine.advance(self.clock.now_ms())
        self.engine.match_resting()
        self.engine.revision += 1
        self.settle()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket" and not self.faults.down:
            return await self.streams.serve(request, self.clock.now_ms)
        path, _, query = request.raw_path.partition("?")
        body = (await request.read()).decode("utf-8", "replace")
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = Call(request.method, path, query, body, headers, self.clock.now_ms())
        if path.startswith(control.PREFIX) and self.control is not None:
            return wire.respond(await self.control.answer(call))
        if self.faults.down:
            return wire.reset(request)
        travel_ms, lifted = self.latency.round_trip_ms(), self._lifted
        await self._pass(travel_ms // 2)
        met = self._struck(call)
        reply = await self._answer(call, met)
        await self._pass(travel_ms - travel_ms // 2)
        return await wire.deliver(request, reply, met, clock=self.clock, lifted=lifted)

    async def _pass(self, ms: int) -> None:
        if ms:
            await self.clock.sleep(ms)

    def _struck(self, call: Call) -> list[Fault]:
        self.dialect.parse(call)
        endpoint = self.dialect.endpoint(call)
        symbol, side = self.dialect.subject(call)
        return self.faults.strike(kind=endpoint.kind if endpoint else "public", symbol=symbol, side=side)

    async def _answer(self, call: Call, met: list[Fault]) -> Reply:
        """What there is to say; whether it arrives is the wire's business."""
        for fault in met:
            if fault.effect == "delay" and not fault.after:
                await self.clock.sleep(fault.ms)
        call.now_ms = self.clock.now_ms() + self.faults.skew_ms
        said = next((fault for fault in met if fault.effect in SAID), None)
        reaches = all(fault.after for fault in met if fault.effect in (*SAID, SILENT))
        reply = self._execute(call, met) if reaches else Reply("")
        for fault in met:
            if fault.effect == "delay" and fault.after:
                await self.clock.sleep(fault.ms)
        return reply if said is None else self._said(said)

    def _execute(self, call: Call, met: list[Fault]) -> Reply:
        """One step of the venue, on disk before anyone hears of it."""
        stale = next((fault for fault in met if fault.effect == "stale_book"), None)
        if stale is not None and (kept := self._stale.get((stale.id, call.path, call.query))):
            return kept
        self.engine.advance(self.clock.now_ms())
        newest = self.engine.last_id
        partial = next((fault for fault in met if fault.effect == "partial"), None)
        reply = self.dialect.answer(call, fill_at_most=partial.fraction if partial else None)
        if stale is not None:
            self._stale[stale.id, call.path, call.query] = reply
        unseen_ms = max((fault.ms for fault in met if fault.effect == "invisible"), default=0)
        for order_id in range(newest + 1, self.engine.last_id + 1) if unseen_ms else ():
            self.engine.hide(order_id, self.engine.now_ms + unseen_ms)
        self.settle()
        return reply

    def _said(self, fault: Fault) -> Reply:
        if fault.effect == "throttle":
            busy = self.dialect.throttled(banned=fault.status == BANNED, retry_after=fault.retry_after)
            return self.dialect.rejected(busy)
        if fault.effect == "unknown":
            return self.dialect.rejected(self.dialect.unknown_outcome())
        if fault.effect == "html" or not fault.code:
            status = fault.status or HTTPStatus.BAD_GATEWAY
            return Reply(fault.message or _page(status), status, {"Content-Type": "text/html"})
        status = fault.status or (400 if self.name == binance.NAME else 200)
        rejection = Rejection(status, fault.code, fault.message or "injected", retry_after=fault.retry_after)
        return self.dialect.rejected(rejection)


def _page(status: int) -> str:
    """What a gateway in front of a venue says."""
    phrase = f"{int(status)} {HTTPStatus(status).phrase}"
    return f"<html><head><title>{phrase}</title></head><body><h1>{phrase}</h1></body></html>"
