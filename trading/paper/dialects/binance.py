"""Binance USDⓈ-M futures, REST. Facts §1 and §5; numbers are strings, quantities are base coin."""

import hashlib
import hmac
import re
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from trading.paper.dialects import binance_shapes as shapes
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
    whole,
)
from trading.paper.dialects.binance_shapes import fixed
from trading.paper.dialects.listen_keys import ListenKeys
from trading.paper.engine import Engine, Rules
from trading.paper.instruments import Instrument
from trading.paper.limits import WeightLimit
from trading.paper.market import FUNDING_MS, STEP_MS
from trading.paper.orders import NewOrder, Order, Reason, Refused, Side, TimeInForce

NAME = "binanceusdm"
RULES = Rules(  # VIP 0
    maker_fee=Decimal("0.0002"), taker_fee=Decimal("0.0005"), refuses_at_once=True, client_id_reusable=True
)
CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
SIGNATURE = re.compile(r"(?:^|&)signature=([^&]*)")
DEPTHS = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}  # limit -> weight
TIME_IN_FORCE = {
    "GTC": TimeInForce.GTC,
    "IOC": TimeInForce.IOC,
    "FOK": TimeInForce.FOK,
    "GTX": TimeInForce.POST_ONLY,
}
MAX_BATCH = 5
FOREVER_MS = 1 << 62
SPAN_MS = 7 * 86_400_000  # the past that one question may cover
R = Reason
CODES: dict[Reason, tuple[int, int, str]] = {  # HTTP status, code, text
    R.UNKNOWN_SYMBOL: (400, -1121, "Invalid symbol."),
    R.MISSING: (400, -1102, "Mandatory parameter '{}' was not sent, was empty/null, or malformed."),
    R.BAD_VALUE: (400, -1100, "Illegal characters found in parameter '{}'."),
    R.TICK: (400, -4014, "Price not increased by tick size."),
    R.PRICE_DECIMALS: (400, -1111, "Precision is over the maximum defined for this asset."),
    R.LOT: (400, -4023, "Quantity not increased by step size."),
    R.QTY_DECIMALS: (400, -1111, "Precision is over the maximum defined for this asset."),
    R.MIN_QTY: (400, -4004, "Quantity less than or equal to minimum quantity."),
    R.MAX_QTY: (400, -4005, "Quantity greater than max quantity."),
    R.MIN_NOTIONAL: (
        400,
        -4164,
        "Order's notional must be no smaller than {} (unless you choose reduce only).",
    ),
    R.PRICE_HIGH: (400, -4016, "Limit price can't be higher than {}."),
    R.PRICE_LOW: (400, -4024, "Limit price can't be lower than {}."),
    R.MARGIN: (400, -2019, "Margin is insufficient."),
    R.REDUCE_ONLY: (400, -2022, "ReduceOnly Order is rejected."),
    R.POST_ONLY: (
        400,
        -5022,
        "Due to the order could not be executed as maker, the Post Only order will be rejected. "
        "The order will not be recorded in the order history",
    ),
    R.FOK: (
        400,
        -5021,
        "Due to the order could not be filled immediately, the FOK order has been rejected. "
        "The order will not be recorded in the order history",
    ),
    R.CLIENT_ID: (400, -4015, "Client order id length should not be more than 36 chars"),
    R.DUPLICATE: (400, -4116, "ClientOrderId is duplicated."),
    R.UNKNOWN_ORDER: (400, -2013, "Order does not exist."),
    R.ALREADY_CANCELED: (400, -2011, "Unknown order sent."),
    R.ALREADY_FILLED: (400, -2011, "Unknown order sent."),
    R.NO_CHANGE: (400, -4059, "No need to change position side."),
    R.HAS_POSITION: (400, -4068, "Position side cannot be changed if there exists position."),
    R.HEDGE_MODE: (400, -4061, "Order's position side does not match user's setting."),
    R.LEVERAGE: (400, -4028, "Leverage {} is not valid"),
}


class Binance(Dialect):
    def __init__(self, engine: Engine, keys: Keys) -> None:
        super().__init__(engine, keys)
        self.limit = WeightLimit()
        self.listen_keys = ListenKeys(keys)
        self.routes = self._routes()

    def _routes(self) -> dict[tuple[str, str], Endpoint]:
        def public(weight: int, run: Any, kind: str = "public") -> Endpoint:
            return Endpoint(kind, False, weight, run)

        def signed(kind: str, weight: int, run: Any) -> Endpoint:
            return Endpoint(kind, True, weight, run)

        return {
            ("GET", "/fapi/v1/ping"): public(1, lambda _: {}),
            ("GET", "/fapi/v1/time"): public(1, lambda call: {"serverTime": call.now_ms}),
            ("GET", "/fapi/v1/exchangeInfo"): public(1, self.exchange_info),
            ("GET", "/fapi/v1/depth"): public(2, self.depth, "book"),
            ("GET", "/fapi/v1/ticker/bookTicker"): public(2, self.book_ticker, "book"),
            ("GET", "/fapi/v1/ticker/24hr"): public(1, self.day_ticker, "book"),
            ("GET", "/fapi/v1/premiumIndex"): public(1, self.premium_index),
            ("GET", "/fapi/v1/fundingRate"): public(1, self.funding_rates),
            ("GET", "/fapi/v1/fundingInfo"): public(1, lambda _: []),
            ("POST", "/fapi/v1/order"): signed("place", 0, self.place),
            ("POST", "/fapi/v1/batchOrders"): signed("place", 5, self.place_batch),
            ("GET", "/fapi/v1/order"): signed("query", 1, self.query),
            ("GET", "/fapi/v1/openOrder"): signed("query", 1, self.query_open),
            ("DELETE", "/fapi/v1/order"): signed("cancel", 1, self.cancel),
            ("DELETE", "/fapi/v1/allOpenOrders"): signed("cancel", 1, self.cancel_all),
            ("POST", "/fapi/v1/countdownCancelAll"): signed("cancel", 10, self.countdown),
            ("GET", "/fapi/v1/openOrders"): signed("query", 1, self.open_orders),
            ("GET", "/fapi/v1/allOrders"): signed("query", 5, self.all_orders),
            ("GET", "/fapi/v1/userTrades"): signed("query", 5, self.user_trades),
            ("GET", "/fapi/v2/positionRisk"): signed("account", 5, self.position_risk_all),
            ("GET", "/fapi/v3/positionRisk"): signed("account", 5, self.position_risk),
            ("GET", "/fapi/v2/account"): signed("account", 5, self.account),
            ("GET", "/fapi/v3/account"): signed("account", 5, self.account),
            ("GET", "/fapi/v2/balance"): signed("account", 5, self.balance),
            ("GET", "/fapi/v3/balance"): signed("account", 5, self.balance),
            ("POST", "/fapi/v1/leverage"): signed("account", 1, self.set_leverage),
            ("GET", "/fapi/v1/leverageBracket"): signed("account", 1, self.brackets),
            ("GET", "/fapi/v1/positionSide/dual"): signed("account", 30, self.position_mode),
            ("POST", "/fapi/v1/positionSide/dual"): signed("account", 1, self.set_position_mode),
            ("POST", "/fapi/v1/marginType"): signed("account", 1, self.set_margin_type),
            ("GET", "/fapi/v1/symbolConfig"): signed("account", 5, self.symbol_config),
            ("GET", "/fapi/v1/multiAssetsMargin"): signed(
                "account", 30, lambda _: {"multiAssetsMargin": False}
            ),
            ("GET", "/fapi/v1/commissionRate"): signed("account", 20, self.commission),
            ("GET", "/fapi/v1/income"): signed("account", 30, self.income),
            ("GET", "/sapi/v1/account/apiRestrictions"): signed("account", 1, self.restrictions),
            ("GET", "/sapi/v1/capital/config/getall"): signed("account", 10, lambda _: shapes.CURRENCIES),
            **self.listen_keys.endpoints(),
            ("GET", "/sapi/v1/system/status"): public(1, lambda _: {"status": 0, "msg": "normal"}),
        }

    # -- the frame --

    def parse(self, call: Call) -> None:
        call.params = dict(parse_qsl(call.query) + parse_qsl(call.body))

    def subject(self, call: Call) -> tuple[str, str]:
        return call.params.get("symbol", ""), call.params.get("side", "").lower()

    def charge(self, call: Call, endpoint: Endpoint) -> None:
        weight = (
            DEPTHS.get(_int(call.params.get("limit")), 20) if endpoint.run == self.depth else endpoint.cost
        )
        if endpoint.run == self.open_orders and "symbol" not in call.params:
            weight = 40
        busy = self.limit.charge(weight, call.now_ms)
        if busy:
            raise self.throttled(banned=busy.banned, retry_after=busy.retry_after)
        if endpoint.kind == "place" and not self.limit.order_fits(call.now_ms):
            raise Rejection(400, "-1015", "Too many new orders.")

    def throttled(self, *, banned: bool, retry_after: int) -> Rejection:
        text = "Way too many requests; IP banned." if banned else "Too many requests."
        return Rejection(418 if banned else 429, "-1003", text, retry_after=retry_after)

    def unknown_outcome(self) -> Rejection:
        return Rejection(503, "-1000", "Unknown error, please check your request or try again later.")

    def rate_headers(self, now_ms: int) -> dict[str, str]:
        return {
            "X-MBX-USED-WEIGHT-1M": str(self.limit.used("weight", 60_000, now_ms)),
            "X-MBX-ORDER-COUNT-10S": str(self.limit.used("orders_10s", 10_000, now_ms)),
            "X-MBX-ORDER-COUNT-1M": str(self.limit.used("orders_1m", 60_000, now_ms)),
        }

    def authenticate(self, call: Call) -> None:
        """HMAC-SHA256 over query + body, wherever the client put its parameters; then the time window."""
        key = call.headers.get("x-mbx-apikey", "")
        if not key:
            raise Rejection(401, "-2014", "API-key format invalid.")
        if not hmac.compare_digest(key.encode(), self.keys.api_key.encode()):
            raise Rejection(401, "-2015", "Invalid API-key, IP, or permissions for action.")
        if "timestamp" not in call.params:
            raise Refused(Reason.MISSING, "timestamp")
        given = call.params.get("signature", "")
        if not given:
            raise Refused(Reason.MISSING, "signature")
        total = SIGNATURE.sub("", call.query) + SIGNATURE.sub("", call.body)
        expected = hmac.new(self.keys.api_secret.encode(), total.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(given.encode(), expected.encode()):
            raise Rejection(400, "-1022", "Signature for this request is not valid.")
        self._check_window(call)

    def _check_window(self, call: Call) -> None:
        sent, window = (
            whole(call.params["timestamp"], "timestamp"),
            whole(call.params.get("recvWindow"), "recvWindow", 5000),
        )
        if window > 60_000:
            raise Rejection(400, "-1131", "recvWindow must be less than 60000.")
        if sent >= call.now_ms + 1000:
            raise Rejection(400, "-1021", "Timestamp for this request was 1000ms ahead of the server's time.")
        if sent < call.now_ms - window:
            raise Rejection(400, "-1021", "Timestamp for this request is outside of the recvWindow.")

    def wrap(self, data: Any) -> str:
        return data if isinstance(data, str) else compact(data)

    def rejected(self, rejection: Rejection) -> Reply:
        code = int(rejection.code) if rejection.code.lstrip("-").isdigit() else rejection.code
        headers = {"Retry-After": str(rejection.retry_after)} if rejection.retry_after else {}
        return Reply(compact({"code": code, "msg": rejection.text}), rejection.status, headers)

    def rejection_of(self, refused: Refused, call: Call) -> Rejection:
        status, code, text = CODES[refused.reason]
        if refused.reason is Reason.UNKNOWN_ORDER and call.method == "DELETE":
            status, code, text = CODES[Reason.ALREADY_CANCELED]
        if refused.reason is Reason.MIN_QTY and refused.detail == "0":
            code, text = -4003, "Quantity less than or equal to zero."
        return Rejection(status, str(code), text.format(refused.detail))

    def no_such_endpoint(self) -> Rejection:
        return Rejection(404, "-5000", "Path is not valid.")

    # -- public --

    def exchange_info(self, call: Call) -> Any:
        return shapes.exchange_info(self.by_symbol.values(), call.now_ms)

    def update_id(self, now_ms: int) -> int:
        """Of the books: grows with the market's steps and with our own orders between two."""
        return now_ms // STEP_MS * 10_000 + self.engine.revision % 10_000

    def depth(self, call: Call) -> str:
        instrument = self.instrument(call, "symbol")
        limit = whole(call.params.get("limit"), "limit", 500)
        if limit not in DEPTHS:
            raise Rejection(400, "-4021", f"Depth limit {limit} is not valid.")
        sides = zip("ba", self.book_levels(instrument.base), strict=True)
        bids, asks = (
            self.render_side(
                instrument.base + side,
                levels,
                limit,
                lambda rows: compact([shapes.level(row, instrument) for row in rows[:limit]]),
            )
            for side, levels in sides
        )
        update = self.update_id(call.now_ms)
        return f'{{"lastUpdateId":{update},"E":{call.now_ms},"T":{call.now_ms},"bids":{bids},"asks":{asks}}}'

    def book_ticker(self, call: Call) -> Any:
        rows = [self._book_ticker(i, call.now_ms) for i in self.instruments(call, "symbol")]
        return rows[0] if "symbol" in call.params else rows

    def _book_ticker(self, instrument: Instrument, now_ms: int) -> dict[str, Any]:
        bids, asks = self.book_levels(instrument.base)
        bid, ask = (shapes.level(side[0], instrument) if side else ["0.00", "0.000"] for side in (bids, asks))
        return {
            "symbol": instrument.id,
            "bidPrice": bid[0],
            "bidQty": bid[1],
            "askPrice": ask[0],
            "askQty": ask[1],
            "time": now_ms,
            "lastUpdateId": self.update_id(now_ms),
        }

    def day_ticker(self, call: Call) -> Any:
        instrument = self.instrument(call, "symbol")
        last = fixed(self.engine.mark(instrument.base), instrument.price_decimals)
        return shapes.day_ticker(instrument, last, call.now_ms)

    def premium_index(self, call: Call) -> Any:
        rows = [self._premium(i, call.now_ms) for i in self.instruments(call, "symbol")]
        return rows[0] if "symbol" in call.params else rows

    def _premium(self, instrument: Instrument, now_ms: int) -> dict[str, Any]:
        ladder, instant = self.engine.ladder(instrument.base), next_funding(now_ms)
        rate = self.engine.market.funding_rate(NAME, instrument.base, instant)
        return {
            "symbol": instrument.id,
            "markPrice": fixed(ladder.mark, 8),
            "indexPrice": fixed(ladder.index, 8),
            "estimatedSettlePrice": fixed(ladder.index, 8),
            "lastFundingRate": fixed(rate, 8),
            "interestRate": "0.00010000",
            "nextFundingTime": instant,
            "time": now_ms,
        }

    def funding_rates(self, call: Call) -> Any:
        limit = min(whole(call.params.get("limit"), "limit", 100), 1000)
        last = min(whole(call.params.get("endTime"), "endTime", call.now_ms), call.now_ms) // FUNDING_MS
        first = -(-whole(call.params.get("startTime"), "startTime", 0) // FUNDING_MS)
        numbers = range(first, last + 1)
        numbers = numbers[:limit] if "startTime" in call.params else numbers[-limit:]
        return [
            {
                "symbol": i.id,
                "fundingTime": n * FUNDING_MS,
                "fundingRate": fixed(self.engine.market.funding_rate(NAME, i.base, n * FUNDING_MS), 8),
                "markPrice": fixed(self.engine.market.ladder(NAME, i, n * FUNDING_MS).mark, 8),
            }
            for i in self.instruments(call, "symbol")
            for n in numbers
        ]

    # -- orders --

    def place(self, call: Call) -> Any:
        order = self.engine.place(self._new_order(call), fill_at_most=self.fill_at_most)
        acknowledged = call.params.get("newOrderRespType", "ACK") == "ACK"
        return shapes.order(order, self.engine.instruments[order.base], acknowledged=acknowledged)

    def _new_order(self, call: Call) -> NewOrder:
        params = call.params
        instrument = self.instrument(call, "symbol")
        kind = params.get("type")
        if kind not in ("LIMIT", "MARKET"):
            raise Rejection(400, "-1116", "Invalid orderType.")
        if self.engine.hedge_mode or params.get("positionSide", "BOTH") != "BOTH":
            raise Refused(Reason.HEDGE_MODE)
        if params.get("side") not in ("BUY", "SELL"):
            raise Rejection(400, "-1117", "Invalid side.")
        client_order_id = params.get("newClientOrderId") or f"paper{self.engine.last_id + 1}"
        if len(client_order_id) > 36:
            raise Refused(Reason.CLIENT_ID)
        if not CLIENT_ID.fullmatch(client_order_id):
            raise Refused(Reason.BAD_VALUE, "newClientOrderId")
        qty = number(params.get("quantity"), "quantity")
        if qty == 0:
            raise Refused(Reason.MIN_QTY, "0")
        return NewOrder(
            base=instrument.base,
            side=Side(params["side"].lower()),
            qty=qty,
            price=number(params.get("price"), "price") if kind == "LIMIT" else None,
            time_in_force=_time_in_force(params) if kind == "LIMIT" else TimeInForce.IOC,
            reduce_only=params.get("reduceOnly", "false").lower() == "true",
            client_order_id=client_order_id,
        )

    def place_batch(self, call: Call) -> Any:
        return [self._place_row(call, row) for row in shapes.batch(call.params.get("batchOrders"), MAX_BATCH)]

    def _place_row(self, call: Call, row: dict[str, str]) -> Any:
        one = Call(call.method, call.path, "", "", call.headers, call.now_ms, row)
        try:
            return self.place(one)
        except Refused as refused:
            rejection = self.rejection_of(refused, one)
        except Rejection as caught:
            rejection = caught
        return {"code": int(rejection.code), "msg": rejection.text}

    def _find(self, call: Call) -> Order:
        base = self.instrument(call, "symbol").base
        if call.params.get("orderId"):
            return self.engine.find(base, order_id=whole(call.params["orderId"], "orderId") - shapes.FIRST_ID)
        if not call.params.get("origClientOrderId"):
            raise Rejection(
                400, "-1102", "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
            )
        return self.engine.find(base, client_order_id=call.params["origClientOrderId"])

    def _shown(self, order: Order) -> dict[str, Any]:
        return shapes.order(order, self.engine.instruments[order.base])

    def query(self, call: Call) -> Any:
        return self._shown(self._find(call))

    def query_open(self, call: Call) -> Any:
        order = self._find(call)
        if not order.live:
            raise Refused(Reason.UNKNOWN_ORDER)
        return self._shown(order)

    def cancel(self, call: Call) -> Any:
        return self._shown(self.engine.cancel(self._find(call)))

    def cancel_all(self, call: Call) -> Any:
        for order in self.engine.working(self.instrument(call, "symbol").base):
            self.engine.cancel(order)
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def countdown(self, call: Call) -> Any:
        instrument = self.instrument(call, "symbol")
        countdown = whole(call.params.get("countdownTime"), "countdownTime")
        self.engine.arm_dead_man(instrument.base, countdown)
        return {"symbol": instrument.id, "countdownTime": str(countdown)}

    def open_orders(self, call: Call) -> Any:
        bases = {i.base for i in self.instruments(call, "symbol")}
        return [self._shown(o) for o in self.engine.working() if o.base in bases]

    def all_orders(self, call: Call) -> Any:
        base = self.instrument(call, "symbol").base
        first = whole(call.params.get("orderId"), "orderId", 0) - shapes.FIRST_ID
        limit, span = min(whole(call.params.get("limit"), "limit", 500), 1000), _span(call)
        rows = [o for o in self.engine.shown_orders() if o.base == base and o.id >= first]
        rows = [o for o in rows if o.created_ms in span]
        return [self._shown(o) for o in (rows[:limit] if first > 0 else rows[-limit:])]

    def user_trades(self, call: Call) -> Any:
        instrument = self.instrument(call, "symbol")
        order_id = whole(call.params.get("orderId"), "orderId", 0)
        first = whole(call.params.get("fromId"), "fromId", 0)
        limit = min(whole(call.params.get("limit"), "limit", 500), 1000)
        if first and ("startTime" in call.params or "endTime" in call.params):
            raise Rejection(400, "-1128", "Combination of optional parameters invalid.")
        span = range(FOREVER_MS) if first or order_id else _week(call)
        rows = [
            f
            for f in self.engine.shown_fills()
            if f.base == instrument.base
            and (not order_id or f.order_id == order_id - shapes.FIRST_ID)
            and f.id >= first
            and f.at_ms in span
        ]
        oldest_first = first or "startTime" in call.params
        return [shapes.trade(f, instrument) for f in (rows[:limit] if oldest_first else rows[-limit:])]

    # -- account --

    def position_risk(self, call: Call) -> Any:
        """v3 lists only what has a position or an order."""
        rows = [i for i in self.instruments(call, "symbol") if self._has_something(i.base)]
        return [self._position(i) for i in rows]

    def position_risk_all(self, call: Call) -> Any:
        return [self._position(i) for i in self.instruments(call, "symbol")]

    def _has_something(self, base: str) -> bool:
        return bool(self.engine.account.position(base).net or self.engine.working(base))

    def _position(self, instrument: Instrument) -> dict[str, Any]:
        return shapes.position(self.engine, instrument, self.liquidation_price(instrument.base))

    def account(self, _: Call) -> Any:
        held = [i for i in self.by_symbol.values() if self._has_something(i.base)]
        return shapes.account(self.engine, self.engine.maintenance(), [self._position(i) for i in held])

    def balance(self, _: Call) -> Any:
        return [shapes.balance(self.engine)]

    def set_leverage(self, call: Call) -> Any:
        instrument = self.instrument(call, "symbol")
        leverage = whole(call.params.get("leverage"), "leverage")
        try:
            self.engine.set_leverage(instrument.base, leverage)
        except Refused as refused:
            raise Refused(refused.reason, str(leverage)) from refused
        return {"leverage": leverage, "maxNotionalValue": shapes.MAX_NOTIONAL, "symbol": instrument.id}

    def brackets(self, call: Call) -> Any:
        rows = [shapes.bracket(i) for i in self.instruments(call, "symbol")]
        return rows[0] if "symbol" in call.params else rows

    def position_mode(self, _: Call) -> Any:
        return {"dualSidePosition": self.engine.hedge_mode}

    def set_position_mode(self, call: Call) -> Any:
        wanted = call.params.get("dualSidePosition", "").lower()
        if wanted not in ("true", "false"):
            raise Refused(Reason.MISSING, "dualSidePosition")
        if self.engine.live and (wanted == "true") != self.engine.hedge_mode:
            raise Rejection(400, "-4067", "Position side cannot be changed if there exists open orders.")
        self.engine.set_hedge_mode(wanted == "true")
        return {"code": 200, "msg": "success"}

    def set_margin_type(self, call: Call) -> Any:
        self.instrument(call, "symbol")
        if call.params.get("marginType") == "CROSSED":
            raise Rejection(400, "-4046", "No need to change margin type.")
        raise Rejection(400, "-4168", "Unable to adjust to isolated-margin mode under the Multi-Assets mode.")

    def symbol_config(self, call: Call) -> Any:
        return [
            {
                "symbol": i.id,
                "marginType": "CROSSED",
                "isAutoAddMargin": "false",
                "leverage": self.engine.account.leverage_of(i.base),
                "maxNotionalValue": shapes.MAX_NOTIONAL,
            }
            for i in self.instruments(call, "symbol")
        ]

    def commission(self, call: Call) -> Any:
        return {
            "symbol": self.instrument(call, "symbol").id,
            "makerCommissionRate": fixed(RULES.maker_fee, 6),
            "takerCommissionRate": fixed(RULES.taker_fee, 6),
        }

    def income(self, call: Call) -> Any:
        """Oldest first where `startTime` or `page` says from where, else the last ones."""
        limit = min(whole(call.params.get("limit"), "limit", 100), 1000)
        bases, span = {i.base for i in self.instruments(call, "symbol")}, _recent_or_span(call)
        bills = [b for b in self.engine.bills.values() if b.base in bases and b.at_ms in span]
        rows = [row for bill in bills for row in shapes.income(bill, self.engine.instruments[bill.base])]
        kind = call.params.get("incomeType")
        rows = [row for row in rows if kind in (None, row["incomeType"])]
        if "startTime" not in call.params and "page" not in call.params:
            return rows[-limit:]
        skipped = (max(whole(call.params.get("page"), "page", 1), 1) - 1) * limit
        return rows[skipped : skipped + limit]

    def restrictions(self, call: Call) -> Any:
        return {
            "ipRestrict": True,
            "createTime": call.now_ms,
            "enableReading": True,
            "enableFutures": True,
            "enableWithdrawals": False,
            "enableInternalTransfer": False,
            "permitsUniversalTransfer": False,
            "enableMargin": False,
            "enableSpotAndMarginTrading": False,
            "enableVanillaOptions": False,
            "enablePortfolioMarginTrading": False,
        }


def _time_in_force(params: dict[str, str]) -> TimeInForce:
    try:
        return TIME_IN_FORCE[params["timeInForce"]]
    except KeyError:
        if "timeInForce" in params:
            raise Rejection(400, "-1115", "Invalid timeInForce.") from None
        raise Refused(Reason.MISSING, "timeInForce") from None


def _span(call: Call) -> range:
    """Milliseconds from `startTime` to `endTime`, both included."""
    start = whole(call.params.get("startTime"), "startTime", 0)
    return range(start, whole(call.params.get("endTime"), "endTime", FOREVER_MS) + 1)


def _recent_or_span(call: Call) -> range:
    """`_span`, and the last 7 days where the call names no time."""
    if "startTime" in call.params or "endTime" in call.params:
        return _span(call)
    return range(call.now_ms - SPAN_MS, FOREVER_MS)


def _week(call: Call) -> range:
    """7 days from `startTime`, else up to `endTime`, else up to now. Raises Rejection for more of them."""
    if "startTime" not in call.params:
        end = whole(call.params.get("endTime"), "endTime", call.now_ms)
        return range(end - SPAN_MS, end + 1)
    span = _span(call)
    if "endTime" in call.params and len(span) > SPAN_MS + 1:
        raise Rejection(400, "-4165", "Maximum time interval is 7 days.")
    return span[: SPAN_MS + 1]


def _int(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 500
