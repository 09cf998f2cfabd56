"""Bybit v5 streams: `/v5/public/linear` (orderbook), `/v5/private` (auth, order, execution). Facts §1."""

import hmac
from hashlib import sha256
from typing import Any

from trading.paper.dialects import bybit_shapes as shapes
from trading.paper.dialects.base import Dialect, compact
from trading.paper.dialects.bybit import Bybit
from trading.paper.market import Levels
from trading.paper.orders import Changes
from trading.paper.streams.books import Shown
from trading.paper.streams.events import OrderEvent
from trading.paper.streams.hub import Connection, StreamDialect, said

PUBLIC, PRIVATE = "/v5/public/linear", "/v5/private"
DEPTHS = {"1", "50", "200", "1000"}
TOPICS = {"order", "execution"}
FIRST_UPDATE = 1_000  # 1 would mean that the service has restarted


class BybitStreams(StreamDialect):
    def __init__(self, dialect: Dialect) -> None:
        super().__init__(dialect)
        assert isinstance(dialect, Bybit)
        self.bybit = dialect

    def opened(self, c: Connection, now_ms: int) -> bool:
        return c.path in (PUBLIC, PRIVATE)

    def heard(self, c: Connection, text: str, now_ms: int) -> None:
        asked = said(text)
        op, args, mark = asked.get("op"), asked.get("args") or [], asked.get("req_id", "")
        if op == "ping":
            c.say(
                compact(
                    {"success": True, "ret_msg": "pong", "conn_id": "paper", "req_id": mark, "op": "ping"}
                )
            )
            return
        if op == "auth":
            refused = self._auth(c, [str(each) for each in args], now_ms)
        elif op in ("subscribe", "unsubscribe"):
            refused = next((no for each in args if (no := self._subscribe(c, op, str(each)))), "")
        else:
            refused = f"Invalid op: {op}"
        answer = {"success": not refused, "ret_msg": refused, "op": op, "req_id": mark, "conn_id": "paper"}
        c.say(compact(answer))

    def _auth(self, c: Connection, args: list[str], now_ms: int) -> str:
        """Why not, or ""."""
        if len(args) != 3 or not args[1].isdecimal() or int(args[1]) <= now_ms:
            return "Params Error"
        digest = hmac.new(
            self.keys.api_secret.encode(), f"GET/realtime{args[1]}".encode(), sha256
        ).hexdigest()
        known = hmac.compare_digest(args[0].encode(), self.keys.api_key.encode())
        if not known or not hmac.compare_digest(args[2].encode(), digest.encode()):
            return "Your api key is invalid or the signature is wrong."
        c.owner = True
        return ""

    def _subscribe(self, c: Connection, op: str, topic: str) -> str:
        """Why not, or ""."""
        if op == "unsubscribe":
            c.topics.pop(topic, None)
            return ""
        name, *rest = topic.split(".")
        if c.path == PRIVATE:
            if not c.owner or name not in TOPICS:
                return f"Request not authorized: {topic}"
            c.topics[topic] = None
            return ""
        symbol = self.dialect.by_symbol.get(rest[-1]) if rest else None
        if name != "orderbook" or symbol is None or rest[0] not in DEPTHS:
            return f"error:handler not found,topic:{topic}"
        c.topics[topic] = Shown(symbol.base, int(rest[0]))
        return ""

    def sequence(self) -> int:
        return self.bybit.sequence(self.engine.now_ms)

    def book(self, topic: str, shown: Shown, bids: Levels, asks: Levels, *, first: bool, since: int) -> str:
        row = {
            "s": self.engine.instruments[shown.base].id,
            "b": [shapes.level(level) for level in bids],
            "a": [shapes.level(level) for level in asks],
            "u": FIRST_UPDATE + shown.frames,
            "seq": shown.sequence,
        }
        now = self.engine.now_ms
        kind = "snapshot" if first else "delta"
        return compact({"topic": topic, "type": kind, "ts": now, "data": row, "cts": now})

    def private(self, c: Connection, events: list[OrderEvent], changes: Changes, now_ms: int) -> list[str]:
        """First what was executed, then what became of the order."""
        frames = []
        for event in events:
            instrument = self.engine.instruments[event.order.base]
            if event.fill is not None and "execution" in c.topics:
                row = shapes.execution(event.fill, event.order, instrument)
                frames.append(_frame("execution", row, event.order.id, now_ms))
            if "order" in c.topics:
                row = shapes.order(event.order, instrument)
                frames.append(_frame("order", row, event.order.id, now_ms))
        return frames


def _frame(topic: str, row: dict[str, Any], number: int, now_ms: int) -> str:
    data = [row | {"category": "linear"}]
    return compact({"id": f"{number}_{now_ms}", "topic": topic, "creationTime": now_ms, "data": data})
