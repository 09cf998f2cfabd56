"""Binance's payloads, field by field."""

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from trading.paper.dialects.base import Rejection, plain
from trading.paper.engine import Engine
from trading.paper.instruments import Instrument
from trading.paper.orders import ZERO, Bill, Ended, Fill, Order, Status, TimeInForce

FIRST_ID = 8_000_000_000  # order ids are far from zero there
MAX_NOTIONAL = "100000000"
ENDED = {
    Ended.IOC: "EXPIRED",
    Ended.FOK: "EXPIRED",
    Ended.POST_ONLY: "EXPIRED",
    Ended.REDUCE_ONLY: "EXPIRED",
    Ended.SELF_TRADE: "EXPIRED_IN_MATCH",
    Ended.LIQUIDATED: "EXPIRED",
}
CURRENCIES = [
    {
        "coin": "USDT",
        "name": "TetherUS",
        "trading": True,
        "isLegalMoney": False,
        "depositAllEnable": False,
        "withdrawAllEnable": False,
        "free": "0",
        "locked": "0",
        "freeze": "0",
        "withdrawing": "0",
        "ipoing": "0",
        "ipoable": "0",
        "storage": "0",
        "networkList": [],
    }
]


def fixed(value: Decimal, decimals: int) -> str:
    return f"{value:.{decimals}f}"


def level(row: tuple[Decimal, Decimal], instrument: Instrument) -> list[str]:
    return [fixed(row[0], instrument.price_decimals), fixed(row[1], instrument.qty_decimals)]


def exchange_info(instruments: Iterable[Instrument], now_ms: int) -> dict[str, Any]:
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": [
            {
                "rateLimitType": "REQUEST_WEIGHT",
                "interval": "MINUTE",
                "intervalNum": 1,
                "limit": 2400,
            },
            {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
            {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
        ],
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
        "symbols": [_symbol(instrument) for instrument in instruments],
    }


def _symbol(i: Instrument) -> dict[str, Any]:
    return {
        "symbol": i.id,
        "pair": i.id,
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": i.base,
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "pricePrecision": i.price_decimals,
        "quantityPrecision": i.qty_decimals,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "settlePlan": 0,
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": fixed(i.band, 2),
        "maxMoveOrderLimit": 10000,
        "filters": _filters(i),
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }


def _filters(i: Instrument) -> list[dict[str, Any]]:
    step, minimum = plain(i.lot), plain(i.min_qty)
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": plain(i.tick),
            "maxPrice": "4529764",
            "tickSize": fixed(i.tick, i.price_decimals),
        },
        {"filterType": "LOT_SIZE", "minQty": minimum, "maxQty": plain(i.max_qty), "stepSize": step},
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": minimum,
            "maxQty": plain(i.max_market_qty),
            "stepSize": step,
        },
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 10},
        {"filterType": "MIN_NOTIONAL", "notional": plain(i.min_notional)},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": fixed(1 + i.band, 4),
            "multiplierDown": fixed(1 - i.band, 4),
            "multiplierDecimal": "4",
        },
    ]


def day_ticker(instrument: Instrument, last: str, now_ms: int) -> dict[str, Any]:
    """The generator keeps no history: the day is flat and without volume."""
    return {
        "symbol": instrument.id,
        "priceChange": "0",
        "priceChangePercent": "0",
        "weightedAvgPrice": last,
        "lastPrice": last,
        "lastQty": "0",
        "openPrice": last,
        "highPrice": last,
        "lowPrice": last,
        "volume": "0",
        "quoteVolume": "0",
        "openTime": now_ms - 86_400_000,
        "closeTime": now_ms,
        "firstId": 0,
        "lastId": 0,
        "count": 0,
    }


def status(order: Order) -> str:
    if order.status is Status.FILLED:
        return "FILLED"
    if order.ended is not None:
        return ENDED.get(order.ended, "CANCELED")
    return "PARTIALLY_FILLED" if order.filled else "NEW"


def order(order: Order, i: Instrument, *, acknowledged: bool = False) -> dict[str, Any]:
    """`acknowledged`: newOrderRespType=ACK, which says nothing of what has been filled."""
    filled, cost = (ZERO, ZERO) if acknowledged else (order.filled, order.cost)
    kind = "MARKET" if order.price is None else "LIMIT"
    post_only = order.time_in_force is TimeInForce.POST_ONLY
    return {
        "orderId": FIRST_ID + order.id,
        "symbol": i.id,
        "status": "NEW" if acknowledged else status(order),
        "clientOrderId": order.client_order_id,
        "price": fixed(order.price or ZERO, i.price_decimals),
        "avgPrice": fixed(cost / filled if filled else ZERO, i.price_decimals + 3),
        "origQty": fixed(order.qty, i.qty_decimals),
        "executedQty": fixed(filled, i.qty_decimals),
        "cumQty": fixed(filled, i.qty_decimals),
        "cumQuote": fixed(cost, 7),
        "timeInForce": "GTX" if post_only else "GTC" if kind == "MARKET" else order.time_in_force.value,
        "type": kind,
        "reduceOnly": order.reduce_only,
        "closePosition": False,
        "side": order.side.value.upper(),
        "positionSide": "BOTH",
        "stopPrice": "0.00",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": kind,
        "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "goodTillDate": 0,
        "time": order.created_ms,
        "updateTime": order.updated_ms,
    }


def batch(text: str | None, most: int) -> list[dict[str, str]]:
    """Raises Rejection when `text` is no JSON list of 1 to `most` objects."""
    try:
        rows = json.loads(text or "")
    except ValueError:
        rows = None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise Rejection(400, "-1130", "Data sent for parameter 'batchOrders' is not valid.")
    if len(rows) > most:
        raise Rejection(400, "-4082", "Invalid number of batch place orders")
    return [{name: str(value) for name, value in row.items()} for row in rows]


def trade(fill: Fill, i: Instrument) -> dict[str, Any]:
    return {
        "symbol": i.id,
        "id": fill.id,
        "orderId": FIRST_ID + fill.order_id,
        "side": fill.side.value.upper(),
        "price": fixed(fill.price, i.price_decimals),
        "qty": fixed(fill.qty, i.qty_decimals),
        "realizedPnl": plain(fill.realised),
        "quoteQty": plain(fill.qty * fill.price),
        "commission": plain(fill.fee),
        "commissionAsset": "USDT",
        "time": fill.at_ms,
        "positionSide": "BOTH",
        "buyer": fill.side.value == "buy",
        "maker": fill.maker,
    }


def position(engine: Engine, i: Instrument, liquidation: Decimal) -> dict[str, Any]:
    held, mark = engine.account.position(i.base), engine.mark(i.base)
    initial = engine.account.margin(i.base, abs(held.net), mark)
    return {
        "symbol": i.id,
        "positionSide": "BOTH",
        "positionAmt": fixed(held.net, i.qty_decimals),
        "entryPrice": fixed(held.entry, 8),
        "breakEvenPrice": fixed(held.entry, 8),
        "markPrice": fixed(mark, 8),
        "unRealizedProfit": fixed(held.unrealised(mark), 8),
        "liquidationPrice": plain(liquidation),
        "isolatedMargin": "0",
        "notional": fixed(held.net * mark, 8),
        "marginAsset": "USDT",
        "isolatedWallet": "0",
        "initialMargin": fixed(initial, 8),
        "maintMargin": fixed(abs(held.net) * mark * i.maintenance_rate, 8),
        "positionInitialMargin": fixed(initial, 8),
        "openOrderInitialMargin": "0",
        "adl": 1 if held.net else 0,
        "bidNotional": "0",
        "askNotional": "0",
        "leverage": str(engine.account.leverage_of(i.base)),
        "marginType": "cross",
        "updateTime": held.updated_ms,
    }


def account(engine: Engine, maintenance: Decimal, positions: list[dict[str, Any]]) -> dict[str, Any]:
    wallet, equity = fixed(engine.account.wallet, 8), fixed(engine.equity(), 8)
    unrealised, used = fixed(engine.equity() - engine.account.wallet, 8), fixed(engine.used_margin(), 8)
    free, maintained = fixed(engine.available(), 8), fixed(maintenance, 8)
    of_asset = {
        "asset": "USDT",
        "walletBalance": wallet,
        "unrealizedProfit": unrealised,
        "marginBalance": equity,
        "maintMargin": maintained,
        "initialMargin": used,
        "positionInitialMargin": used,
        "openOrderInitialMargin": "0.00000000",
        "crossWalletBalance": wallet,
        "crossUnPnl": unrealised,
        "availableBalance": free,
        "maxWithdrawAmount": free,
        "updateTime": engine.now_ms,
    }
    return {
        "totalInitialMargin": used,
        "totalMaintMargin": maintained,
        "totalWalletBalance": wallet,
        "totalUnrealizedProfit": unrealised,
        "totalMarginBalance": equity,
        "totalPositionInitialMargin": used,
        "totalOpenOrderInitialMargin": "0.00000000",
        "totalCrossWalletBalance": wallet,
        "totalCrossUnPnl": unrealised,
        "availableBalance": free,
        "maxWithdrawAmount": free,
        "assets": [of_asset],
        "positions": positions,
    }


def balance(engine: Engine) -> dict[str, Any]:
    free = fixed(engine.available(), 8)
    return {
        "accountAlias": "paper",
        "asset": "USDT",
        "balance": fixed(engine.account.wallet, 8),
        "crossWalletBalance": fixed(engine.account.wallet, 8),
        "crossUnPnl": fixed(engine.equity() - engine.account.wallet, 8),
        "availableBalance": free,
        "maxWithdrawAmount": free,
        "marginAvailable": True,
        "updateTime": engine.now_ms,
    }


def bracket(i: Instrument) -> dict[str, Any]:
    """One bracket: tiered maintenance comes with liquidation."""
    only = {
        "bracket": 1,
        "initialLeverage": i.max_leverage,
        "notionalCap": int(MAX_NOTIONAL),
        "notionalFloor": 0,
        "maintMarginRatio": float(i.maintenance_rate),
        "cum": 0.0,
    }
    return {"symbol": i.id, "notionalCoef": 1.0, "brackets": [only]}


def income(bill: Bill, i: Instrument) -> list[dict[str, Any]]:
    """A trade makes a commission row and, where it closed something, a profit row of the same number."""
    if bill.kind == "funding":
        amounts = [("FUNDING_FEE", bill.amount)]
    else:
        amounts = [("COMMISSION", -bill.fee), ("REALIZED_PNL", bill.realised)]
    return [
        {
            "symbol": i.id,
            "incomeType": kind,
            "income": fixed(amount, 8),
            "asset": "USDT",
            "info": str(bill.fill_id or kind),
            "time": bill.at_ms,
            "tranId": FIRST_ID + bill.id,  # unique within its type only
            "tradeId": str(bill.fill_id or ""),
        }
        for kind, amount in amounts
        if amount or kind != "REALIZED_PNL"
    ]
