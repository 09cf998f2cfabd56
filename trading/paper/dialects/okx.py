"""OKX v5, USDT swaps, REST. Facts §1 and §5; sizes are contracts here and base coin in the engine.

An order's answer carries ids only; refusals of an order come with HTTP 200, code "1" and the row's sCode.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from trading.paper.dialects import okx_shapes as shapes
from trading.paper.dialects.base import (
    Call,
    Dialect,
    Endpoint,
    Keys,
    Rejection,
    Reply,
    compact,
    next_funding,
    number,
    plain,
    whole,
)
from trading.paper.engine import Engine, Rules
from trading.paper.instruments import Instrument
from trading.paper.limits import WindowLimit
from trading.paper.market import FUNDING_MS
from trading.paper.orders import Bill, Fill, NewOrder, Order, Reason, Refused, Side, TimeInForce

NAME = "okx"
RULES = Rules(  # Lv1
    maker_fee=Decimal("0.0002"), taker_fee=Decimal("0.0005"), refuses_at_once=False, client_id_reusable=False
)
CLIENT_ID = re.compile(r"[A-Za-z0-9]{1,32}")
ORDER_TYPES = {
    "limit": TimeInForce.GTC,
    "ioc": TimeInForce.IOC,
    "fok": TimeInForce.FOK,
    "post_only": TimeInForce.POST_ONLY,
    "market": TimeInForce.IOC,
}
WINDOW_MS = 30_000
MAX_BATCH = 20
DEAD_MAN_SEC = range(10, 121)
PAGE = 100
Row = TypeVar("Row", Order, Fill, Bill)
R = Reason
CODES: dict[Reason, tuple[str, str]] = {
    R.UNKNOWN_SYMBOL: ("51001", "Instrument ID does not exist"),
    R.MISSING: ("50014", "Parameter {} can not be empty"),
    R.BAD_VALUE: ("51000", "Parameter {} error"),
    R.TICK: ("51000", "Parameter px error"),
    R.PRICE_DECIMALS: ("51000", "Parameter px error"),
    R.LOT: ("51121", "Order quantity must be a multiple of the lot size"),
    R.QTY_DECIMALS: ("51121", "Order quantity must be a multiple of the lot size"),
    R.MIN_QTY: ("51020", "Your order should meet or exceed the minimum order amount"),
    R.MAX_QTY: ("51101", "Entered amount exceeds the max pending order amount (Cont) per transaction"),
    R.MIN_NOTIONAL: ("51020", "Your order should meet or exceed the minimum order amount"),
    R.PRICE_HIGH: ("51006", "Order price is not within the price limit (max buy price: {})"),
    R.PRICE_LOW: ("51006", "Order price is not within the price limit (min sell price: {})"),
    R.MARGIN: ("51008", "Order failed. Insufficient USDT margin in account"),
    R.REDUCE_ONLY: (
        "51169",
        "Order failed because you don't have any positions in this direction to reduce or close",
    ),
    R.CLIENT_ID: ("51000", "Parameter clOrdId error"),
    R.DUPLICATE: ("51016", "Client order ID already exists"),
    R.UNKNOWN_ORDER: ("51603", "Order does not exist"),
    R.ALREADY_CANCELED: ("51401", "Cancellation failed as the order has been canceled"),
    R.ALREADY_FILLED: ("51402", "Cancellation failed as the order has been completed"),
    R.HAS_POSITION: (
        "59000",
        "Setting failed. Cancel any open orders, close positions, and stop trading bots first",
    ),
    R.HEDGE_MODE: ("51000", "Parameter posSide error"),
    R.LEVERAGE: ("59102", "Leverage exceeds the maximum limit. Please lower the leverage"),
}


class Okx(Dialect):
    def __init__(self, engine: Engine, keys: Keys) -> None:
        super().__init__(engine, keys)
        self.limit = WindowLimit(2_000)
        self.routes = self._routes()

    def _routes(self) -> dict[tuple[str, str], Endpoint]:
        """Costs are requests per 2 s."""

        def public(allowed: int, run: Any, kind: str = "public") -> Endpoint:
            return Endpoint(kind, False, allowed, run)

        def signed(kind: str, allowed: int, run: Any) -> Endpoint:
            return Endpoint(kind, True, allowed, run)

        routes = {
            ("GET", "/public/time"): public(10, lambda call: [{"ts": str(call.now_ms)}]),
            ("GET", "/public/instruments"): public(20, self.list_instruments),
            ("GET", "/market/books"): public(40, self.books, "book"),
            ("GET", "/market/ticker"): public(20, self.ticker, "book"),
            ("GET", "/market/tickers"): public(20, self.ticker, "book"),
            ("GET", "/public/mark-price"): public(10, self.mark_price),
            ("GET", "/public/price-limit"): public(20, self.price_limit),
            ("GET", "/public/funding-rate"): public(10, self.funding_rate),
            ("GET", "/public/funding-rate-history"): public(10, self.funding_history),
            ("GET", "/public/position-tiers"): public(10, self.tiers),
            ("GET", "/system/status"): public(10, lambda _: []),
            ("GET", "/asset/currencies"): signed("account", 12, lambda _: [shapes.CURRENCY]),
            ("GET", "/account/config"): signed("account", 5, self.config),
            ("GET", "/account/balance"): signed("account", 10, self.balance),
            ("GET", "/account/positions"): signed("account", 10, self.positions),
            ("POST", "/account/set-leverage"): signed("account", 20, self.set_leverage),
            ("GET", "/account/leverage-info"): signed("account", 20, self.leverage_info),
            ("POST", "/account/set-position-mode"): signed("account", 5, self.set_position_mode),
            ("GET", "/account/trade-fee"): signed("account", 5, self.trade_fee),
            ("GET", "/account/bills"): signed("account", 12, self.bills),
            ("GET", "/account/bills-archive"): signed("account", 10, self.bills),
            ("POST", "/trade/order"): signed("place", 60, self.place),
            ("POST", "/trade/batch-orders"): signed("place", 300, self.place_batch),
            ("GET", "/trade/order"): signed("query", 60, self.query),
            ("POST", "/trade/cancel-order"): signed("cancel", 60, self.cancel),
            ("POST", "/trade/cancel-batch-orders"): signed("cancel", 300, self.cancel_batch),
            ("POST", "/trade/cancel-all-after"): signed("cancel", 2, self.cancel_all_after),
            ("GET", "/trade/orders-pending"): signed("query", 60, self.pending),
            ("GET", "/trade/orders-history"): signed("query", 40, self.history),
            ("GET", "/trade/orders-history-archive"): signed("query", 20, self.history),
            ("GET", "/trade/fills"): signed("query", 60, self.fills),
            ("GET", "/trade/fills-history"): signed("query", 10, self.fills_history),
        }
        return {(method, f"/api/v5{path}"): endpoint for (method, path), endpoint in routes.items()}

    # -- the frame --

    def parse(self, call: Call) -> None:
        """The first row of a batch stands for all of it in `params`; the rows are under "rows"."""
        if call.method == "GET":
            call.params = dict(parse_qsl(call.query))
            return
        try:
            data = json.loads(call.body or "{}")
        except ValueError:
            data = None
        rows = data if isinstance(data, list) else [data]
        good = bool(rows) and all(isinstance(row, dict) for row in rows)
        call.params = {**rows[0], "rows": rows} if good else {"malformed": True}

    def subject(self, call: Call) -> tuple[str, str]:
        return str(call.params.get("instId", "")), str(call.params.get("side", ""))

    def charge(self, call: Call, endpoint: Endpoint) -> None:
        key = f"{call.method} {call.path} {call.params.get('instId', '')}"
        if not self.limit.fits(key, endpoint.cost, call.now_ms):
            raise self.throttled(banned=False, retry_after=0)

    def throttled(self, *, banned: bool, retry_after: int) -> Rejection:
        """There is no ban by the API itself, and no Retry-After."""
        return Rejection(429, "50011", "Too Many Requests")

    def unknown_outcome(self) -> Rejection:
        text = "API endpoint request timeout (does not mean that the request was successful or failed)"
        return Rejection(400, "50004", text)

    def authenticate(self, call: Call) -> None:
        """Base64 HMAC-SHA256 over time + method + path with query + body."""
        given = {}
        for code, name in (
            ("50103", "key"),
            ("50106", "sign"),
            ("50107", "timestamp"),
            ("50104", "passphrase"),
        ):
            given[name] = call.headers.get(f"ok-access-{name}", "")
            if not given[name]:
                raise Rejection(401, code, f"Request header OK-ACCESS-{name.upper()} can not be empty")
        if not _same(given["key"], self.keys.api_key):
            raise Rejection(401, "50111", "Invalid OK-ACCESS-KEY")
        self._check_time(given["timestamp"], call.now_ms)
        target = f"{call.path}?{call.query}" if call.query else call.path
        total = f"{given['timestamp']}{call.method}{target}{call.body}".encode()
        digest = hmac.new(self.keys.api_secret.encode(), total, hashlib.sha256).digest()
        if not _same(given["sign"], base64.b64encode(digest).decode()):
            raise Rejection(401, "50113", "Invalid Sign")
        if not _same(given["passphrase"], self.keys.api_passphrase):
            raise Rejection(401, "50105", "Request header OK-ACCESS-PASSPHRASE incorrect")
        expires = call.headers.get("exptime", "")
        if expires and (not expires.isdigit() or int(expires) < call.now_ms):
            raise Rejection(400, "50036", "The expTime can't be earlier than the current system time")

    def _check_time(self, text: str, now_ms: int) -> None:
        try:
            sent = datetime.fromisoformat(text.replace("Z", "+00:00"))
        except ValueError:
            raise Rejection(401, "50112", "Invalid OK-ACCESS-TIMESTAMP") from None
        if sent.tzinfo is None:
            raise Rejection(401, "50112", "Invalid OK-ACCESS-TIMESTAMP")
        sent_ms = int((sent - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
        if abs(now_ms - sent_ms) > WINDOW_MS:
            raise Rejection(401, "50102", "Timestamp request expired")

    def wrap(self, data: Any) -> str:
        if isinstance(data, str):
            return f'{{"code":"0","msg":"","data":{data}}}'
        failed = [row["sCode"] != "0" for row in data if "sCode" in row]
        code, text = ("0", "") if not any(failed) else ("2", "Bulk operation partially succeeded.")
        if failed and all(failed):
            code, text = "1", "All operations failed"
        return compact({"code": code, "msg": text, "data": data})

    def rejected(self, rejection: Rejection) -> Reply:
        headers = {"Retry-After": str(rejection.retry_after)} if rejection.retry_after else {}
        body = compact({"code": rejection.code, "msg": rejection.text, "data": []})
        return Reply(body, rejection.status, headers)

    def rejection_of(self, refused: Refused, call: Call) -> Rejection:
        code, text = CODES[refused.reason]
        return Rejection(200, code, text.format(refused.detail))

    def no_such_endpoint(self) -> Rejection:
        return Rejection(404, "404", "Not Found")

    # -- public --

    def list_instruments(self, call: Call) -> Any:
        if call.params.get("instType") != "SWAP":
            return []
        return [
            shapes.instrument(i)
            for i in self.instruments(call, "instId")
            if call.params.get("instFamily", call.params.get("uly")) in (None, f"{i.base}-USDT")
        ]

    def sequence(self, now_ms: int) -> int:
        """Of the books: grows with time and with our own orders."""
        return now_ms * 100 + self.engine.revision % 100

    def books(self, call: Call) -> str:
        instrument = self.instrument(call, "instId")
        depth = min(whole(call.params.get("sz"), "sz", 1), 400)
        sides = zip("ba", self.book_levels(instrument.base), strict=True)
        bids, asks = (
            self.render_side(
                instrument.base + side,
                levels,
                depth,
                lambda rows: compact([shapes.level(row, instrument) for row in rows[:depth]]),
            )
            for side, levels in sides
        )
        sequence = self.sequence(call.now_ms)
        return f'[{{"asks":{asks},"bids":{bids},"ts":"{call.now_ms}","seqId":{sequence}}}]'

    def ticker(self, call: Call) -> Any:
        return [
            shapes.ticker(i, *self.book_levels(i.base), self.engine.mark(i.base), call.now_ms)
            for i in self.instruments(call, "instId")
        ]

    def mark_price(self, call: Call) -> Any:
        return [
            {
                "instType": "SWAP",
                "instId": i.id,
                "markPx": plain(self.engine.mark(i.base)),
                "ts": str(call.now_ms),
            }
            for i in self.instruments(call, "instId")
        ]

    def price_limit(self, call: Call) -> Any:
        instrument = self.instrument(call, "instId")
        mark = self.engine.mark(instrument.base)
        return [
            {
                "instType": "SWAP",
                "instId": instrument.id,
                "buyLmt": plain(mark * (1 + instrument.band) // instrument.tick * instrument.tick),
                "sellLmt": plain(mark * (1 - instrument.band) // instrument.tick * instrument.tick),
                "enabled": True,
                "ts": str(call.now_ms),
            }
        ]

    def funding_rate(self, call: Call) -> Any:
        """`fundingTime` is the next settlement and `fundingRate` what will be charged then."""
        instrument, instant = self.instrument(call, "instId"), next_funding(call.now_ms)
        rates = [
            self.engine.market.funding_rate(NAME, instrument.base, at)
            for at in (instant - FUNDING_MS, instant)
        ]
        return [shapes.funding(instrument, rates, instant, call.now_ms)]

    def funding_history(self, call: Call) -> Any:
        instrument = self.instrument(call, "instId")
        limit = min(whole(call.params.get("limit"), "limit", PAGE), PAGE)
        newest = min(whole(call.params.get("after"), "after", call.now_ms + 1) - 1, call.now_ms)
        oldest = whole(call.params.get("before"), "before", 0)
        instants = range(newest // FUNDING_MS * FUNDING_MS, oldest, -FUNDING_MS)[:limit]
        return [self._past_funding(instrument, at) for at in instants]

    def _past_funding(self, instrument: Instrument, at_ms: int) -> dict[str, str]:
        rate = plain(self.engine.market.funding_rate(NAME, instrument.base, at_ms))
        return {
            "instType": "SWAP",
            "instId": instrument.id,
            "fundingRate": rate,
            "realizedRate": rate,
            "fundingTime": str(at_ms),
            "method": "current_period",
            "formulaType": "withRate",
        }

    def tiers(self, call: Call) -> Any:
        family = call.params.get("instFamily", call.params.get("uly"))
        return [shapes.tier(i) for i in self.by_symbol.values() if family == f"{i.base}-USDT"]

    # -- orders --

    def place(self, call: Call) -> Any:
        return [self._place(call.params)]

    def place_batch(self, call: Call) -> Any:
        rows = call.params.get("rows", [])
        if not 1 <= len(rows) <= MAX_BATCH:
            raise Rejection(200, "51000", "Parameter orders error")
        return [self._place(row) for row in rows]

    def _place(self, row: dict[str, Any]) -> dict[str, str]:
        try:
            order = self.engine.place(self._new_order(row), fill_at_most=self.fill_at_most)
        except Refused as refused:
            code, text = CODES[refused.reason]
            return shapes.refusal(row, code, text.format(refused.detail), self.engine.now_ms)
        return shapes.acknowledged(order, self.engine.now_ms)

    def _new_order(self, row: dict[str, Any]) -> NewOrder:
        instrument = self.by_symbol.get(str(row.get("instId")))
        if instrument is None:
            raise Refused(Reason.UNKNOWN_SYMBOL)
        kind = row.get("ordType")
        for name, value, accepted in (
            ("tdMode", row.get("tdMode"), ("cross",)),
            ("side", row.get("side"), ("buy", "sell")),
            ("ordType", kind, tuple(ORDER_TYPES)),
        ):
            if value not in accepted:
                raise Refused(Reason.BAD_VALUE, name)
        if self.engine.hedge_mode or row.get("posSide") not in (None, "", "net"):
            raise Refused(Reason.HEDGE_MODE)
        client_order_id = str(row.get("clOrdId") or f"paper{self.engine.last_id + 1}")
        if not CLIENT_ID.fullmatch(client_order_id):
            raise Refused(Reason.CLIENT_ID)
        return NewOrder(
            base=instrument.base,
            side=Side(row["side"]),
            qty=number(row.get("sz"), "sz") * instrument.contract_size,
            price=None if kind == "market" else number(row.get("px"), "px"),
            time_in_force=ORDER_TYPES[str(kind)],
            reduce_only=str(row.get("reduceOnly", "")).lower() == "true",
            client_order_id=client_order_id,
            tag=str(row.get("tag") or ""),
        )

    def _find(self, row: dict[str, Any]) -> Order:
        instrument = self.by_symbol.get(str(row.get("instId")))
        if instrument is None:
            raise Refused(Reason.UNKNOWN_SYMBOL)
        if row.get("ordId"):
            return self.engine.find(
                instrument.base, order_id=whole(row["ordId"], "ordId") - shapes.FIRST_ORDER
            )
        if not row.get("clOrdId"):
            raise Refused(Reason.MISSING, "ordId or clOrdId")
        return self.engine.find(instrument.base, client_order_id=str(row["clOrdId"]))

    def _shown(self, order: Order) -> dict[str, Any]:
        leverage = self.engine.account.leverage_of(order.base)
        return shapes.order(order, self.engine.instruments[order.base], leverage)

    def query(self, call: Call) -> Any:
        return [self._shown(self._find(call.params))]

    def cancel(self, call: Call) -> Any:
        return [self._cancel(call.params)]

    def cancel_batch(self, call: Call) -> Any:
        rows = call.params.get("rows", [])
        if not 1 <= len(rows) <= MAX_BATCH:
            raise Rejection(200, "51000", "Parameter orders error")
        return [self._cancel(row) for row in rows]

    def _cancel(self, row: dict[str, Any]) -> dict[str, str]:
        try:
            order = self.engine.cancel(self._find(row))
        except Refused as refused:
            code, text = CODES[refused.reason]
            if refused.reason is Reason.UNKNOWN_ORDER:
                code, text = "51400", "Cancellation failed as the order does not exist"
            return shapes.refusal(row, code, text.format(refused.detail), self.engine.now_ms)
        return shapes.acknowledged(order, self.engine.now_ms)

    def cancel_all_after(self, call: Call) -> Any:
        seconds = whole(call.params.get("timeOut"), "timeOut")
        if seconds and seconds not in DEAD_MAN_SEC:
            raise Refused(Reason.BAD_VALUE, "timeOut")
        self.engine.arm_dead_man("", seconds * 1000)
        trigger = str(call.now_ms + seconds * 1000) if seconds else "0"
        return [{"triggerTime": trigger, "tag": "", "ts": str(call.now_ms)}]

    def _of(self, call: Call, rows: list[Row], first_id: int, at: Callable[[Row], int]) -> list[Row]:
        """Newest first; `after` and `before` are ids, `begin` and `end` milliseconds, `ordId` one order."""
        bases = {i.base for i in self.instruments(call, "instId")}
        after = whole(call.params.get("after"), "after", 1 << 62) - first_id
        before = whole(call.params.get("before"), "before", first_id) - first_id
        begin, end = (whole(call.params.get(n), n, d) for n, d in (("begin", 0), ("end", 1 << 62)))
        limit = min(whole(call.params.get("limit"), "limit", PAGE), PAGE)
        found = [r for r in rows if r.base in bases and before < r.id < after and begin <= at(r) <= end]
        return found[::-1][:limit]

    def pending(self, call: Call) -> Any:
        rows = self._of(call, self.engine.working(), shapes.FIRST_ORDER, lambda o: o.created_ms)
        return [self._shown(o) for o in rows]

    def history(self, call: Call) -> Any:
        state = call.params.get("state")
        closed = [o for o in self.engine.shown_orders() if not o.live and state in (None, shapes.state(o))]
        rows = self._of(call, closed, shapes.FIRST_ORDER, lambda o: o.created_ms)
        return [self._shown(o) for o in rows]

    def fills(self, call: Call) -> Any:
        wanted = whole(call.params.get("ordId"), "ordId", 0)
        fills = self.engine.shown_fills()
        if wanted:
            fills = [f for f in fills if f.order_id == wanted - shapes.FIRST_ORDER]
        rows = self._of(call, fills, shapes.FIRST_BILL, lambda f: f.at_ms)
        return [shapes.fill(f, self.engine.instruments[f.base]) for f in rows]

    def fills_history(self, call: Call) -> Any:
        if not call.params.get("instType"):
            raise Refused(Reason.MISSING, "instType")
        return self.fills(call)

    # -- account --

    def config(self, _: Call) -> Any:
        return [shapes.config(hedge_mode=self.engine.hedge_mode)]

    def balance(self, _: Call) -> Any:
        return [shapes.balance(self.engine, self.engine.maintenance())]

    def positions(self, call: Call) -> Any:
        held = [i for i in self.instruments(call, "instId") if self.engine.account.position(i.base).net]
        return [shapes.position(self.engine, i, self.liquidation_price(i.base)) for i in held]

    def set_leverage(self, call: Call) -> Any:
        instrument, leverage = (
            self.instrument(call, "instId"),
            number(str(call.params.get("lever", "")), "lever"),
        )
        if call.params.get("mgnMode") != "cross":
            raise Refused(Reason.BAD_VALUE, "mgnMode")
        if leverage != int(leverage):
            raise Refused(Reason.BAD_VALUE, "lever")
        self.engine.set_leverage(instrument.base, int(leverage))
        return [shapes.leverage(instrument, int(leverage))]

    def leverage_info(self, call: Call) -> Any:
        instrument = self.instrument(call, "instId")
        return [shapes.leverage(instrument, self.engine.account.leverage_of(instrument.base))]

    def set_position_mode(self, call: Call) -> Any:
        """The mode that is set already is accepted here, unlike at Binance."""
        wanted = call.params.get("posMode")
        if wanted not in ("net_mode", "long_short_mode"):
            raise Refused(Reason.BAD_VALUE, "posMode")
        if self.engine.hedge_mode != (wanted == "long_short_mode"):
            self.engine.set_hedge_mode(not self.engine.hedge_mode)
        return [{"posMode": wanted}]

    def trade_fee(self, call: Call) -> Any:
        return [shapes.trade_fee(RULES.maker_fee, RULES.taker_fee, call.now_ms)]

    def bills(self, call: Call) -> Any:
        kind = {"2": "trade", "8": "funding", None: None}.get(call.params.get("type"), "none")
        bills = [b for b in self.engine.bills.values() if kind in (None, b.kind)]
        rows = self._of(call, bills, shapes.FIRST_BILL, lambda b: b.at_ms)
        return [shapes.bill(b, self.engine.instruments[b.base]) for b in rows]


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
