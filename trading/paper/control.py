"""The control endpoint: `/paper/control/...` on each venue's port, for tests, drills and replay.

Every request carries `X-Paper-Control: <token>`; bodies and answers are JSON. The list: docs/paper-venues.md.
"""

import hmac
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from trading.paper.dialects.base import Call, Reply
from trading.paper.journal import to_doc
from trading.paper.orders import Forced, Refused
from trading.paper.overlay import NOTHING, Overlay

if TYPE_CHECKING:
    from trading.paper.server import PaperVenues
    from trading.paper.venue import Venue

PREFIX = "/paper/control/"
WITHDRAW = {"bids": {"bids"}, "asks": {"asks"}, "both": {"bids", "asks"}, "none": set()}


class Control:
    def __init__(self, venue: "Venue", venues: "PaperVenues") -> None:
        self.venue, self.venues = venue, venues
        self._verbs: dict[tuple[str, str], Callable[[dict[str, Any]], Any | Awaitable[Any]]] = {
            ("GET", "state"): self.state,
            ("GET", "faults"): lambda _: [fault_row(f) for f in self.venue.faults],
            ("POST", "faults"): lambda body: fault_row(self.venue.faults.add_from(body)),
            ("DELETE", "faults"): self.clear_faults,
            ("GET", "stream_faults"): lambda _: [asdict(f) for f in self.venue.streams.faults],
            ("POST", "stream_faults"): lambda body: asdict(self.venue.streams.faults.add_from(body)),
            ("DELETE", "stream_faults"): self.clear_stream_faults,
            ("POST", "market"): self.change_market,
            ("DELETE", "market"): self.clear_market,
            ("POST", "clock"): self.move_clock,
            ("POST", "recording"): self.move_recording,
            ("POST", "limits"): self.set_limits,
            ("POST", "latency"): self.set_latency,
            ("POST", "force_close"): self.force_close,
        }

    async def answer(self, call: Call) -> Reply:
        given = call.headers.get("x-paper-control", "")
        if not hmac.compare_digest(given.encode(), self.venue.control_token.encode()):
            return _reply({"error": "X-Paper-Control: missing or wrong"}, 403)
        verb = self._verbs.get((call.method, call.path.removeprefix(PREFIX)))
        if verb is None:
            known = ", ".join(f"{method} {name}" for method, name in self._verbs)
            return _reply({"error": f"unknown; there are {known}"}, 404)
        try:
            body = json.loads(call.body) if call.body else dict(parse_qsl(call.query))
            if not isinstance(body, dict):
                raise TypeError("the body must be a JSON object")
            answer = verb(body)
            return _reply(await answer if isinstance(answer, Awaitable) else answer)
        except (ValueError, TypeError, KeyError) as error:
            return _reply({"error": str(error) or type(error).__name__}, 400)

    # -- verbs --

    def state(self, _: dict[str, Any]) -> dict[str, Any]:
        venue, engine = self.venue, self.venue.engine
        engine.advance(venue.clock.now_ms())
        account = engine.account
        return {
            "venue": venue.name,
            "now_ms": engine.now_ms,
            "account": {
                "wallet": str(account.wallet),
                "equity": str(engine.equity()),
                "available": str(engine.available()),
                "fees_paid": str(account.fees_paid),
                "realised": str(account.realised),
                "funding": str(account.funding),
            },
            "positions": {base: to_doc(p) for base, p in account.positions.items() if p.net},
            "marks": {base: str(engine.mark(base)) for base in engine.instruments},
            "orders": [to_doc(order) for order in engine.orders.values()],
            "fills": [to_doc(fill) for fill in engine.fills.values()],
            "bills": [to_doc(bill) for bill in engine.bills.values()],
            "faults": [fault_row(fault) for fault in venue.faults],
        }

    def clear_faults(self, body: dict[str, Any]) -> list[Any]:
        self.venue.faults.clear(int(body["id"]) if "id" in body else None)
        return [fault_row(fault) for fault in self.venue.faults]

    def clear_stream_faults(self, _: dict[str, Any]) -> list[Any]:
        self.venue.streams.faults.clear()
        return []

    def change_market(self, body: dict[str, Any]) -> dict[str, Any]:
        base = self._base(body["symbol"])
        overlay = changed(self.venue.market.overlay(self.venue.name, base), body)
        self.venue.market.change(self.venue.name, base, overlay)
        return self._moved(base)

    def clear_market(self, body: dict[str, Any]) -> dict[str, Any]:
        bases = [self._base(body["symbol"])] if "symbol" in body else list(self.venue.engine.instruments)
        for base in bases:
            self.venue.market.change(self.venue.name, base, NOTHING)
        self.venue.apply_conditions()
        return {base: self._moved(base) for base in bases}

    def _base(self, symbol: Any) -> str:
        instrument = self.venue.dialect.by_symbol.get(str(symbol))
        if instrument is None:
            raise ValueError(f"symbol {symbol!r}: accepted are {', '.join(self.venue.dialect.by_symbol)}")
        return instrument.base

    def _moved(self, base: str) -> dict[str, Any]:
        """Resting orders meet the new prices at once."""
        venue = self.venue
        venue.market_moved()
        overlay = asdict(venue.market.overlay(venue.name, base))
        shown = {name: None if value is None else str(value) for name, value in overlay.items()}
        return {**shown, "withdrawn": sorted(overlay["withdrawn"]), "mark": str(venue.engine.mark(base))}

    def move_clock(self, body: dict[str, Any]) -> dict[str, int]:
        now = self.venue.clock.now_ms()
        target = int(body["set_ms"]) if "set_ms" in body else now + int(body["advance_ms"])
        self.venues.move_clock(target)
        return {"now_ms": self.venue.clock.now_ms()}

    def move_recording(self, body: dict[str, Any]) -> dict[str, int]:
        return {"minute": self.venues.move_recording(minute=body.get("minute"), step=body.get("step"))}

    def set_latency(self, body: dict[str, Any]) -> dict[str, int]:
        """`{p50_ms, p99_ms}` of a request's round trip; zeros end it."""
        if unknown := body.keys() - {"p50_ms", "p99_ms"}:
            raise ValueError(f"unknown {', '.join(unknown)}: accepted are p50_ms, p99_ms")
        self.venue.latency.set(p50_ms=int(body["p50_ms"]), p99_ms=int(body["p99_ms"]))
        return {"p50_ms": self.venue.latency.p50_ms, "p99_ms": self.venue.latency.p99_ms}

    def force_close(self, body: dict[str, Any]) -> dict[str, Any]:
        """`{symbol, why: liquidation|adl, qty?}`: the venue closes a position or a part of it."""
        venue, base = self.venue, self._base(body["symbol"])
        why = str(body.get("why", "liquidation")).upper()
        if why not in Forced.__members__:
            raise ValueError(f"why {why.lower()!r}: accepted are liquidation, adl")
        venue.engine.advance(venue.clock.now_ms())
        held = abs(venue.engine.account.position(base).net)
        qty = _decimal(body.get("qty")) or held
        try:
            order = venue.engine.force_close(base, qty, Forced[why])
        except Refused as refused:
            raise ValueError(f"qty {qty}: accepted are whole lots up to {held}") from refused
        venue.settle()
        return to_doc(order)

    def set_limits(self, body: dict[str, Any]) -> dict[str, int]:
        limit = getattr(self.venue.dialect, "limit", None)
        for name, value in body.items():
            if not isinstance(getattr(limit, name, None), int):
                raise ValueError(f"{name}: {self.venue.name} has no such limit")
            setattr(limit, name, int(value))
        return {name: value for name, value in vars(limit).items() if isinstance(value, int)}


def changed(overlay: Overlay, body: dict[str, Any]) -> Overlay:
    """What `body` names replaces what `overlay` says; null lifts a mid or funding rate.

    Raises:
        ValueError: naming what is unknown and what is accepted.
    """
    accepted = {"symbol", "mid", "shift_bps", "withdraw", "funding_rate"}
    if unknown := body.keys() - accepted:
        raise ValueError(f"unknown {', '.join(unknown)}: accepted are {', '.join(sorted(accepted))}")
    if "mid" in body:
        overlay = replace(overlay, mid=_decimal(body["mid"]))
    if "shift_bps" in body:
        overlay = replace(overlay, shift_bps=_decimal(body["shift_bps"]) or Decimal(0))
    if "funding_rate" in body:
        overlay = replace(overlay, funding_rate=_decimal(body["funding_rate"]))
    if "withdraw" in body:
        if body["withdraw"] not in WITHDRAW:
            raise ValueError(f"withdraw {body['withdraw']!r}: accepted are {', '.join(WITHDRAW)}")
        overlay = replace(overlay, withdrawn=frozenset(WITHDRAW[body["withdraw"]]))
    return overlay


def _decimal(value: Any) -> Decimal | None:
    try:
        return None if value is None else Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{value!r} is no number") from None


def fault_row(fault: Any) -> dict[str, Any]:
    return {**asdict(fault), "fraction": str(fault.fraction), "bps": str(fault.bps)}


def _reply(data: Any, status: int = 200) -> Reply:
    return Reply(json.dumps(data), status)
