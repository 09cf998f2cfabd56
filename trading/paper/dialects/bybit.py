"""Bybit v5, USDT linear perpetuals, unified account, REST. Facts §1 and §5; sizes are base coin.

Every answer is HTTP 200 with its code in `retCode`, but for the gateway's 403. An order's answer carries ids
only. A closed order is found in `order/realtime` until the venue restarts, afterwards in `order/history`.
"""

import hmac
import json
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from hashlib import sha256
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl

from trading.paper.dialects import bybit_shapes as shapes
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
from trading.paper.orders import Bill, NewOrder, Order, Reason, Refused, TimeInForce

NAME = "bybit"
RULES = Rules(  # VIP 0
    maker_fee=Decimal("0.0002"), taker_fee=Decimal("0.00055"), refuses_at_once=False, client_id_reusable=False
)
CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")
SIDES = {name: side for side, name in shapes.SIDES.items()}
TIMES_IN_FORCE = {name: kind for kind, name in shapes.TIMES_IN_FORCE.items()}
AHEAD_MS, DEFAULT_WINDOW_MS = 1_000, 5_000
IP_LIMIT, IP_WINDOW_MS, IP_BAN_MS = 600, 5_000, 600_000
MAX_BATCH, PAGE = 20, 50
WEEK_MS = 7 * 86_400_000  # the longest span of time that a list answers for
Row = TypeVar("Row", Order, Bill)
R = Reason
PARAMS = "10001"
CODES: dict[Reason, tuple[str, str]] = {
    R.UNKNOWN_SYMBOL: (PARAMS, "params error: symbol invalid {}"),
    R.MISSING: (PARAMS, "params error: {} is required"),
    R.BAD_VALUE: (PARAMS, "params error: {} invalid"),
    R.TICK: (PARAMS, "price is invalid"),
    R.PRICE_DECIMALS: (PARAMS, "price is invalid"),
    R.LOT: (PARAMS, "Qty invalid"),
    R.QTY_DECIMALS: (PARAMS, "Qty invalid"),
    R.MIN_QTY: (PARAMS, "The number of contracts below minimum limit allowed"),
    R.MAX_QTY: (PARAMS, "The number of contracts exceeds maximum limit allowed"),
    R.MIN_NOTIONAL: ("110094", "Order does not meet minimum order value {}USDT"),
    R.PRICE_HIGH: ("110003", "Order price exceeds the allowable range. maxBuyPrice:{}"),
    R.PRICE_LOW: ("110003", "Order price exceeds the allowable range. minSellPrice:{}"),
    R.MARGIN: ("110007", "ab not enough for new order"),
    R.REDUCE_ONLY: ("110017", "current position is zero, cannot fix reduce-only order qty"),
    R.CLIENT_ID: (PARAMS, "params error: OrderLinkID invalid"),
    R.DUPLICATE: ("110072", "OrderLinkedID is duplicate"),
    R.UNKNOWN_ORDER: ("110001", "order not exists or too late to cancel"),
    R.ALREADY_CANCELED: ("110001", "order not exists or too late to cancel"),
    R.ALREADY_FILLED: ("110001", "order not exists or too late to cancel"),
    R.NO_CHANGE: ("110025", "Position mode is not modified"),
    R.HAS_POSITION: ("110024", "You have an existing position, so the position mode cannot be switched"),
    R.HEDGE_MODE: (PARAMS, "position idx not match position mode"),
    R.LEVERAGE: ("110013", "cannot set leverage due to risk limit level"),
}


class Batch(NamedTuple):
    """`ext` goes beside the result: one code per row."""

    result: Any
    ext: Any


class Bybit(Dialect):
    def __init__(self, engine: Engine, keys: Keys) -> None:
        super().__init__(engine, keys)
        self.limit, self.ip_limit = WindowLimit(1_000), WindowLimit(IP_WINDOW_MS)
        self._barred_until_ms = 0
        self._quota: dict[str, str] = {}
        self._closed_before_start = {order.id for order in engine.orders.values() if not order.live}
        self.routes = self._routes()

    def _routes(self) -> dict[tuple[str, str], Endpoint]:
        """Costs are requests per second and account; public ones count only against the address."""

        def public(run: Any, kind: str = "public") -> Endpoint:
            return Endpoint(kind, False, 0, run)

        def signed(kind: str, allowed: int, run: Any) -> Endpoint:
            return Endpoint(kind, True, allowed, run)

        routes = {
            ("GET", "/market/time"): public(self.time),
            ("GET", "/market/instruments-info"): public(self.list_instruments),
            ("GET", "/market/orderbook"): public(self.books, "book"),
            ("GET", "/market/tickers"): public(self.tickers, "book"),
            ("GET", "/market/funding/history"): public(self.funding_history),
            ("POST", "/order/create"): signed("place", 10, self.place),
            ("POST", "/order/create-batch"): signed("place", 10, self.place_batch),
            ("POST", "/order/cancel"): signed("cancel", 10, self.cancel),
            ("POST", "/order/cancel-all"): signed("cancel", 10, self.cancel_all),
            ("POST", "/order/disconnected-cancel-all"): signed("cancel", 5, lambda _: {}),
            ("GET", "/order/realtime"): signed("query", 50, self.realtime),
            ("GET", "/order/history"): signed("query", 50, self.history),
            ("GET", "/execution/list"): signed("query", 50, self.executions),
            ("GET", "/position/list"): signed("account", 50, self.positions),
            ("POST", "/position/set-leverage"): signed("account", 10, self.set_leverage),
            ("POST", "/position/switch-mode"): signed("account", 10, self.switch_mode),
            ("GET", "/account/wallet-balance"): signed("account", 50, self.wallet),
            ("GET", "/account/info"): signed("account", 50, lambda call: shapes.account(call.now_ms)),
            ("GET", "/account/fee-rate"): signed("account", 10, self.fee_rate),
            ("GET", "/account/transaction-log"): signed("account", 50, self.transactions),
            ("GET", "/user/query-api"): signed("account", 10, lambda _: shapes.api_key(self.keys.api_key)),
        }
        return {(method, f"/v5{path}"): endpoint for (method, path), endpoint in routes.items()}

    # -- the frame --

    def parse(self, call: Call) -> None:
        """The first row of a batch stands for all of it, for faults; the rows are under "request"."""
        if call.method == "GET":
            call.params = dict(parse_qsl(call.query))
            return
        try:
            data = json.loads(call.body or "{}")
        except ValueError:
            data = None
        rows = data.get("request") if isinstance(data, dict) else None
        first = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}
        call.params = {**first, **data} if isinstance(data, dict) else {}

    def subject(self, call: Call) -> tuple[str, str]:
        return str(call.params.get("symbol", "")), str(call.params.get("side", "")).lower()

    def charge(self, call: Call, endpoint: Endpoint) -> None:
        now, self._quota = call.now_ms, {}
        if now >= self._barred_until_ms and not self.ip_limit.fits("", IP_LIMIT, now):
            self._barred_until_ms = now + IP_BAN_MS
        if now < self._barred_until_ms:
            raise self.throttled(banned=True, retry_after=0)
        if not endpoint.signed:
            return
        fits = self.limit.fits(call.path, endpoint.cost, now)
        self._quota = {
            "X-Bapi-Limit": str(endpoint.cost),
            "X-Bapi-Limit-Status": str(endpoint.cost - self.limit.used(call.path, now)),
            "X-Bapi-Limit-Reset-Timestamp": str(now if fits else now + self.limit.window_ms),
        }
        if not fits:
            raise self.throttled(banned=False, retry_after=0)

    def throttled(self, *, banned: bool, retry_after: int) -> Rejection:
        if banned:
            return Rejection(403, "10018", "403, access too frequent", retry_after=retry_after)
        return Rejection(
            200, "10006", "Too many visits. Exceeded the API Rate Limit.", retry_after=retry_after
        )

    def unknown_outcome(self) -> Rejection:
        return Rejection(200, "10000", "Server Timeout")

    def rate_headers(self, now_ms: int) -> dict[str, str]:
        return self._quota

    def authenticate(self, call: Call) -> None:
        """Hexadecimal HMAC-SHA256 over time + key + window + query or body."""
        key, sent, sign = (call.headers.get(f"x-bapi-{n}", "") for n in ("api-key", "timestamp", "sign"))
        window = call.headers.get("x-bapi-recv-window", "")
        if not hmac.compare_digest(key.encode(), self.keys.api_key.encode()):
            raise Rejection(200, "10003", "API key is invalid.")
        if not sent.isdecimal() or not (window or "0").isdecimal():
            raise Rejection(200, PARAMS, "params error: X-BAPI-TIMESTAMP or X-BAPI-RECV-WINDOW invalid")
        late = int(sent) < call.now_ms - int(window or DEFAULT_WINDOW_MS)
        if late or int(sent) >= call.now_ms + AHEAD_MS:
            stamps = f"req_timestamp[{sent}],server_timestamp[{call.now_ms}],recv_window[{window}]"
            text = "invalid request, please check your server timestamp or recv_window param."
            raise Rejection(200, "10002", f"{text} {stamps}")
        signed = f"{sent}{key}{window}{call.query if call.method == 'GET' else call.body}"
        digest = hmac.new(self.keys.api_secret.encode(), signed.encode(), sha256).hexdigest()
        if not hmac.compare_digest(sign.encode(), digest.encode()):
            raise Rejection(200, "10004", "error sign! please check your signature generation algorithm.")

    def wrap(self, data: Any) -> str:
        batch = data if isinstance(data, Batch) else Batch(data, {})
        result = batch.result if isinstance(batch.result, str) else compact(batch.result)
        return self._envelope(0, "OK", result, compact(batch.ext))

    def _envelope(self, code: int, text: str, result: str, ext: str) -> str:
        head = f'{{"retCode":{code},"retMsg":{json.dumps(text)},"result":{result},"retExtInfo":{ext}'
        return f'{head},"time":{self.engine.now_ms}}}'

    def rejected(self, rejection: Rejection) -> Reply:
        return Reply(self._envelope(int(rejection.code), rejection.text, "{}", "{}"), rejection.status)

    def rejection_of(self, refused: Refused, call: Call) -> Rejection:
        return _rejection(refused)

    def no_such_endpoint(self) -> Rejection:
        return Rejection(404, "10017", "Route not found.")

    def _linear(self, call: Call) -> None:
        """Raises Refused BAD_VALUE: there is no other category here."""
        if call.params.get("category") != "linear":
            raise Refused(Reason.BAD_VALUE, "category")

    def _whose(self, call: Call) -> list[Instrument]:
        """By `symbol` or all of a `settleCoin` or `baseCoin`; one of them is asked for."""
        self._linear(call)
        if call.params.get("symbol"):
            return [self.instrument(call, "symbol")]
        settle, base = call.params.get("settleCoin"), call.params.get("baseCoin")
        if not settle and not base:
            raise Refused(Reason.MISSING, "symbol or settleCoin")
        return [i for i in self.by_symbol.values() if settle in (None, "USDT") and base in (None, i.base)]

    def _page(
        self, call: Call, rows: Iterable[Row], at: Callable[[Row], int], show: Callable[[Row], Any]
    ) -> dict[str, Any]:
        """Newest first. The cursor comes escaped, as the venue's own does, and goes back as it came.

        Raises Refused BAD_VALUE for more than seven days at once.
        """
        cursor = str(call.params.get("cursor") or "").replace("%3A", ":").rpartition(":")[2]
        below = whole(cursor, "cursor", 1 << 62)
        start, end = whole(call.params.get("startTime"), "startTime", 0), call.params.get("endTime")
        until = whole(end, "endTime", start + WEEK_MS if start else 1 << 62)
        if start and until - start > WEEK_MS:
            raise Refused(Reason.BAD_VALUE, "endTime: more than 7 days after startTime")
        limit = min(max(1, whole(call.params.get("limit"), "limit", PAGE)), 2 * PAGE)
        found = [row for row in rows if row.id < below and start <= at(row) <= until]
        page = sorted(found, key=lambda row: -row.id)[:limit]
        following = f"id%3A{page[-1].id}" if len(found) > limit else ""
        return {"category": "linear", "list": [show(row) for row in page], "nextPageCursor": following}

    # -- public --

    def time(self, call: Call) -> Any:
        return {"timeSecond": str(call.now_ms // 1000), "timeNano": str(call.now_ms * 1_000_000)}

    def list_instruments(self, call: Call) -> Any:
        """Nothing is listed for other categories, nor before its launch."""
        ours = call.params.get("category") == "linear" and call.params.get("status") in (None, "Trading")
        rows = [shapes.instrument(i) for i in self.instruments(call, "symbol")] if ours else []
        return {"category": call.params.get("category", ""), "list": rows, "nextPageCursor": ""}

    def sequence(self, now_ms: int) -> int:
        """Of the books: grows with time and with our own orders."""
        return now_ms * 100 + self.engine.revision % 100

    def books(self, call: Call) -> str:
        self._linear(call)
        instrument = self.instrument(call, "symbol")
        depth = min(max(1, whole(call.params.get("limit"), "limit", 25)), 500)
        bids, asks = (
            self.render_side(
                instrument.base + side,
                levels,
                depth,
                lambda rows: compact([shapes.level(row) for row in rows[:depth]]),
            )
            for side, levels in zip("ba", self.book_levels(instrument.base), strict=True)
        )
        now, sequence = call.now_ms, self.sequence(call.now_ms)
        stamps = f'"ts":{now},"u":{sequence},"seq":{sequence},"cts":{now}'
        return f'{{"s":"{instrument.id}","b":{bids},"a":{asks},{stamps}}}'

    def tickers(self, call: Call) -> Any:
        self._linear(call)
        instant = next_funding(call.now_ms)
        rows = [self._ticker(i, instant) for i in self.instruments(call, "symbol")]
        return {"category": "linear", "list": rows}

    def _ticker(self, i: Instrument, instant: int) -> dict[str, str]:
        bids, asks = self.book_levels(i.base)
        ladder, rate = self.engine.ladder(i.base), self.engine.market.funding_rate(NAME, i.base, instant)
        return shapes.ticker(i, bids, asks, mark=ladder.mark, index=ladder.index, rate=rate, next_at=instant)

    def funding_history(self, call: Call) -> Any:
        self._linear(call)
        i = self.instrument(call, "symbol")
        limit = min(whole(call.params.get("limit"), "limit", 200), 200)
        newest = min(whole(call.params.get("endTime"), "endTime", call.now_ms), call.now_ms)
        oldest = whole(call.params.get("startTime"), "startTime", 0)
        instants = range(newest // FUNDING_MS * FUNDING_MS, oldest - 1, -FUNDING_MS)[:limit]
        rows = [
            {
                "symbol": i.id,
                "fundingRate": plain(self.engine.market.funding_rate(NAME, i.base, at)),
                "fundingRateTimestamp": str(at),
            }
            for at in instants
        ]
        return {"category": "linear", "list": rows}

    # -- orders --

    def place(self, call: Call) -> Any:
        self._linear(call)
        return shapes.acknowledged(self._place(call.params))

    def place_batch(self, call: Call) -> Any:
        self._linear(call)
        rows = call.params.get("request")
        if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_BATCH:
            raise Refused(Reason.BAD_VALUE, "request")
        answers, codes = [], []
        for row in rows:
            answer, code = self._place_row(row)
            answers.append(answer)
            codes.append(code)
        return Batch({"list": answers}, {"list": codes})

    def _place_row(self, row: Any) -> tuple[dict[str, str], dict[str, Any]]:
        fields = row if isinstance(row, dict) else {}
        named = {"category": "linear", "symbol": str(fields.get("symbol", ""))}
        try:
            order = self._place(fields)
        except Refused as refused:
            rejection = _rejection(refused)
            ids = {"orderId": "", "orderLinkId": str(fields.get("orderLinkId", "")), "createAt": ""}
            return {**named, **ids}, {"code": int(rejection.code), "msg": rejection.text}
        created = {"createAt": str(order.created_ms)}
        return {**named, **shapes.acknowledged(order), **created}, {"code": 0, "msg": "OK"}

    def _place(self, row: dict[str, Any]) -> Order:
        return self.engine.place(self._new_order(row), fill_at_most=self.fill_at_most)

    def _new_order(self, row: dict[str, Any]) -> NewOrder:
        instrument, kind = self._named(row), row.get("orderType")
        in_force = row.get("timeInForce") or ("IOC" if kind == "Market" else "GTC")
        for name, value, accepted in (
            ("side", row.get("side"), SIDES),
            ("orderType", kind, ("Limit", "Market")),
            ("timeInForce", in_force, TIMES_IN_FORCE),
        ):
            if not isinstance(value, str) or value not in accepted:
                raise Refused(Reason.BAD_VALUE, name)
        if self.engine.hedge_mode or row.get("positionIdx") not in (None, "", 0, "0"):
            raise Refused(Reason.HEDGE_MODE)
        client_order_id = str(row.get("orderLinkId") or f"paper{self.engine.last_id + 1}")
        if not CLIENT_ID.fullmatch(client_order_id):
            raise Refused(Reason.CLIENT_ID)
        return NewOrder(
            base=instrument.base,
            side=SIDES[row["side"]],
            qty=number(row.get("qty"), "qty"),
            price=None if kind == "Market" else number(row.get("price"), "price"),
            time_in_force=TimeInForce.IOC if kind == "Market" else TIMES_IN_FORCE[in_force],
            reduce_only=str(row.get("reduceOnly", "")).lower() == "true",
            client_order_id=client_order_id,
        )

    def _named(self, row: dict[str, Any]) -> Instrument:
        symbol = row.get("symbol")
        if not symbol:
            raise Refused(Reason.MISSING, "symbol")
        if str(symbol) not in self.by_symbol:
            raise Refused(Reason.UNKNOWN_SYMBOL, str(symbol))
        return self.by_symbol[str(symbol)]

    def cancel(self, call: Call) -> Any:
        self._linear(call)
        instrument = self.instrument(call, "symbol")
        order_id, link_id = call.params.get("orderId"), call.params.get("orderLinkId")
        if not order_id and not link_id:
            raise Refused(Reason.MISSING, "orderId or orderLinkId")
        known = shapes.order_number(str(order_id)) if order_id else None
        order = self.engine.find(instrument.base, order_id=known, client_order_id=str(link_id))
        return shapes.acknowledged(self.engine.cancel(order))

    def cancel_all(self, call: Call) -> Any:
        bases = {i.base for i in self._whose(call)}
        gone = [self.engine.cancel(order) for order in self.engine.working() if order.base in bases]
        return {"list": [shapes.acknowledged(order) for order in gone], "success": "1"}

    def realtime(self, call: Call) -> Any:
        """Open orders; by id any order, `openOnly` notwithstanding, that was open since the venue's start."""
        wanted = self._wanted(call)
        if wanted is None:
            orders = self.engine.working()
        else:
            orders = [order for order in wanted if order.id not in self._closed_before_start]
        return self._orders(call, orders)

    def history(self, call: Call) -> Any:
        wanted = self._wanted(call)
        orders = self.engine.shown_orders() if wanted is None else wanted
        return self._orders(call, [order for order in orders if not order.live])

    def _wanted(self, call: Call) -> list[Order] | None:
        """The order that the request names: none or one, None when it names none."""
        order_id, link_id = call.params.get("orderId"), call.params.get("orderLinkId")
        if not order_id and not link_id:
            return None
        known = shapes.order_number(order_id) if order_id else self.engine.by_client_id.get(str(link_id))
        order = self.engine.orders.get(known or 0)
        return [order] if order and self.engine.shows(order.id) else []

    def _orders(self, call: Call, orders: Iterable[Order]) -> Any:
        self._linear(call)
        named = call.params.get("orderId") or call.params.get("orderLinkId")
        whose = self.instruments(call, "symbol") if named else self._whose(call)
        bases = {i.base: i for i in whose}
        return self._page(
            call,
            (order for order in orders if order.base in bases),
            lambda order: order.created_ms,
            lambda order: shapes.order(order, bases[order.base]),
        )

    def executions(self, call: Call) -> Any:
        """Trades and, unless an `execType` or an order is named, funding too. Each is one bill."""
        self._linear(call)
        bases, wanted = {i.base for i in self.instruments(call, "symbol")}, self._wanted(call)
        kinds = {None: ("trade", "funding"), "Trade": ("trade",), "Funding": ("funding",)}
        asked = kinds.get(call.params.get("execType"), ())
        ids = None if wanted is None else {order.id for order in wanted}
        bills = (
            bill
            for bill in self.engine.bills.values()
            if bill.kind in asked and bill.base in bases and (ids is None or bill.order_id in ids)
            if self.engine.shows(bill.order_id)
        )
        return self._page(call, bills, lambda bill: bill.at_ms, self._execution)

    def _execution(self, bill: Bill) -> dict[str, Any]:
        instrument = self.engine.instruments[bill.base]
        if bill.kind == "funding":
            return shapes.funding_execution(bill, instrument)
        fill, order = self.engine.fills[bill.fill_id], self.engine.orders.get(bill.order_id)
        return shapes.execution(fill, order, instrument)

    # -- account --

    def positions(self, call: Call) -> Any:
        """A named instrument has a row even when flat; a list has open positions only."""
        whose, named = self._whose(call), call.params.get("symbol")
        held = [i for i in whose if named or self.engine.account.position(i.base).net]
        rows = [shapes.position(self.engine, i, self.liquidation_price(i.base)) for i in held]
        if self.engine.hedge_mode and named:
            rows = [{**row, "positionIdx": index} for row in rows for index in (1, 2)]
        return {"category": "linear", "list": rows, "nextPageCursor": ""}

    def set_leverage(self, call: Call) -> Any:
        """One-way mode: both sides alike. The one that is set already is an error of its own."""
        self._linear(call)
        base = self.instrument(call, "symbol").base
        buy, sell = (
            number(call.params.get(f"{side}Leverage"), f"{side}Leverage") for side in ("buy", "sell")
        )
        if buy != sell or buy != int(buy):
            raise Refused(Reason.BAD_VALUE, "buyLeverage, sellLeverage")
        if self.engine.account.leverage_of(base) == int(buy):
            raise Rejection(200, "110043", "leverage not modified")
        self.engine.set_leverage(base, int(buy))
        return {}

    def switch_mode(self, call: Call) -> Any:
        self._linear(call)
        mode = whole(call.params.get("mode"), "mode")
        if mode not in (0, 3):
            raise Refused(Reason.BAD_VALUE, "mode")
        if call.params.get("symbol"):
            self.instrument(call, "symbol")
        elif call.params.get("coin") != "USDT":
            raise Refused(Reason.MISSING, "symbol or coin")
        self.engine.set_hedge_mode(mode == 3)
        return {}

    def wallet(self, call: Call) -> Any:
        if call.params.get("accountType") != "UNIFIED":
            raise Refused(Reason.BAD_VALUE, "accountType: only supports UNIFIED")
        return {"list": [shapes.wallet(self.engine, self.engine.maintenance())]}

    def fee_rate(self, call: Call) -> Any:
        self._linear(call)
        fees = {"takerFeeRate": plain(RULES.taker_fee), "makerFeeRate": plain(RULES.maker_fee)}
        return {"list": [{"symbol": i.id, **fees} for i in self.instruments(call, "symbol")]}

    def transactions(self, call: Call) -> Any:
        """Without times the last day, as the venue does."""
        kind = {"TRADE": "trade", "SETTLEMENT": "funding", None: None}.get(call.params.get("type"), "none")
        if not call.params.get("startTime") and not call.params.get("endTime"):
            call.params["startTime"] = str(call.now_ms - 86_400_000)
        bills = (b for b in self.engine.bills.values() if kind in (None, b.kind))
        page = self._page(call, bills, lambda b: b.at_ms, self._transaction)
        return {"list": page["list"], "nextPageCursor": page["nextPageCursor"]}

    def _transaction(self, bill: Bill) -> dict[str, Any]:
        fill = self.engine.fills.get(bill.fill_id)
        return shapes.transaction(
            bill, self.engine.instruments[bill.base], fill.client_order_id if fill else ""
        )


def _rejection(refused: Refused) -> Rejection:
    code, text = CODES[refused.reason]
    return Rejection(200, code, text.format(refused.detail))
