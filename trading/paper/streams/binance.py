"""Binance USDⓈ-M streams: `/public/ws` (diff depth), `/private/ws?listenKey=` (orders, account). Facts §1."""

from urllib.parse import parse_qs

from trading.paper.dialects.base import Dialect, compact, plain
from trading.paper.dialects.binance import Binance
from trading.paper.dialects.binance_shapes import FIRST_ID, level, status
from trading.paper.market import Levels
from trading.paper.orders import Changes, Ended, Forced, TimeInForce
from trading.paper.streams.books import Shown
from trading.paper.streams.events import OrderEvent
from trading.paper.streams.hub import Connection, StreamDialect, said

DEPTH = 1_000


class BinanceStreams(StreamDialect):
    def __init__(self, dialect: Dialect) -> None:
        super().__init__(dialect)
        assert isinstance(dialect, Binance)
        self.binance = dialect
        self._by_name = {i.id.lower(): i for i in dialect.by_symbol.values()}

    def opened(self, c: Connection, now_ms: int) -> bool:
        where = c.path.split("/")
        if "private" in where:
            c.owner = self.binance.listen_keys.good(parse_qs(c.query).get("listenKey", [""])[0], now_ms)
            return c.owner
        return "public" in where or "market" in where

    def heard(self, c: Connection, text: str, now_ms: int) -> None:
        asked = said(text)
        names = [str(name) for name in asked.get("params") or []]
        unknown = [name for name in names if name.split("@")[0] not in self._by_name]
        if asked.get("method") not in ("SUBSCRIBE", "UNSUBSCRIBE") or unknown:
            c.say(
                compact(
                    {"error": {"code": 2, "msg": f"Invalid request: {text[:200]}"}, "id": asked.get("id")}
                )
            )
            return
        for name in names:
            symbol, _, stream = name.partition("@")
            if asked["method"] == "UNSUBSCRIBE":
                c.topics.pop(name, None)
            elif stream.startswith("depth"):
                base = self._by_name[symbol].base
                c.topics[name] = Shown(base, DEPTH, *self.dialect.book_levels(base), self.sequence())
        c.say(compact({"result": None, "id": asked.get("id")}))

    def sequence(self) -> int:
        return self.binance.update_id(self.engine.now_ms)

    def book(self, topic: str, shown: Shown, bids: Levels, asks: Levels, *, first: bool, since: int) -> str:
        """Only ever differences: the whole book is asked for over REST."""
        instrument, now = self.engine.instruments[shown.base], self.engine.now_ms
        return compact(
            {
                "e": "depthUpdate",
                "E": now,
                "T": now,
                "s": instrument.id,
                "U": since + 1,
                "u": shown.sequence,
                "pu": since,
                "b": [level(row, instrument) for row in bids],
                "a": [level(row, instrument) for row in asks],
            }
        )

    def private(self, c: Connection, events: list[OrderEvent], changes: Changes, now_ms: int) -> list[str]:
        frames = [self._order(event, now_ms) for event in events]
        return [*frames, self._account(now_ms)] if changes.account else frames

    def _order(self, event: OrderEvent, now_ms: int) -> str:
        order, fill = event.order, event.fill
        instrument, forced = self.engine.instruments[order.base], Forced.of(order.client_order_id)
        post_only = order.time_in_force is TimeInForce.POST_ONLY
        kind = "MARKET" if order.price is None else "LIMIT"
        row = {
            "s": instrument.id,
            "c": order.client_order_id,
            "S": order.side.value.upper(),
            "o": "LIQUIDATION" if forced is Forced.LIQUIDATION else kind,
            "f": "GTX" if post_only else "GTC" if order.price is None else order.time_in_force.value,
            "q": plain(order.qty),
            "p": plain(order.price) if order.price is not None else "0",
            "ap": plain(order.average_price),
            "sp": "0",
            "x": _what(event),
            "X": status(order),
            "i": FIRST_ID + order.id,
            "l": plain(fill.qty) if fill else "0",
            "z": plain(order.filled),
            "L": plain(fill.price) if fill else "0",
            "N": "USDT",
            "n": plain(fill.fee) if fill else "0",
            "T": order.updated_ms,
            "t": fill.id if fill else 0,
            "b": "0",
            "a": "0",
            "m": fill.maker if fill else False,
            "R": order.reduce_only,
            "wt": "CONTRACT_PRICE",
            "ot": kind,
            "ps": "BOTH",
            "cp": False,
            "rp": plain(fill.realised) if fill else "0",
        }
        return compact({"e": "ORDER_TRADE_UPDATE", "E": now_ms, "T": order.updated_ms, "o": row})

    def _account(self, now_ms: int) -> str:
        account = self.engine.account
        wallet = plain(account.wallet)
        positions = [
            {
                "s": self.engine.instruments[base].id,
                "pa": plain(position.net),
                "ep": plain(position.entry),
                "cr": "0",
                "up": plain(position.unrealised(self.engine.mark(base))),
                "mt": "cross",
                "iw": "0",
                "ps": "BOTH",
            }
            for base, position in account.positions.items()
        ]
        balances = [{"a": "USDT", "wb": wallet, "cw": wallet, "bc": "0"}]
        update = {"m": "ORDER", "B": balances, "P": positions}
        return compact({"e": "ACCOUNT_UPDATE", "E": now_ms, "T": now_ms, "a": update})


def _what(event: OrderEvent) -> str:
    """The execution type."""
    order = event.order
    if event.fill is not None:
        return "CALCULATED" if Forced.of(order.client_order_id) else "TRADE"
    if order.live:
        return "NEW"
    return "CANCELED" if order.ended is Ended.USER else "EXPIRED"
