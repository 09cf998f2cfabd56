"""OKX USDT swaps. The venue counts contracts; everything that leaves this module is base coin.

Orders go to `trade/order`, one per request: ccxt's unified call would send a batch of one, whose
partial-success codes are one more thing to misread. The answer to an order carries ids only, so `place`
reports status None and the caller reads the outcome with `order()`; a post-only that would take and a FOK
that cannot fill are *accepted* and then cancelled (facts §1).
"""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from time import monotonic
from typing import Any

import ccxt.async_support as ccxt

from trading.domain.market import Book, FeeTier, Funding, Instrument, Level, Side, TimeInForce
from trading.domain.money import ZERO
from trading.venues.base import (
    ACCEPT_WINDOW_MS,
    FEE_SEC,
    MODE_SEC,
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
    VenuePosition,
)
from trading.venues.streams import News

_STATUS = {
    "live": OrderStatus.OPEN,
    "partially_filled": OrderStatus.PARTIAL,
    "filled": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELED,
    "mmp_canceled": OrderStatus.CANCELED,
}
_ORDER_TYPES = {TimeInForce.IOC: "ioc", TimeInForce.FOK: "fok", TimeInForce.GTC: "limit"}
_BILLS = {
    "1": BillKind.TRANSFER,
    "2": BillKind.TRADE,
    "5": BillKind.OTHER,  # liquidation
    "8": BillKind.FUNDING,
    "9": BillKind.OTHER,  # auto-deleveraging
}
_PAGE = 100
# The fast endpoints know the last days, the slow ones three months. Seconds between two of their pages.
_FILLS_SINCE, _BILLS_SINCE = timedelta(days=3), timedelta(days=7)
_PACE_SEC = {"fills": 0.04, "fills-history": 0.25, "bills": 0.25, "bills-archive": 0.5}
_EDGE = timedelta(hours=1)  # what is about to leave the fast endpoint is asked of the slow one
_EXPIRING = {"trade/order", "trade/batch-orders"}
#: Categories of OKX's own orders.
FORCED = {"full_liquidation", "partial_liquidation", "adl", "delivery"}


class Client(Wire, ccxt.okx):  # type: ignore[misc]
    def sign(self, path: str, api: Any = "public", method: str = "GET", params: Any = None) -> Any:
        """OKX accepts a request for 30 s by its timestamp alone; `expTime` (ms) narrows that (spec 5)."""
        request = super().sign(path, api, method, {} if params is None else params)
        if method == "POST" and path in _EXPIRING:
            request["headers"]["expTime"] = str(self.milliseconds() + ACCEPT_WINDOW_MS)
        return request


class Okx(CcxtVenue):
    name = "okx"
    order_path = "/api/v5/trade/order"
    fenced = True  # expTime, in every signed request
    dead_man = DeadMan(DeadManScope.ACCOUNT, min_sec=10, max_sec=120)

    def _client(self, credentials: dict[str, Any], kind: type | None) -> Any:
        return (kind or Client)(
            {**credentials, "options": {"defaultType": "swap", "fetchMarkets": {"types": ["swap"]}}}
        )

    def _use_testnet(self, client: Any) -> None:
        client.set_sandbox_mode(True)

    def _instrument(self, market: Mapping[str, Any]) -> Instrument:
        info = market["info"]
        size = Decimal(info["ctVal"]) * Decimal(info.get("ctMult") or "1")
        return Instrument(
            venue=self.name,
            symbol=market["symbol"],
            base=market["base"],
            quote=market["quote"],
            settle=market["settle"],
            contract_size=size,
            tick=Decimal(info["tickSz"]),
            lot=Decimal(info["lotSz"]) * size,
            min_qty=Decimal(info["minSz"]) * size,
            max_qty=Decimal(info["maxLmtSz"]) * size,
            min_notional=ZERO,
        )

    def _named(self, inst_id: str) -> tuple[str, Decimal]:
        """Unified symbol and contract size; for what is no USDT swap the venue's own name and 1."""
        known = self._by_id.get(inst_id)
        return (known.symbol, known.contract_size) if known else (inst_id, Decimal(1))

    def _contracts(self, order: NewOrder) -> str:
        """Exactly as many contracts as `qty` is, never rounded: off the grid the venue refuses (51121)."""
        size = self._instruments[order.symbol].contract_size
        contracts = order.qty / size
        if contracts * size != order.qty:
            raise not_sent(self.name, f"{order.qty} is no decimal number of contracts of {size}")
        return plain(contracts)

    # -- market data --

    @paced
    async def clock(self) -> ClockSample:
        before, start = utcnow(), monotonic()
        venue_time = await self._now()
        return self._sample(venue_time, before, monotonic() - start)

    async def _now(self) -> datetime:
        return at((await self.data.publicGetPublicTime())["data"][0]["ts"])

    @paced
    async def book(self, symbol: str, *, depth: int = 20) -> Book:
        market_id = await self._market_id(symbol)
        answer = await self.data.publicGetMarketBooks({"instId": market_id, "sz": min(depth, 400)})
        received, row = utcnow(), answer["data"][0]
        size = self._instruments[symbol].contract_size
        bids, asks = (
            tuple(Level(Decimal(level[0]), Decimal(level[1]) * size) for level in row[side][:depth])
            for side in ("bids", "asks")
        )
        return Book(self.name, symbol, bids, asks, received_at=received, venue_at=at(row["ts"]))

    @paced
    async def funding(self, symbol: str) -> Funding:
        """`fundingTime` is the next settlement, `nextFundingTime` the one after: apart by the interval."""
        market_id = await self._market_id(symbol)
        rates, marks = await asyncio.gather(
            self.data.publicGetPublicFundingRate({"instId": market_id}),
            self.data.publicGetPublicMarkPrice({"instType": "SWAP", "instId": market_id}),
        )
        row = rates["data"][0]
        return Funding(
            venue=self.name,
            symbol=symbol,
            rate=Decimal(row["fundingRate"]),
            next_at=at(row["fundingTime"]),
            interval_hours=(int(row["nextFundingTime"]) - int(row["fundingTime"])) // 3_600_000,
            mark_price=Decimal(marks["data"][0]["markPx"]),
        )

    # -- account --

    @paced
    async def balance(self) -> Balance:
        answer = await self.data.privateGetAccountBalance({"ccy": "USDT"})
        row: Mapping[str, Any] = next((r for r in answer["data"][0]["details"] if r["ccy"] == "USDT"), {})
        total, free = row.get("cashBal") or "0", row.get("availEq") or row.get("availBal") or "0"
        return Balance(self.name, "USDT", total=Decimal(total), free=Decimal(free))

    @paced
    async def account(self, symbol: str) -> AccountSetup:
        """The margin mode is in each order here, ours say cross. OKX writes a fee as a negative rate."""
        market_id = await self._market_id(symbol)
        family = market_id.removesuffix("-SWAP")
        config, leverage, fees = await asyncio.gather(
            self._kept("config", MODE_SEC, self.data.privateGetAccountConfig),
            self.data.privateGetAccountLeverageInfo({"instId": market_id, "mgnMode": "cross"}),
            self._kept(f"fees {family}", FEE_SEC, lambda: self._fees(family)),
        )
        setup, tier = config["data"][0], fees["data"][0]
        permissions = setup["perm"].split(",")
        return AccountSetup(
            venue=self.name,
            symbol=symbol,
            position_mode="one_way" if setup["posMode"] == "net_mode" else "hedge",
            margin_mode="cross",
            leverage=int(Decimal(leverage["data"][0]["lever"])) if leverage["data"] else None,
            can_trade="trade" in permissions,
            can_withdraw="withdraw" in permissions,
            fees=FeeTier(maker=-Decimal(tier["makerU"]), taker=-Decimal(tier["takerU"])),
        )

    async def _fees(self, family: str) -> Any:
        return await self.data.privateGetAccountTradeFee({"instType": "SWAP", "instFamily": family})

    @guarded
    async def positions(self) -> tuple[VenuePosition, ...]:
        await self.load()
        answer = await self.orders.privateGetAccountPositions({"instType": "SWAP"})
        return tuple(self._position(row) for row in answer["data"] if Decimal(row["pos"] or "0") != ZERO)

    def _position(self, row: Mapping[str, Any]) -> VenuePosition:
        symbol, size = self._named(row["instId"])
        sign = -1 if row["posSide"] == "short" else 1  # in net mode `pos` is signed, in hedge mode it is not
        return VenuePosition(
            venue=self.name,
            symbol=symbol,
            net=sign * Decimal(row["pos"]) * size,
            entry_price=Decimal(row["avgPx"]),
            mark_price=Decimal(row["markPx"]),
            unrealised_pnl=Decimal(row["upl"]),
            liquidation_price=some(row["liqPx"]),
        )

    @guarded
    async def set_leverage(self, symbol: str, leverage: int) -> None:
        request = {"instId": await self._market_id(symbol), "lever": str(leverage), "mgnMode": "cross"}
        await self.data.privatePostAccountSetLeverage(request)

    @guarded
    async def set_position_mode(self, *, one_way: bool) -> None:
        self._answers.pop("config", None)
        mode = "net_mode" if one_way else "long_short_mode"
        await self.data.privatePostAccountSetPositionMode({"posMode": mode})

    @paced
    async def bills(self, *, since: datetime) -> tuple[BillReport, ...]:
        await self.load()
        if await self._recent(since, _BILLS_SINCE):
            name, endpoint = "bills", self.data.privateGetAccountBills
        else:
            name, endpoint = "bills-archive", self.data.privateGetAccountBillsArchive
        request = {"begin": str(milliseconds(since))}
        rows = await self._pages(endpoint, request, cursor="billId", pace=name)
        return tuple(
            self._bill(row) for row in sorted(rows, key=lambda row: (int(row["ts"]), int(row["billId"])))
        )

    # -- orders --

    @guarded
    async def _place(self, order: NewOrder, market_id: str) -> OrderReport:
        request: dict[str, Any] = {
            "instId": market_id,
            "tdMode": "cross",
            "side": order.side.value,
            "ordType": "post_only" if order.post_only else _ORDER_TYPES[order.time_in_force],
            "sz": self._contracts(order),
            "px": plain(order.price),
            "clOrdId": order.client_order_id,
        }
        if order.reduce_only:
            request["reduceOnly"] = True
        answer = await self.orders.privatePostTradeOrder(request)
        return OrderReport(
            venue=self.name,
            symbol=order.symbol,
            client_order_id=order.client_order_id,
            venue_order_id=answer["data"][0]["ordId"],
            side=order.side,
            qty=order.qty,
            filled=None,
            average_price=None,
            status=None,
        )

    @guarded
    async def order(self, symbol: str, client_order_id: str) -> OrderReport:
        request = {"instId": await self._market_id(symbol), "clOrdId": client_order_id}
        answer = await self.orders.privateGetTradeOrder(request)
        return self._report(answer["data"][0])

    @paced
    async def owner(self, symbol: str, *, venue_order_id: str) -> OrderOwner:
        request = {"instId": await self._market_id(symbol), "ordId": venue_order_id}
        answer = await self.data.privateGetTradeOrder(request)
        row = answer["data"][0]
        return OrderOwner(row["clOrdId"], forced=row["category"] in FORCED)

    @guarded
    async def open_orders(self, symbol: str | None = None) -> tuple[OrderReport, ...]:
        await self.load()
        request = {"instType": "SWAP"} | ({"instId": await self._market_id(symbol)} if symbol else {})
        rows = await self._pages(self.orders.privateGetTradeOrdersPending, request, cursor="ordId")
        return tuple(self._report(row) for row in rows)

    @guarded
    async def cancel(self, symbol: str, client_order_id: str) -> None:
        request = {"instId": await self._market_id(symbol), "clOrdId": client_order_id}
        await self.orders.privatePostTradeCancelOrder(request)

    @guarded
    async def fills(self, symbol: str, *, venue_order_id: str) -> tuple[FillReport, ...]:
        request = {"instType": "SWAP", "instId": await self._market_id(symbol), "ordId": venue_order_id}
        # The first is fast and knows three days, the second three months at a sixth of the rate.
        rows = await self._pages(self.orders.privateGetTradeFills, request, cursor="billId")
        rows = rows or await self._pages(self.orders.privateGetTradeFillsHistory, request, cursor="billId")
        return self._fills(rows)

    def _fills(self, rows: list[Mapping[str, Any]]) -> tuple[FillReport, ...]:
        ordered = sorted(rows, key=lambda row: (int(row["ts"]), int(row["tradeId"])))
        return tuple(self._fill(row) for row in ordered)

    @paced
    async def trades(self, symbol: str, *, since: datetime) -> tuple[FillReport, ...]:
        request = {
            "instType": "SWAP",
            "instId": await self._market_id(symbol),
            "begin": str(milliseconds(since)),
        }
        if await self._recent(since, _FILLS_SINCE):
            name, endpoint = "fills", self.data.privateGetTradeFills
        else:
            name, endpoint = "fills-history", self.data.privateGetTradeFillsHistory
        return self._fills(await self._pages(endpoint, request, cursor="billId", pace=name))

    @guarded
    async def arm_dead_man(self, symbol: str, *, timeout_sec: int) -> None:
        self.check_dead_man(timeout_sec)
        if symbol:
            raise not_sent(self.name, f"the dead-man timer is the account's: symbol must be '', not {symbol}")
        await self.orders.privatePostTradeCancelAllAfter({"timeOut": str(timeout_sec)})

    async def _recent(self, since: datetime, kept: timedelta) -> bool:
        now = await self._now()
        self.check_kept(since, now=now)
        return since > now - kept + _EDGE

    async def _pages(
        self, endpoint: Any, request: dict[str, str], *, cursor: str, pace: str = ""
    ) -> list[Mapping[str, Any]]:
        """All rows, newest first, `_PAGE` at a time; `pace` is one of `_PACE_SEC`."""
        rows: list[Mapping[str, Any]] = []
        after: dict[str, str] = {}
        while True:
            if pace:
                await self.spaced(pace, _PACE_SEC[pace])
            page = (await endpoint({**request, "limit": str(_PAGE), **after}))["data"]
            rows += page
            if len(page) < _PAGE:
                return rows
            after = {"after": page[-1][cursor]}

    def _report(self, row: Mapping[str, Any]) -> OrderReport:
        symbol, size = self._named(row["instId"])
        return OrderReport(
            venue=self.name,
            symbol=symbol,
            client_order_id=row["clOrdId"],
            venue_order_id=row["ordId"],
            side=Side(row["side"]),
            qty=Decimal(row["sz"]) * size,
            filled=Decimal(row["accFillSz"] or "0") * size,
            average_price=some(row["avgPx"]),
            status=_STATUS[row["state"]],
            at=at(row["uTime"]),
        )

    def news(self, message: Mapping[str, Any]) -> Iterator[News]:
        """A fill comes inside the row of its order, with a fee signed like everything here."""
        if message.get("arg", {}).get("channel") != "orders":
            return
        for row in message.get("data", ()):
            if row["tradeId"]:
                told = {"fee": row["fillFee"], "feeCcy": row["fillFeeCcy"], "ts": row["fillTime"]}
                yield self._fill({**row, **told})
            yield self._report(row)

    def _fill(self, row: Mapping[str, Any]) -> FillReport:
        symbol, size = self._named(row["instId"])
        return FillReport(
            venue=self.name,
            symbol=symbol,
            trade_id=row["tradeId"],
            venue_order_id=row["ordId"],
            client_order_id=row["clOrdId"],
            side=Side(row["side"]),
            qty=Decimal(row["fillSz"]) * size,
            price=Decimal(row["fillPx"]),
            fee=-Decimal(row["fee"]),  # OKX: negative is charged
            fee_currency=row["feeCcy"],
            maker=row["execType"] == "M",
            at=at(row["ts"]),
        )

    def _bill(self, row: Mapping[str, Any]) -> BillReport:
        return BillReport(
            venue=self.name,
            bill_id=row["billId"],
            kind=_BILLS.get(row["type"], BillKind.OTHER),
            symbol=self._named(row["instId"])[0],
            currency=row["ccy"],
            amount=Decimal(row["balChg"]),
            fee=-Decimal(row["fee"] or "0"),
            trade_id=row["tradeId"],
            at=at(row["ts"]),
        )
