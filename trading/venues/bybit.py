"""Bybit USDT linear perpetuals, unified account, V5. Sizes are base coin here and there.

Every refusal comes with HTTP 200 and a `retCode`. The answer to an order carries ids only and is an
acknowledgement: `place` reports status None and the caller reads the outcome with `order()`; a post-only that
would take and a FOK that cannot fill are *accepted* and then cancelled (facts §1). There is no cancel-all
timer: `disconnected-cancel-all` answers OK and acts on the loss of a stream only, so it is never called.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from time import monotonic
from typing import Any

import ccxt.async_support as ccxt

from trading.domain.market import Book, FeeTier, Funding, Instrument, Level, Side
from trading.domain.money import ZERO
from trading.venues.base import (
    ACCEPT_WINDOW_MS,
    EPOCH,
    FEE_SEC,
    MODE_SEC,
    PERMISSION_SEC,
    CcxtVenue,
    Wire,
    at,
    guarded,
    paced,
    plain,
    some,
    utcnow,
)
from trading.venues.errors import not_sent
from trading.venues.interface import (
    AccountSetup,
    Balance,
    BillKind,
    BillReport,
    ClockSample,
    DeadMan,
    DeadManScope,
    FillReport,
    NewOrder,
    OrderOwner,
    OrderReport,
    OrderStatus,
    VenueError,
    VenuePosition,
    Verdict,
)
from trading.venues.streams import News

_STATUS = {
    "New": OrderStatus.OPEN,
    "Untriggered": OrderStatus.OPEN,
    "Triggered": OrderStatus.OPEN,
    "PartiallyFilled": OrderStatus.PARTIAL,
    "Filled": OrderStatus.FILLED,
    "Cancelled": OrderStatus.CANCELED,
    "PartiallyFilledCanceled": OrderStatus.CANCELED,
    "Deactivated": OrderStatus.CANCELED,
    "Rejected": OrderStatus.REJECTED,
}
_SIDES = {Side.BUY: "Buy", Side.SELL: "Sell"}
_MARGIN_MODES = {"REGULAR_MARGIN": "cross", "ISOLATED_MARGIN": "isolated"}
_BILLS = {
    "TRADE": BillKind.TRADE,
    "SETTLEMENT": BillKind.FUNDING,
    "TRANSFER_IN": BillKind.TRANSFER,
    "TRANSFER_OUT": BillKind.TRANSFER,
}
_LINEAR = {"category": "linear"}
_NO_CHANGE = {"110025", "110043"}  # the position mode or the leverage is as asked already
_SPAN = timedelta(days=7)  # no list answers for more at once
_BARRED_SEC = 600  # after an address has asked too often
#: How the createType of Bybit's own orders begins.
FORCED = ("CreateByLiq", "CreateByAdl", "CreateBySettle")


class Client(Wire, ccxt.bybit):  # type: ignore[misc]
    def handle_errors(self, status: int, *answer: Any) -> None:
        if status == 403:
            self.venue.stay_away(_BARRED_SEC)
        super().handle_errors(status, *answer)


class Bybit(CcxtVenue):
    name = "bybit"
    order_path = "/v5/order/create"
    fenced = True  # recv window, in every signed request
    dead_man = DeadMan(DeadManScope.NONE)

    def _client(self, credentials: dict[str, Any], kind: type | None) -> Any:
        options = {"recvWindow": ACCEPT_WINDOW_MS, "fetchMarkets": {"types": ["linear"]}}
        return (kind or Client)({**credentials, "options": options})

    def _use_testnet(self, client: Any) -> None:
        client.set_sandbox_mode(True)

    def heard(self, headers: Mapping[str, str]) -> None:
        """How much of the last endpoint's requests per second is used; the venue states what is left."""
        super().heard(headers)
        limit, left = headers.get("x-bapi-limit", ""), headers.get("x-bapi-limit-status", "")
        if limit.isdigit() and left.isdigit():
            self._weight["last-endpoint-1s"] = int(limit) - int(left)

    def _instrument(self, market: Mapping[str, Any]) -> Instrument:
        lots, prices = market["info"]["lotSizeFilter"], market["info"]["priceFilter"]
        if market["info"]["contractType"] != "LinearPerpetual":
            raise LookupError("a future that expires is no perpetual swap")
        return Instrument(
            venue=self.name,
            symbol=market["symbol"],
            base=market["base"],
            quote=market["quote"],
            settle=market["settle"],
            contract_size=Decimal(1),
            tick=Decimal(prices["tickSize"]),
            lot=Decimal(lots["qtyStep"]),
            min_qty=Decimal(lots["minOrderQty"]),
            max_qty=Decimal(lots["maxOrderQty"]),
            min_notional=Decimal(lots["minNotionalValue"]),
        )

    def _symbol(self, market_id: str) -> str:
        """Unified; for what is no USDT perpetual the venue's own name."""
        known = self._by_id.get(market_id)
        return known.symbol if known else market_id

    async def _linear(self, symbol: str) -> dict[str, Any]:
        return {**_LINEAR, "symbol": await self._market_id(symbol)}

    async def _rows(
        self, endpoint: Any, request: Mapping[str, Any], *, limit: int
    ) -> list[Mapping[str, Any]]:
        """All pages, in the venue's order (newest first); those after the first wait their turn."""
        rows: list[Mapping[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            result = (await endpoint({**request, "limit": limit, **cursor}))["result"]
            rows += result["list"]
            if not result["list"] or not result.get("nextPageCursor"):
                return rows
            cursor = {"cursor": result["nextPageCursor"]}
            await self.turn()

    async def _since(
        self, endpoint: Any, request: Mapping[str, Any], *, since: datetime, limit: int
    ) -> AsyncIterator[Mapping[str, Any]]:
        """Rows from `since` to now, oldest first, asked for in spans that the venue answers for."""
        until = utcnow() + timedelta(minutes=1)  # the venue's clock may be ahead of ours
        start = since
        while start <= until:
            await self.turn()
            end = min(start + _SPAN, until)
            span = {"startTime": _milliseconds(start), "endTime": _milliseconds(end)}
            for row in reversed(await self._rows(endpoint, {**request, **span}, limit=limit)):
                yield row
            start = end + timedelta(milliseconds=1)

    # -- market data --

    @paced
    async def clock(self) -> ClockSample:
        before, start = utcnow(), monotonic()
        answer = await self.data.publicGetV5MarketTime()
        milliseconds = int(answer["result"]["timeNano"]) // 1_000_000
        return self._sample(at(milliseconds), before, monotonic() - start)

    @paced
    async def book(self, symbol: str, *, depth: int = 20) -> Book:
        request = {**await self._linear(symbol), "limit": min(depth, 500)}
        answer = await self.data.publicGetV5MarketOrderbook(request)
        received, row = utcnow(), answer["result"]
        bids, asks = (
            tuple(Level(Decimal(price), Decimal(qty)) for price, qty in row[side][:depth]) for side in "ba"
        )
        return Book(self.name, symbol, bids, asks, received_at=received, venue_at=at(row["ts"]))

    @paced
    async def funding(self, symbol: str) -> Funding:
        answer = await self.data.publicGetV5MarketTickers(await self._linear(symbol))
        row = answer["result"]["list"][0]
        return Funding(
            venue=self.name,
            symbol=symbol,
            rate=Decimal(row["fundingRate"]),
            next_at=at(row["nextFundingTime"]),
            interval_hours=int(row["fundingIntervalHour"]),
            mark_price=Decimal(row["markPrice"]),
        )

    # -- account --

    @paced
    async def balance(self) -> Balance:
        """`free` is the whole account's, in USD: the unified account has no such figure per coin. In isolated
        margin the venue leaves it empty, and nothing counts as free."""
        answer = await self.data.privateGetV5AccountWalletBalance({"accountType": "UNIFIED", "coin": "USDT"})
        account = answer["result"]["list"][0]
        row: Mapping[str, Any] = next((c for c in account["coin"] if c["coin"] == "USDT"), {})
        total, free = row.get("walletBalance") or "0", account["totalAvailableBalance"] or "0"
        return Balance(self.name, "USDT", total=Decimal(total), free=Decimal(free))

    @paced
    async def account(self, symbol: str) -> AccountSetup:
        """The position mode shows in the rows of a position, which an instrument has even when flat."""
        request = await self._linear(symbol)
        positions, info, key, fees = await asyncio.gather(
            self.data.privateGetV5PositionList(request),
            self._kept("info", MODE_SEC, self.data.privateGetV5AccountInfo),
            self._kept("key", PERMISSION_SEC, self.data.privateGetV5UserQueryApi),
            self._kept(f"fees {symbol}", FEE_SEC, lambda: self.data.privateGetV5AccountFeeRate(request)),
        )
        rows, tier = positions["result"]["list"], fees["result"]["list"][0]
        permissions, mode = key["result"]["permissions"], info["result"]["marginMode"]
        may_trade = {"Order", "Position"} <= set(permissions.get("ContractTrade") or ())
        return AccountSetup(
            venue=self.name,
            symbol=symbol,
            position_mode="one_way" if all(int(row["positionIdx"]) == 0 for row in rows) else "hedge",
            margin_mode=_MARGIN_MODES.get(mode, mode),
            leverage=int(Decimal(rows[0]["leverage"])) if rows[0]["leverage"] else None,
            can_trade=may_trade and int(key["result"]["readOnly"]) == 0,
            can_withdraw="Withdraw" in (permissions.get("Wallet") or ()),
            fees=FeeTier(maker=Decimal(tier["makerFeeRate"]), taker=Decimal(tier["takerFeeRate"])),
        )

    @guarded
    async def positions(self) -> tuple[VenuePosition, ...]:
        await self.load()
        request = {**_LINEAR, "settleCoin": "USDT"}
        rows = await self._rows(self.orders.privateGetV5PositionList, request, limit=200)
        return tuple(self._position(row) for row in rows if Decimal(row["size"] or "0") != ZERO)

    def _position(self, row: Mapping[str, Any]) -> VenuePosition:
        sign = {"Buy": 1, "Sell": -1}[row["side"]]
        return VenuePosition(
            venue=self.name,
            symbol=self._symbol(row["symbol"]),
            net=sign * Decimal(row["size"]),
            entry_price=Decimal(row["avgPrice"]),
            mark_price=Decimal(row["markPrice"]),
            unrealised_pnl=Decimal(row["unrealisedPnl"]),
            liquidation_price=some(row["liqPrice"]),
        )

    @guarded
    async def set_leverage(self, symbol: str, leverage: int) -> None:
        both = {"buyLeverage": str(leverage), "sellLeverage": str(leverage)}
        await self._set(self.data.privatePostV5PositionSetLeverage, {**await self._linear(symbol), **both})

    @guarded
    async def set_position_mode(self, *, one_way: bool) -> None:
        mode = {"coin": "USDT", "mode": 0 if one_way else 3}
        await self._set(self.data.privatePostV5PositionSwitchMode, {**_LINEAR, **mode})

    async def _set(self, endpoint: Any, request: Mapping[str, Any]) -> None:
        """The venue calls it an error when there is nothing to change."""
        try:
            await endpoint(request)
        except VenueError as error:
            if error.code not in _NO_CHANGE:
                raise

    @paced
    async def bills(self, *, since: datetime) -> tuple[BillReport, ...]:
        await self.load()
        endpoint, request = self.data.privateGetV5AccountTransactionLog, {"accountType": "UNIFIED"}
        return tuple([self._bill(row) async for row in self._since(endpoint, request, since=since, limit=50)])

    def _bill(self, row: Mapping[str, Any]) -> BillReport:
        """`change` is cash flow, funding and fee together: one line for each fill."""
        return BillReport(
            venue=self.name,
            bill_id=row["id"],
            kind=_BILLS.get(row["type"], BillKind.OTHER),
            symbol=self._symbol(row["symbol"]) if row["symbol"] else "",
            currency=row["currency"],
            amount=Decimal(row["change"]),
            fee=Decimal(row["fee"] or "0"),
            trade_id=row["tradeId"] if row["type"] == "TRADE" else "",
            at=at(row["transactionTime"]),
        )

    # -- orders --

    @guarded
    async def _place(self, order: NewOrder, market_id: str) -> OrderReport:
        request: dict[str, Any] = {
            **_LINEAR,
            "symbol": market_id,
            "side": _SIDES[order.side],
            "orderType": "Limit",
            "timeInForce": "PostOnly" if order.post_only else order.time_in_force.value,
            "qty": plain(order.qty),
            "price": plain(order.price),
            "positionIdx": 0,
            "orderLinkId": order.client_order_id,
        }
        if order.reduce_only:
            request["reduceOnly"] = True
        answer = await self.orders.privatePostV5OrderCreate(request)
        return OrderReport(
            venue=self.name,
            symbol=order.symbol,
            client_order_id=order.client_order_id,
            venue_order_id=answer["result"]["orderId"],
            side=order.side,
            qty=order.qty,
            filled=None,
            average_price=None,
            status=None,
        )

    @guarded
    async def order(self, symbol: str, client_order_id: str) -> OrderReport:
        """Asked by id, `realtime` knows closed orders too, unless there are 500 newer ones or the venue was
        restarted: then the history has them. An empty list is its way to say that there is none."""
        request = {**await self._linear(symbol), "orderLinkId": client_order_id}
        for endpoint in (self.orders.privateGetV5OrderRealtime, self.orders.privateGetV5OrderHistory):
            rows = (await endpoint(request))["result"]["list"]
            if rows:
                return self._report(rows[0])
        detail = f"neither open nor in the history: {client_order_id}"
        raise VenueError(Verdict.NOT_FOUND, venue=self.name, code="no_row", detail=detail)

    @paced
    async def owner(self, symbol: str, *, venue_order_id: str) -> OrderOwner:
        request = {**await self._linear(symbol), "orderId": venue_order_id}
        for endpoint in (self.data.privateGetV5OrderRealtime, self.data.privateGetV5OrderHistory):
            rows = (await endpoint(request))["result"]["list"]
            if rows:
                forced = str(rows[0]["createType"]).startswith(FORCED)
                return OrderOwner(rows[0]["orderLinkId"], forced=forced)
        detail = f"neither open nor in the history: {venue_order_id}"
        raise VenueError(Verdict.NOT_FOUND, venue=self.name, code="no_row", detail=detail)

    @guarded
    async def open_orders(self, symbol: str | None = None) -> tuple[OrderReport, ...]:
        await self.load()
        request = await self._linear(symbol) if symbol else {**_LINEAR, "settleCoin": "USDT"}
        rows = await self._rows(self.orders.privateGetV5OrderRealtime, request, limit=50)
        return tuple(self._report(row) for row in rows)

    @guarded
    async def cancel(self, symbol: str, client_order_id: str) -> None:
        request = {**await self._linear(symbol), "orderLinkId": client_order_id}
        await self.orders.privatePostV5OrderCancel(request)

    @guarded
    async def fills(self, symbol: str, *, venue_order_id: str) -> tuple[FillReport, ...]:
        request = {**await self._linear(symbol), "orderId": venue_order_id}
        rows = await self._rows(self.orders.privateGetV5ExecutionList, request, limit=100)
        return self._fills(rows)

    @paced
    async def trades(self, symbol: str, *, since: datetime) -> tuple[FillReport, ...]:
        request, endpoint = await self._linear(symbol), self.data.privateGetV5ExecutionList
        rows = [row async for row in self._since(endpoint, request, since=since, limit=100)]
        return self._fills(rows)

    def _fills(self, rows: list[Mapping[str, Any]]) -> tuple[FillReport, ...]:
        """Oldest first. Funding stands among the executions and moves no position; all else does."""
        moved = (row for row in rows if row["execType"] != "Funding")
        return tuple(
            self._fill(row) for row in sorted(moved, key=lambda r: (int(r["execTime"]), int(r["seq"])))
        )

    def _report(self, row: Mapping[str, Any]) -> OrderReport:
        return OrderReport(
            venue=self.name,
            symbol=self._symbol(row["symbol"]),
            client_order_id=row["orderLinkId"],
            venue_order_id=row["orderId"],
            side=Side(row["side"].lower()),
            qty=Decimal(row["qty"]),
            filled=Decimal(row["cumExecQty"] or "0"),
            average_price=some(row["avgPrice"]),
            status=_STATUS[row["orderStatus"]],
            at=at(row["updatedTime"]),
        )

    def news(self, message: Mapping[str, Any]) -> Iterator[News]:
        """Fills and orders are topics of their own, and either may be first."""
        for row in message.get("data", ()) if message.get("topic") in ("order", "execution") else ():
            if message["topic"] == "order":
                yield self._report(row)
            elif row["execType"] != "Funding":
                yield self._fill(row)

    def _fill(self, row: Mapping[str, Any]) -> FillReport:
        return FillReport(
            venue=self.name,
            symbol=self._symbol(row["symbol"]),
            trade_id=row["execId"],
            venue_order_id=row["orderId"],
            client_order_id=row["orderLinkId"],
            side=Side(row["side"].lower()),
            qty=Decimal(row["execQty"]),
            price=Decimal(row["execPrice"]),
            fee=Decimal(row["execFee"]),  # positive is charged
            fee_currency=row["feeCurrency"] or "USDT",  # empty for a derivative: its settlement currency
            maker=row["isMaker"],
            at=at(row["execTime"]),
        )

    async def arm_dead_man(self, symbol: str, *, timeout_sec: int) -> None:
        raise not_sent(self.name, "has no cancel-all timer: only the loss of a private stream cancels there")


def _milliseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)
