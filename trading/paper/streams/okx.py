"""OKX streams: `/ws/v5/public` (books), `/ws/v5/private` (login, orders). Facts §1."""

import base64
import hashlib
import hmac
from typing import Any

from trading.paper.dialects import okx_shapes as shapes
from trading.paper.dialects.base import Dialect, compact, plain
from trading.paper.dialects.okx import Okx
from trading.paper.market import Levels
from trading.paper.orders import Changes
from trading.paper.streams.books import Shown
from trading.paper.streams.events import OrderEvent
from trading.paper.streams.hub import Connection, StreamDialect, said

PATHS = ("/ws/v5/public", "/ws/v5/private", "/ws/v5/business")
DEPTHS = {"books": 400, "books5": 5}
LATE_SEC = 30
ALL = {"SWAP", "ANY"}


class OkxStreams(StreamDialect):
    def __init__(self, dialect: Dialect) -> None:
        super().__init__(dialect)
        assert isinstance(dialect, Okx)
        self.okx = dialect

    def opened(self, c: Connection, now_ms: int) -> bool:
        return c.path in PATHS

    def heard(self, c: Connection, text: str, now_ms: int) -> None:
        if text == "ping":
            c.say("pong")
            return
        asked = said(text)
        args = [row for row in asked.get("args") or [] if isinstance(row, dict)]
        match asked.get("op"):
            case "login":
                self._login(c, args[0] if args else {}, now_ms)
            case "subscribe" | "unsubscribe" as op:
                for arg in args:
                    self._subscribe(c, op, arg)
            case _:
                c.say(_error("60012", f"Illegal request: {text[:200]}"))

    def _login(self, c: Connection, arg: dict[str, Any], now_ms: int) -> None:
        given = {name: str(arg.get(name, "")) for name in ("apiKey", "passphrase", "timestamp", "sign")}
        text = f"{given['timestamp']}GET/users/self/verify".encode()
        digest = hmac.new(self.keys.api_secret.encode(), text, hashlib.sha256).digest()
        seconds = given["timestamp"].partition(".")[0]
        if not seconds.isdecimal() or abs(int(seconds) - now_ms / 1000) > LATE_SEC:
            c.say(_error("60006", "Timestamp request expired"))
        elif not _same(given["apiKey"], self.keys.api_key):
            c.say(_error("60005", "Invalid apiKey"))
        elif not _same(given["sign"], base64.b64encode(digest).decode()):
            c.say(_error("60007", "Invalid sign"))
        elif not _same(given["passphrase"], self.keys.api_passphrase):
            c.say(_error("60024", "Wrong passphrase"))
        else:
            c.owner = True
            c.say(compact({"event": "login", "code": "0", "msg": "", "connId": "paper"}))

    def _subscribe(self, c: Connection, op: str, arg: dict[str, Any]) -> None:
        channel, symbol = str(arg.get("channel")), str(arg.get("instId", ""))
        topic = compact(arg)
        if op == "unsubscribe":
            c.topics.pop(topic, None)
        elif channel in DEPTHS and symbol in self.dialect.by_symbol:
            c.topics[topic] = Shown(self.dialect.by_symbol[symbol].base, DEPTHS[channel])
        elif channel == "orders" and arg.get("instType") in ALL and c.owner:
            c.topics[topic] = None
        elif channel == "orders" and not c.owner:
            c.say(_error("60011", "Please log in"))
            return
        else:
            c.say(_error("60018", f"Wrong URL or {channel} {symbol} doesn't exist."))
            return
        c.say(compact({"event": op, "arg": arg, "connId": "paper"}))

    def sequence(self) -> int:
        return self.okx.sequence(self.engine.now_ms)

    def book(self, topic: str, shown: Shown, bids: Levels, asks: Levels, *, first: bool, since: int) -> str:
        instrument = self.engine.instruments[shown.base]
        row = {
            "asks": [shapes.level(level, instrument) for level in asks],
            "bids": [shapes.level(level, instrument) for level in bids],
            "ts": str(self.engine.now_ms),
            "checksum": 0,
            "prevSeqId": -1 if first else since,
            "seqId": shown.sequence,
        }
        action = "snapshot" if first else "update"
        return f'{{"arg":{topic},"action":"{action}","data":[{compact(row)}]}}'

    def private(self, c: Connection, events: list[OrderEvent], changes: Changes, now_ms: int) -> list[str]:
        topics = [topic for topic, shown in c.topics.items() if shown is None]
        rows = [compact(self._order(event)) for event in events]
        return [f'{{"arg":{topic},"data":[{row}]}}' for topic in topics for row in rows]

    def _order(self, event: OrderEvent) -> dict[str, Any]:
        """The REST row, with this one fill in place of the order's sums."""
        order, fill = event.order, event.fill
        instrument = self.engine.instruments[order.base]
        row = shapes.order(order, instrument, self.engine.account.leverage_of(order.base))
        return row | {
            "fillPx": plain(fill.price) if fill else "",
            "fillSz": shapes.contracts(fill.qty, instrument) if fill else "0",
            "tradeId": str(fill.id) if fill else "",
            "fillFee": plain(-fill.fee) if fill else "0",
            "fillFeeCcy": "USDT" if fill else "",
            "fillTime": str(fill.at_ms) if fill else "",
            "fillPnl": plain(fill.realised) if fill else "0",
            "execType": ("M" if fill.maker else "T") if fill else "",
            "amendResult": "",
            "code": "0",
            "msg": "",
            "reqId": "",
        }


def _error(code: str, text: str) -> str:
    return compact({"event": "error", "code": code, "msg": text, "connId": "paper"})


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
