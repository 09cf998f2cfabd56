"""Bybit's payloads, field by field. Figures are strings, sizes base coin; a charged fee is positive.

An order row without `tpslMode` is a spot order to ccxt (facts §1).
"""

from decimal import Decimal
from typing import Any
from uuid import UUID

from trading.paper.dialects.base import plain
from trading.paper.engine import Engine
from trading.paper.instruments import Instrument
from trading.paper.market import FUNDING_MS, Levels
from trading.paper.orders import Bill, Ended, Fill, Forced, Order, Side, Status, TimeInForce, shown_id

FIRST_ORDER = 0xB1B1_0000_0000_4000_8000_0000_0000_0000
FIRST_FILL = 0xF1F1_0000_0000_4000_8000_0000_0000_0000
FIRST_FUNDING = 0xFEFE_0000_0000_4000_8000_0000_0000_0000
SIDES = {Side.BUY: "Buy", Side.SELL: "Sell"}
TIMES_IN_FORCE = {
    TimeInForce.GTC: "GTC",
    TimeInForce.IOC: "IOC",
    TimeInForce.FOK: "FOK",
    TimeInForce.POST_ONLY: "PostOnly",
}
# cancelType, rejectReason
ENDS = {
    None: ("UNKNOWN", "EC_NoError"),
    Ended.USER: ("CancelByUser", "EC_PerCancelRequest"),
    Ended.IOC: ("UNKNOWN", "EC_NoImmediateQtyToFill"),
    Ended.FOK: ("UNKNOWN", "EC_NoImmediateQtyToFill"),
    Ended.POST_ONLY: ("UNKNOWN", "EC_PostOnlyWillTakeLiquidity"),
    Ended.SELF_TRADE: ("CancelBySmp", "EC_CancelBySmp"),
    Ended.REDUCE_ONLY: ("CancelByReduceOnly", "EC_PerCancelRequest"),
    Ended.LIQUIDATED: ("CancelAllBeforeLiq", "EC_PerCancelRequest"),
}
CREATE_TYPES = {
    None: "CreateByUser",
    Forced.LIQUIDATION: "CreateByLiq",
    Forced.ADL: "CreateByAdl_PassThrough",
}
EXEC_TYPES = {None: "Trade", Forced.LIQUIDATION: "BustTrade", Forced.ADL: "AdlTrade"}


def order_id(number: int) -> str:
    return str(UUID(int=FIRST_ORDER + number))


def order_number(text: str) -> int:
    """The engine's number of an order; what is no id of ours is the number of no order."""
    try:
        return UUID(text).int - FIRST_ORDER
    except ValueError:
        return 0


def level(row: tuple[Decimal, Decimal]) -> list[str]:
    return [plain(row[0]), plain(row[1])]


def instrument(i: Instrument) -> dict[str, Any]:
    return {
        "symbol": i.id,
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": i.base,
        "quoteCoin": "USDT",
        "settleCoin": "USDT",
        "symbolType": "",
        "launchTime": "1584230400000",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(i.price_decimals),
        "leverageFilter": {
            "minLeverage": "1",
            "maxLeverage": f"{i.max_leverage}.00",
            "leverageStep": "0.01",
        },
        "priceFilter": {"minPrice": plain(i.tick), "maxPrice": "1999999.80", "tickSize": str(i.tick)},
        "lotSizeFilter": {
            "maxOrderQty": plain(i.max_qty),
            "minOrderQty": plain(i.min_qty),
            "qtyStep": plain(i.lot),
            "postOnlyMaxOrderQty": plain(i.max_qty),
            "maxMktOrderQty": plain(i.max_market_qty),
            "minNotionalValue": plain(i.min_notional),
        },
        "unifiedMarginTrade": True,
        "fundingInterval": FUNDING_MS // 60_000,
        "copyTrading": "none",
        "upperFundingRate": "0.00375",
        "lowerFundingRate": "-0.00375",
        "isPreListing": False,
        "preListingInfo": None,
        "riskParameters": {"priceLimitRatioX": plain(i.band), "priceLimitRatioY": plain(i.band)},
        "displayName": "",
    }


def ticker(
    i: Instrument, bids: Levels, asks: Levels, *, mark: Decimal, index: Decimal, rate: Decimal, next_at: int
) -> dict[str, str]:
    """The generator keeps no history: the day is flat and without volume. `next_at`: funding, ms."""
    bid, ask = (level(side[0]) if side else ["", ""] for side in (bids, asks))
    price = plain(mark)
    return {
        "symbol": i.id,
        "lastPrice": price,
        "indexPrice": plain(index),
        "markPrice": price,
        "prevPrice24h": price,
        "price24hPcnt": "0",
        "highPrice24h": price,
        "lowPrice24h": price,
        "prevPrice1h": price,
        "openInterest": "0",
        "openInterestValue": "0",
        "turnover24h": "0",
        "volume24h": "0",
        "fundingRate": plain(rate),
        "nextFundingTime": str(next_at),
        "fundingIntervalHour": str(FUNDING_MS // 3_600_000),
        "fundingCap": "0.00375",
        "predictedDeliveryPrice": "",
        "basisRate": "",
        "basis": "",
        "deliveryFeeRate": "",
        "deliveryTime": "0",
        "bid1Price": bid[0],
        "bid1Size": bid[1],
        "ask1Price": ask[0],
        "ask1Size": ask[1],
    }


def acknowledged(order: Order) -> dict[str, str]:
    return {"orderId": order_id(order.id), "orderLinkId": shown_id(order.client_order_id)}


def status(order: Order) -> str:
    """`Cancelled` may have an executed quantity; `PartiallyFilledCanceled` is for spot."""
    if order.status is Status.LIVE:
        return "PartiallyFilled" if order.filled else "New"
    return "Filled" if order.status is Status.FILLED else "Cancelled"


def order(order: Order, i: Instrument) -> dict[str, Any]:
    cancel_type, reason = ENDS[order.ended]
    left = order.left if order.live else Decimal(0)
    price = plain(order.price) if order.price is not None else "0"
    return {
        "orderId": order_id(order.id),
        "orderLinkId": shown_id(order.client_order_id),
        "blockTradeId": "",
        "symbol": i.id,
        "price": price,
        "qty": plain(order.qty),
        "side": SIDES[order.side],
        "isLeverage": "",
        "positionIdx": 0,
        "orderStatus": status(order),
        "createType": CREATE_TYPES[Forced.of(order.client_order_id)],
        "cancelType": cancel_type,
        "rejectReason": reason,
        "avgPrice": plain(order.average_price) if order.filled else "",
        "leavesQty": plain(left),
        "leavesValue": plain(left * (order.price or Decimal(0))),
        "cumExecQty": plain(order.filled),
        "cumExecValue": plain(order.cost),
        "cumExecFee": plain(order.fee),
        "timeInForce": TIMES_IN_FORCE[order.time_in_force],
        "orderType": "Market" if order.price is None else "Limit",
        "stopOrderType": "",
        "orderIv": "",
        "triggerPrice": "",
        "takeProfit": "",
        "stopLoss": "",
        "tpslMode": "",
        "tpLimitPrice": "",
        "slLimitPrice": "",
        "tpTriggerBy": "",
        "slTriggerBy": "",
        "triggerDirection": 0,
        "triggerBy": "",
        "lastPriceOnCreated": "",
        "reduceOnly": order.reduce_only,
        "closeOnTrigger": False,
        "placeType": "",
        "smpType": "None",
        "smpGroup": 0,
        "smpOrderId": "",
        "createdTime": str(order.created_ms),
        "updatedTime": str(order.updated_ms),
    }


def execution(fill: Fill, order: Order | None, i: Instrument) -> dict[str, Any]:
    limit = order is None or order.price is not None
    return {
        **_execution(i, fill.price, fill.qty, fill.fee, fill.at_ms),
        "orderId": order_id(fill.order_id),
        "orderLinkId": shown_id(fill.client_order_id),
        "side": SIDES[fill.side],
        "orderPrice": plain(order.price) if order is not None and order.price is not None else "0",
        "orderQty": plain(order.qty) if order is not None else "0",
        "leavesQty": "0",
        "orderType": "Limit" if limit else "Market",
        "execId": str(UUID(int=FIRST_FILL + fill.id)),
        "execType": EXEC_TYPES[Forced.of(fill.client_order_id)],
        "isMaker": fill.maker,
        "seq": fill.id,
    }


def funding_execution(bill: Bill, i: Instrument) -> dict[str, Any]:
    """A settlement among the executions: `execFee` > 0 is paid, `execQty` the position."""
    return {
        **_execution(i, bill.price, abs(bill.qty), -bill.amount, bill.at_ms),
        "orderId": str(UUID(int=0)),
        "orderLinkId": "",
        "side": SIDES[Side.SELL if bill.qty > 0 else Side.BUY],
        "orderPrice": "0",
        "orderQty": "0",
        "leavesQty": "0",
        "orderType": "UNKNOWN",
        "execId": str(UUID(int=FIRST_FUNDING + bill.id)),
        "execType": "Funding",
        "isMaker": False,
        "seq": bill.id,
    }


def _execution(i: Instrument, price: Decimal, qty: Decimal, fee: Decimal, at_ms: int) -> dict[str, Any]:
    value = price * qty
    return {
        "symbol": i.id,
        "stopOrderType": "UNKNOWN",
        "createType": "CreateByUser",
        "execPrice": plain(price),
        "execQty": plain(qty),
        "execValue": plain(value),
        "execFee": plain(fee),
        "execFeeV2": "",
        "feeRate": plain((fee / value).quantize(Decimal("0.0000001"))) if value else "0",
        "feeCurrency": "",
        "closedSize": "",
        "tradeIv": "",
        "markIv": "",
        "markPrice": plain(price),
        "indexPrice": "",
        "underlyingPrice": "",
        "blockTradeId": "",
        "execTime": str(at_ms),
    }


def transaction(bill: Bill, i: Instrument, client_order_id: str) -> dict[str, Any]:
    """One line of the statement: `change` = cash flow + funding − fee, after which `cashBalance` is left."""
    trade = bill.kind == "trade"
    return {
        "id": f"{bill.id}_{i.id}_{bill.at_ms}",
        "symbol": i.id,
        "category": "linear",
        "side": SIDES[Side.BUY if (bill.qty > 0) is trade else Side.SELL],
        "transactionTime": str(bill.at_ms),
        "type": "TRADE" if trade else "SETTLEMENT",
        "transSubType": "",
        "qty": plain(abs(bill.qty)),
        "size": "0",
        "currency": "USDT",
        "tradePrice": plain(bill.price),
        "funding": "" if trade else plain(bill.amount),
        "fee": plain(bill.fee),
        "cashFlow": plain(bill.realised) if trade else "0",
        "change": plain(bill.amount),
        "cashBalance": plain(bill.wallet),
        "feeRate": "",
        "bonusChange": "",
        "tradeId": str(UUID(int=(FIRST_FILL + bill.fill_id) if trade else (FIRST_FUNDING + bill.id))),
        "orderId": order_id(bill.order_id) if bill.order_id else "",
        "orderLinkId": client_order_id,
        "extraFees": "",
    }


def position(engine: Engine, i: Instrument, liquidation: Decimal) -> dict[str, Any]:
    """Also of a flat instrument: side "", size 0."""
    held, mark = engine.account.position(i.base), engine.mark(i.base)
    size = abs(held.net)
    side = "" if not size else SIDES[Side.BUY if held.net > 0 else Side.SELL]
    initial = engine.account.margin(i.base, size, mark)
    return {
        "positionIdx": 0,
        "riskId": 1,
        "riskLimitValue": "2000000",
        "symbol": i.id,
        "side": side,
        "size": plain(size),
        "avgPrice": plain(held.entry),
        "positionValue": plain(size * held.entry) if size else "",
        "tradeMode": 0,
        "positionStatus": "Normal",
        "autoAddMargin": 0,
        "adlRankIndicator": 1 if size else 0,
        "leverage": str(engine.account.leverage_of(i.base)),
        "positionBalance": plain(initial),
        "markPrice": plain(mark),
        "liqPrice": plain(liquidation) if liquidation else "",
        "bustPrice": "",
        "positionMM": plain(size * mark * i.maintenance_rate),
        "positionIM": plain(initial),
        "tpslMode": "Full",
        "takeProfit": "",
        "stopLoss": "",
        "trailingStop": "0",
        "unrealisedPnl": plain(held.unrealised(mark)) if size else "",
        "curRealisedPnl": "0",
        "cumRealisedPnl": "0",
        "sessionAvgPrice": "",
        "seq": engine.last_fill_id,
        "isReduceOnly": False,
        "mmrSysUpdatedTime": "",
        "leverageSysUpdatedTime": "",
        "createdTime": str(held.updated_ms),
        "updatedTime": str(held.updated_ms),
    }


def wallet(engine: Engine, maintenance: Decimal) -> dict[str, Any]:
    equity, used = plain(engine.equity()), plain(engine.used_margin())
    cash, unrealised = plain(engine.account.wallet), plain(engine.equity() - engine.account.wallet)
    usdt = {
        "coin": "USDT",
        "equity": equity,
        "usdValue": equity,
        "walletBalance": cash,
        "locked": "0",
        "spotHedgingQty": "0",
        "borrowAmount": "0",
        "availableToBorrow": "",
        "availableToWithdraw": "",
        "accruedInterest": "0",
        "totalOrderIM": "0",
        "totalPositionIM": used,
        "totalPositionMM": plain(maintenance),
        "unrealisedPnl": unrealised,
        "cumRealisedPnl": plain(engine.account.realised),
        "bonus": "0",
        "collateralSwitch": True,
        "marginCollateral": True,
    }
    return {
        "accountType": "UNIFIED",
        "accountLTV": "",
        "accountIMRate": "",
        "accountMMRate": "",
        "totalEquity": equity,
        "totalWalletBalance": cash,
        "totalMarginBalance": equity,
        "totalAvailableBalance": plain(engine.available()),
        "totalPerpUPL": unrealised,
        "totalInitialMargin": used,
        "totalMaintenanceMargin": plain(maintenance),
        "coin": [usdt],
    }


def account(now_ms: int) -> dict[str, Any]:
    return {
        "marginMode": "REGULAR_MARGIN",
        "updatedTime": str(now_ms),
        "unifiedMarginStatus": 5,
        "dcpStatus": "OFF",
        "timeWindow": 0,
        "smpGroup": 0,
        "isMasterTrader": False,
        "spotHedgingStatus": "OFF",
    }


def api_key(key: str) -> dict[str, Any]:
    """A key that trades contracts and moves no money."""
    return {
        "id": "1",
        "note": "paper",
        "apiKey": key,
        "readOnly": 0,
        "secret": "",
        "permissions": {
            "ContractTrade": ["Order", "Position"],
            "Spot": [],
            "Wallet": [],
            "Options": [],
            "Derivatives": ["DerivativesTrade"],
            "Exchange": [],
            "Earn": [],
        },
        "ips": ["127.0.0.1"],
        "type": 1,
        "deadlineDay": 90,
        "expiredAt": "2099-01-01T00:00:00Z",
        "createdAt": "2025-01-01T00:00:00Z",
        "unified": 0,
        "uta": 1,
        "userID": 1,
        "inviterID": 0,
        "vipLevel": "No VIP",
        "mktMakerLevel": "0",
        "affiliateID": 0,
        "rsaPublicKey": "",
        "isMaster": True,
        "parentUid": "0",
        "kycLevel": "LEVEL_DEFAULT",
        "kycRegion": "",
    }
