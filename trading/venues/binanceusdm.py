"""Binance USDⓈ-M perpetuals. Quantities are base coin; the position mode is one for the whole account."""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from time import monotonic
from typing import Any

import ccxt.async_support as ccxt

from trading.domain.market import Book, FeeTier, Funding, Instrument, Level, Side
from trading.domain.money import ZERO
from trading.venues.base import (
    ACCEPT_WINDOW_MS,
    FEE_SEC,
    FUNDING_SEC,
    MODE_SEC,
    PERMISSION_SEC,
    CcxtVenue,
    Wire,
    at,
    guarded,
    milliseconds,
    paced,
    plain,
    some,
    utcnow,
)
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
    VenueEndpoint,
    VenueError,
    VenuePosition,
)
from trading.venues.streams import News

_STATUS = {
    "NEW": OrderStatus.OPEN,
    "PARTIALLY_FILLED": OrderStatus.PARTIAL,
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELED,
    "EXPIRED": OrderStatus.CANCELED,
    "EXPIRED_IN_MATCH": OrderStatus.CANCELED,
    "REJECTED": OrderStatus.REJECTED,
}
_BILLS = {
    "REALIZED_PNL": BillKind.TRADE,
    "COMMISSION": BillKind.TRADE,
    "FUNDING_FEE": BillKind.FUNDING,
    "TRANSFER": BillKind.TRANSFER,
    "INTERNAL_TRANSFER": BillKind.TRANSFER,
    "INSURANCE_CLEAR": BillKind.OTHER,  # and whatever else Binance writes
}
_PAGE = 1000
_SPAN_MS = 7 * 86_400_000  # the longest that one question about the past may cover
_DEPTHS = (5, 10, 20, 50, 100, 500, 1000)
_NO_CHANGE = "-4059"
#: How the client ids of Binance's own orders begin.
FORCED = ("autoclose-", "adl_autoclose", "settlement_autoclose-")


class Client(Wire, ccxt.binanceusdm):  # type: ignore[misc]
    pass


class BinanceUsdm(CcxtVenue):
    name = "binanceusdm"
    order_path = "/fapi/v1/order"
    fenced = True  # recvWindow, in every signed request
    dead_man = DeadMan(DeadManScope.INSTRUMENT, min_sec=1, max_sec=86_400)

    def __init__(self, endpoint: VenueEndpoint, **options: Any) -> None:
        super().__init__(endpoint, **options)
        # Demo keys are play money and their host has no key-permission endpoint.
        self._demo = endpoint.profile == "testnet" and endpoint.base_url is None

    def _client(self, credentials: dict[str, Any], kind: type | None) -> Any:
        return (kind or Client)({**credentials, "options": {"recvWindow": ACCEPT_WINDOW_MS}})

    def _use_testnet(self, client: Any) -> None:
        client.enable_demo_trading(True)

    def _instrument(self, market: Mapping[str, Any]) -> Instrument:
        filters = {row["filterType"]: row for row in market["info"]["filters"]}
        lot = filters["LOT_SIZE"]
        return Instrument(
            venue=self.name,
            symbol=market["symbol"],
            base=market["base"],
            quote=market["quote"],
            settle=market["settle"],
            contract_size=Decimal(1),
            tick=Decimal(filters["PRICE_FILTER"]["tickSize"]),
            lot=Decimal(lot["stepSize"]),
            min_qty=Decimal(lot["minQty"]),
            max_qty=Decimal(lot["maxQty"]),
            min_notional=Decimal(filters.get("MIN_NOTIONAL", {}).get("notional", "0")),
        )

    def _symbol(self, market_id: str) -> str:
        """The unified symbol; for what is no USDT swap the venue's own name, so that it is seen."""
        known = self._by_id.get(market_id)
        return known.symbol if known else market_id

    # -- market data --

    @paced
    async def clock(self) -> ClockSample:
        before, start = utcnow(), monotonic()
        venue_time = await self._now()
        return self._sample(venue_time, before, monotonic() - start)

    async def _now(self) -> datetime:
        return at((await self.data.fapiPublicGetTime())["serverTime"])

    @paced
    async def book(self, symbol: str, *, depth: int = 20) -> Book:
        market_id = await self._market_id(symbol)
        limit = next((d for d in _DEPTHS if d >= depth), _DEPTHS[-1])
        answer = await self.data.fapiPublicGetDepth({"symbol": market_id, "limit": limit})
        received = utcnow()
        bids, asks = (
            tuple(Level(Decimal(price), Decimal(qty)) for price, qty in answer[side][:depth])
            for side in ("bids", "asks")
        )
        return Book(self.name, symbol, bids, asks, received_at=received, venue_at=at(answer["T"]))

    @paced
    async def funding(self, symbol: str) -> Funding:
        """`lastFundingRate` is the rate that will be charged at `nextFundingTime`, as estimated now."""
        market_id = await self._market_id(symbol)
        premium = await self.data.fapiPublicGetPremiumIndex({"symbol": market_id})
        intervals = await self._kept("funding", FUNDING_SEC, self.data.fapiPublicGetFundingInfo)
        # The list names only instruments whose interval was ever adjusted; the others are at 8 hours.
        hours = next((int(row["fundingIntervalHours"]) for row in intervals if row["symbol"] == market_id), 8)
        return Funding(
            venue=self.name,
            symbol=symbol,
            rate=Decimal(premium["lastFundingRate"]),
            next_at=at(premium["nextFundingTime"]),
            interval_hours=hours,
            mark_price=Decimal(premium["markPrice"]),
        )

    # -- account --

    @paced
    async def balance(self) -> Balance:
        answer = await self.data.fapiPrivateV3GetAccount()
        row: Mapping[str, Any] = next((row for row in answer["assets"] if row["asset"] == "USDT"), {})
        total, free = row.get("walletBalance", "0"), row.get("availableBalance", "0")
        return Balance(self.name, "USDT", total=Decimal(total), free=Decimal(free))

    @paced
    async def account(self, symbol: str) -> AccountSetup:
        market_id = await self._market_id(symbol)
        mode, config, fees, key = await asyncio.gather(
            self._kept("mode", MODE_SEC, self.data.fapiPrivateGetPositionSideDual),
            self.data.fapiPrivateGetSymbolConfig({"symbol": market_id}),
            self._kept(f"fees {market_id}", FEE_SEC, lambda: self._fees(market_id)),
            self._kept("key", PERMISSION_SEC, self._key_permissions),
        )
        return AccountSetup(
            venue=self.name,
            symbol=symbol,
            position_mode="hedge" if mode["dualSidePosition"] else "one_way",
            margin_mode="isolated" if config[0]["marginType"] == "ISOLATED" else "cross",
            leverage=int(config[0]["leverage"]),
            can_trade=bool(key["enableFutures"]),
            can_withdraw=bool(key["enableWithdrawals"]),
            fees=FeeTier(
                maker=Decimal(fees["makerCommissionRate"]), taker=Decimal(fees["takerCommissionRate"])
            ),
        )

    async def _fees(self, market_id: str) -> Any:
        return await self.data.fapiPrivateGetCommissionRate({"symbol": market_id})

    async def _key_permissions(self) -> Mapping[str, bool]:
        """Of the key: the account's own `canWithdraw` says nothing about what this key may do."""
        if self._demo:
            return {"enableFutures": True, "enableWithdrawals": False}
        answer: Mapping[str, bool] = await self.data.sapiGetAccountApiRestrictions()
        return answer

    @guarded
    async def positions(self) -> tuple[VenuePosition, ...]:
        await self.load()
        rows = await self.orders.fapiPrivateV3GetPositionRisk()
        return tuple(
            VenuePosition(
                venue=self.name,
                symbol=self._symbol(row["symbol"]),
                net=Decimal(row["positionAmt"]),
                entry_price=Decimal(row["entryPrice"]),
                mark_price=Decimal(row["markPrice"]),
                unrealised_pnl=Decimal(row["unRealizedProfit"]),
                liquidation_price=some(row["liquidationPrice"]),
            )
            for row in rows
            if Decimal(row["positionAmt"]) != ZERO
        )

    @guarded
    async def set_leverage(self, symbol: str, leverage: int) -> None:
        market_id = await self._market_id(symbol)
        await self.data.fapiPrivatePostLeverage({"symbol": market_id, "leverage": leverage})

    @guarded
    async def set_position_mode(self, *, one_way: bool) -> None:
        self._answers.pop("mode", None)
        try:
            await self.data.fapiPrivatePostPositionSideDual(
                {"dualSidePosition": "false" if one_way else "true"}
            )
        except VenueError as error:
            if error.code != _NO_CHANGE:
                raise

    @paced
    async def bills(self, *, since: datetime) -> tuple[BillReport, ...]:
        """Rows may appear late and push others to the next page: those that come twice count once."""
        await self.load()
        found: dict[str, BillReport] = {}
        for span in await self._spans(since):
            page = 0
            rows: list[Mapping[str, Any]] = [{}] * _PAGE
            while len(rows) == _PAGE:
                page += 1
                await self.spaced("income", 0.5)  # weight 30 of 2,400 a minute
                rows = await self.data.fapiPrivateGetIncome({**span, "page": page, "limit": _PAGE})
                found.update((bill.bill_id, bill) for bill in map(self._bill, rows))
        return tuple(sorted(found.values(), key=lambda bill: bill.at))

    # -- orders --

    @guarded
    async def _place(self, order: NewOrder, market_id: str) -> OrderReport:
        """The answer (`newOrderRespType=RESULT`) is the order's final state for an IOC. −5022: would take."""
        request = {
            "symbol": market_id,
            "side": order.side.value.upper(),
            "type": "LIMIT",
            "timeInForce": "GTX" if order.post_only else order.time_in_force.value,
            "quantity": plain(order.qty),
            "price": plain(order.price),
            "newClientOrderId": order.client_order_id,
            "newOrderRespType": "RESULT",
        }
        if order.reduce_only:
            request["reduceOnly"] = "true"
        return self._report(await self.orders.fapiPrivatePostOrder(request))

    @guarded
    async def order(self, symbol: str, client_order_id: str) -> OrderReport:
        request = {"symbol": await self._market_id(symbol), "origClientOrderId": client_order_id}
        return self._report(await self.orders.fapiPrivateGetOrder(request))

    @paced
    async def owner(self, symbol: str, *, venue_order_id: str) -> OrderOwner:
        request = {"symbol": await self._market_id(symbol), "orderId": venue_order_id}
        row = await self.data.fapiPrivateGetOrder(request)
        client_id = str(row["clientOrderId"])
        return OrderOwner(client_id, forced=client_id.startswith(FORCED))

    @guarded
    async def open_orders(self, symbol: str | None = None) -> tuple[OrderReport, ...]:
        await self.load()
        request = {"symbol": await self._market_id(symbol)} if symbol else {}
        return tuple(self._report(row) for row in await self.orders.fapiPrivateGetOpenOrders(request))

    @guarded
    async def cancel(self, symbol: str, client_order_id: str) -> None:
        request = {"symbol": await self._market_id(symbol), "origClientOrderId": client_order_id}
        await self.orders.fapiPrivateDeleteOrder(request)

    @guarded
    async def fills(self, symbol: str, *, venue_order_id: str) -> tuple[FillReport, ...]:
        """Binance's trades do not carry our id: `client_order_id` is "" here."""
        request = {"symbol": await self._market_id(symbol), "orderId": venue_order_id, "limit": 1000}
        rows = await self.orders.fapiPrivateGetUserTrades(request)
        return tuple(self._fill(row, symbol) for row in sorted(rows, key=lambda row: int(row["id"])))

    @paced
    async def trades(self, symbol: str, *, since: datetime) -> tuple[FillReport, ...]:
        """The first rows by time, at most 7 days at a question, and from there on by id."""
        request = {"symbol": await self._market_id(symbol), "limit": _PAGE}
        rows: list[Mapping[str, Any]] = []
        for span in await self._spans(since):
            rows = await self._user_trades(request | span)
            if rows:
                break
        page = rows
        while page:  # until an empty one: the first ended where its 7 days did
            page = await self._user_trades(request | {"fromId": int(page[-1]["id"]) + 1})
            rows = rows + page
        return tuple(self._fill(row, symbol) for row in rows)

    async def _spans(self, since: datetime) -> list[dict[str, int]]:
        """`startTime` and `endTime`, both included: questions that together reach from `since` past now."""
        now = await self._now()
        self.check_kept(since, now=now)
        starts = range(milliseconds(since), milliseconds(now) + 1, _SPAN_MS)
        return [{"startTime": start, "endTime": start + _SPAN_MS - 1} for start in starts]

    async def _user_trades(self, request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        await self.spaced("userTrades", 0.1)  # weight 5 of 2,400 a minute
        rows = await self.data.fapiPrivateGetUserTrades(request)
        return sorted(rows, key=lambda row: int(row["id"]))

    @guarded
    async def arm_dead_man(self, symbol: str, *, timeout_sec: int) -> None:
        self.check_dead_man(timeout_sec)
        request = {"symbol": await self._market_id(symbol), "countdownTime": timeout_sec * 1000}
        await self.orders.fapiPrivatePostCountdownCancelAll(request)

    def _report(self, row: Mapping[str, Any]) -> OrderReport:
        return OrderReport(
            venue=self.name,
            symbol=self._symbol(row["symbol"]),
            client_order_id=row["clientOrderId"],
            venue_order_id=str(row["orderId"]),
            side=Side(row["side"].lower()),
            qty=Decimal(row["origQty"]),
            filled=Decimal(row["executedQty"]),
            average_price=some(row["avgPrice"]),
            status=_STATUS[row["status"]],
            at=at(row["updateTime"]),
        )

    def news(self, message: Mapping[str, Any]) -> Iterator[News]:
        if message.get("e") != "ORDER_TRADE_UPDATE":
            return
        row = message["o"]
        if Decimal(row["l"]):
            yield self._told_fill(row)
        yield OrderReport(
            venue=self.name,
            symbol=self._symbol(row["s"]),
            client_order_id=row["c"],
            venue_order_id=str(row["i"]),
            side=Side(row["S"].lower()),
            qty=Decimal(row["q"]),
            filled=Decimal(row["z"]),
            average_price=some(row["ap"]),
            status=_STATUS[row["X"]],
            at=at(row["T"]),
        )

    def _told_fill(self, row: Mapping[str, Any]) -> FillReport:
        return FillReport(
            venue=self.name,
            symbol=self._symbol(row["s"]),
            trade_id=str(row["t"]),
            venue_order_id=str(row["i"]),
            client_order_id=row["c"],
            side=Side(row["S"].lower()),
            qty=Decimal(row["l"]),
            price=Decimal(row["L"]),
            fee=Decimal(row.get("n", "0")),
            fee_currency=row.get("N", "USDT"),
            maker=bool(row["m"]),
            at=at(row["T"]),
        )

    def _fill(self, row: Mapping[str, Any], symbol: str) -> FillReport:
        return FillReport(
            venue=self.name,
            symbol=symbol,
            trade_id=str(row["id"]),
            venue_order_id=str(row["orderId"]),
            client_order_id="",
            side=Side(row["side"].lower()),
            qty=Decimal(row["qty"]),
            price=Decimal(row["price"]),
            fee=Decimal(row["commission"]),
            fee_currency=row["commissionAsset"],
            maker=bool(row["maker"]),
            at=at(row["time"]),
        )

    def _bill(self, row: Mapping[str, Any]) -> BillReport:
        kind, amount = row["incomeType"], Decimal(row["income"])
        return BillReport(
            venue=self.name,
            bill_id=f"{row['tranId']}-{kind}",  # unique within its type only
            kind=_BILLS.get(kind, BillKind.OTHER),
            symbol=self._symbol(row["symbol"]) if row["symbol"] else "",
            currency=row["asset"],
            amount=amount,
            fee=-amount if kind == "COMMISSION" else ZERO,
            trade_id=str(row["tradeId"] or ""),
            at=at(row["time"]),
        )
