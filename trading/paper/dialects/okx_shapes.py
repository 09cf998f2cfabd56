"""OKX's payloads, field by field. Everything is a string; sizes are contracts; a charged fee is negative."""

from decimal import Decimal
from typing import Any

from trading.paper.dialects.base import plain
from trading.paper.engine import Engine
from trading.paper.instruments import Instrument
from trading.paper.market import FUNDING_MS, Levels
from trading.paper.orders import Bill, Ended, Fill, Forced, Order, Side, Status, TimeInForce, shown_id

FIRST_ORDER = 2_000_000_000_000_000_000
FIRST_BILL = 1_000_000_000_000_000_000
ORDER_TYPES = {
    TimeInForce.GTC: "limit",
    TimeInForce.IOC: "ioc",
    TimeInForce.FOK: "fok",
    TimeInForce.POST_ONLY: "post_only",
}
CANCEL_SOURCES = {
    Ended.USER: ("1", "Order canceled by user"),
    Ended.REDUCE_ONLY: ("2", "Reduce-only order canceled: no position to reduce"),
    Ended.FOK: ("13", "FOK order was canceled due to incompletely filled"),
    Ended.IOC: ("14", "IOC order was partially canceled due to incompletely filled"),
    Ended.DEAD_MAN: ("20", "Cancel all after triggered"),
    Ended.POST_ONLY: ("31", "The post-only order will take liquidity in maker orders"),
    Ended.SELF_TRADE: ("32", "Self trade prevention"),
    Ended.LIQUIDATED: ("6", "Canceled: the position is being liquidated"),
}
CATEGORIES = {None: "normal", Forced.LIQUIDATION: "full_liquidation", Forced.ADL: "adl"}
CURRENCY = {
    "ccy": "USDT",
    "name": "Tether",
    "chain": "USDT-ERC20",
    "canDep": False,
    "canWd": False,
    "canInternal": False,
    "minWd": "1",
    "maxWd": "0",
    "wdTickSz": "6",
    "minFee": "1",
    "maxFee": "1",
    "mainNet": True,
}


def contracts(qty: Decimal, i: Instrument) -> str:
    return plain(qty / i.contract_size)


def level(row: tuple[Decimal, Decimal], i: Instrument) -> list[str]:
    """[price, contracts, (deprecated), number of orders]."""
    return [plain(row[0]), contracts(row[1], i), "0", "1"]


def instrument(i: Instrument) -> dict[str, str]:
    family, most = f"{i.base}-USDT", contracts(i.max_qty, i)
    market_most = contracts(i.max_market_qty, i)
    return {
        "alias": "",
        "baseCcy": "",
        "category": "1",
        "ctMult": "1",
        "ctType": "linear",
        "ctVal": plain(i.contract_size),
        "ctValCcy": i.base,
        "expTime": "",
        "instFamily": family,
        "instId": i.id,
        "instType": "SWAP",
        "lever": str(i.max_leverage),
        "listTime": "1573557408000",
        "lotSz": contracts(i.lot, i),
        "maxIcebergSz": most,
        "maxLmtAmt": "20000000",
        "maxLmtSz": most,
        "maxMktAmt": "",
        "maxMktSz": market_most,
        "maxStopSz": market_most,
        "maxTriggerSz": most,
        "maxTwapSz": most,
        "minSz": contracts(i.min_qty, i),
        "optType": "",
        "quoteCcy": "",
        "ruleType": "normal",
        "settleCcy": "USDT",
        "state": "live",
        "stk": "",
        "tickSz": plain(i.tick),
        "uly": family,
    }


def ticker(i: Instrument, bids: Levels, asks: Levels, last: Decimal, now_ms: int) -> dict[str, str]:
    """The generator keeps no history: the day is flat and without volume."""
    bid, ask = (level(side[0], i) if side else ["", ""] for side in (bids, asks))
    price = plain(last)
    return {
        "instType": "SWAP",
        "instId": i.id,
        "last": price,
        "lastSz": "0",
        "askPx": ask[0],
        "askSz": ask[1],
        "bidPx": bid[0],
        "bidSz": bid[1],
        "open24h": price,
        "high24h": price,
        "low24h": price,
        "volCcy24h": "0",
        "vol24h": "0",
        "sodUtc0": price,
        "sodUtc8": price,
        "ts": str(now_ms),
    }


def funding(i: Instrument, rates: list[Decimal], instant: int, now_ms: int) -> dict[str, str]:
    """`rates`: settled last, to be charged next."""
    return {
        "instType": "SWAP",
        "instId": i.id,
        "formulaType": "withRate",
        "method": "current_period",
        "fundingRate": plain(rates[1]),
        "nextFundingRate": "",
        "prevFundingTime": str(instant - FUNDING_MS),
        "fundingTime": str(instant),
        "nextFundingTime": str(instant + FUNDING_MS),
        "minFundingRate": "-0.00375",
        "maxFundingRate": "0.00375",
        "interestRate": "0.0001",
        "impactValue": "20000",
        "premium": "0",
        "settState": "settled",
        "settFundingRate": plain(rates[0]),
        "ts": str(now_ms),
    }


def tier(i: Instrument) -> dict[str, str]:
    """One tier: tiered maintenance comes with liquidation."""
    family = f"{i.base}-USDT"
    return {
        "instFamily": family,
        "uly": family,
        "instId": i.id,
        "tier": "1",
        "minSz": "0",
        "maxSz": "1000000",
        "mmr": plain(i.maintenance_rate),
        "imr": plain(Decimal(1) / i.max_leverage),
        "maxLever": str(i.max_leverage),
        "optMgnFactor": "0",
        "quoteMaxLoan": "",
        "baseMaxLoan": "",
    }


def acknowledged(order: Order, now_ms: int) -> dict[str, str]:
    return {
        "clOrdId": shown_id(order.client_order_id),
        "ordId": str(FIRST_ORDER + order.id),
        "tag": order.tag,
        "ts": str(now_ms),
        "sCode": "0",
        "sMsg": "",
    }


def refusal(row: dict[str, Any], code: str, text: str, now_ms: int) -> dict[str, str]:
    return {
        "clOrdId": str(row.get("clOrdId") or ""),
        "ordId": str(row.get("ordId") or ""),
        "tag": str(row.get("tag") or ""),
        "ts": str(now_ms),
        "sCode": code,
        "sMsg": text,
    }


def state(order: Order) -> str:
    if order.status is not Status.LIVE:
        return str(order.status.value)
    return "partially_filled" if order.filled else "live"


def order(order: Order, i: Instrument, leverage: int) -> dict[str, Any]:
    source, reason = CANCEL_SOURCES[order.ended] if order.ended else ("", "")
    average = plain(order.average_price) if order.filled else ""
    return {
        "instType": "SWAP",
        "instId": i.id,
        "ordId": str(FIRST_ORDER + order.id),
        "clOrdId": shown_id(order.client_order_id),
        "tag": order.tag,
        "px": "" if order.price is None else plain(order.price),
        "sz": contracts(order.qty, i),
        "ordType": "market" if order.price is None else ORDER_TYPES[order.time_in_force],
        "side": order.side.value,
        "posSide": "net",
        "tdMode": "cross",
        "ccy": "",
        "tgtCcy": "",
        "accFillSz": contracts(order.filled, i),
        "avgPx": average,
        "fillPx": average,
        "fillSz": contracts(order.filled, i),
        "fillTime": str(order.updated_ms) if order.filled else "",
        "tradeId": str(order.last_fill or ""),
        "state": state(order),
        "lever": str(leverage),
        "fee": plain(-order.fee),
        "feeCcy": "USDT",
        "rebate": "0",
        "rebateCcy": "USDT",
        "pnl": plain(order.realised),
        "category": CATEGORIES[Forced.of(order.client_order_id)],
        "source": "",
        "reduceOnly": "true" if order.reduce_only else "false",
        "cancelSource": source,
        "cancelSourceReason": reason,
        "stpMode": "cancel_maker",
        "slOrdPx": "",
        "slTriggerPx": "",
        "tpOrdPx": "",
        "tpTriggerPx": "",
        "algoId": "",
        "algoClOrdId": "",
        "cTime": str(order.created_ms),
        "uTime": str(order.updated_ms),
    }


def fill(fill: Fill, i: Instrument) -> dict[str, str]:
    return {
        "instType": "SWAP",
        "instId": i.id,
        "tradeId": str(fill.id),
        "ordId": str(FIRST_ORDER + fill.order_id),
        "clOrdId": shown_id(fill.client_order_id),
        "billId": str(FIRST_BILL + fill.id),
        "subType": "1" if fill.side is Side.BUY else "2",
        "tag": fill.tag,
        "fillPx": plain(fill.price),
        "fillSz": contracts(fill.qty, i),
        "fillPnl": plain(fill.realised),
        "side": fill.side.value,
        "posSide": "net",
        "execType": "M" if fill.maker else "T",
        "feeCcy": "USDT",
        "fee": plain(-fill.fee),
        "feeRate": plain(-(fill.fee / (fill.price * fill.qty)).quantize(Decimal("0.000001"))),
        "ts": str(fill.at_ms),
        "fillTime": str(fill.at_ms),
    }


def bill(bill: Bill, i: Instrument) -> dict[str, str]:
    """type 2 trade (sub 1 buy, 2 sell), 8 funding (173 paid, 174 received)."""
    trade = bill.kind == "trade"
    trade_kind, funding_kind = "1" if bill.qty > 0 else "2", "174" if bill.amount > 0 else "173"
    return {
        "billId": str(FIRST_BILL + bill.id),
        "instType": "SWAP",
        "instId": i.id,
        "ccy": "USDT",
        "mgnMode": "cross",
        "type": "2" if trade else "8",
        "subType": trade_kind if trade else funding_kind,
        "bal": plain(bill.wallet),
        "balChg": plain(bill.amount),
        "sz": contracts(abs(bill.qty), i),
        "px": plain(bill.price),
        "pnl": plain(bill.realised if trade else bill.amount),
        "fee": plain(-bill.fee),
        "posBal": "0",
        "posBalChg": "0",
        "ordId": str(FIRST_ORDER + bill.order_id) if bill.order_id else "",
        "tradeId": str(bill.fill_id or ""),
        "execType": "",
        "from": "",
        "to": "",
        "notes": "",
        "ts": str(bill.at_ms),
    }


def config(*, hedge_mode: bool) -> dict[str, Any]:
    return {
        "acctLv": "2",
        "acctStpMode": "cancel_maker",
        "autoLoan": False,
        "ctIsoMode": "automatic",
        "enableSpotBorrow": False,
        "greeksType": "PA",
        "ip": "127.0.0.1",
        "kycLv": "3",
        "label": "paper",
        "level": "Lv1",
        "levelTmp": "",
        "mainUid": "1",
        "mgnIsoMode": "automatic",
        "perm": "read_only,trade",
        "posMode": "long_short_mode" if hedge_mode else "net_mode",
        "roleType": "0",
        "type": "0",
        "uid": "1",
    }


def balance(engine: Engine, maintenance: Decimal) -> dict[str, Any]:
    equity, now = plain(engine.equity()), str(engine.now_ms)
    used, free, wallet = engine.used_margin(), plain(engine.available()), plain(engine.account.wallet)
    ratio = plain(round(engine.equity() / maintenance, 4)) if maintenance else ""
    of_usdt = {
        "ccy": "USDT",
        "eq": equity,
        "cashBal": wallet,
        "availEq": free,
        "availBal": free,
        "frozenBal": plain(used),
        "ordFrozen": "0",
        "upl": plain(engine.equity() - engine.account.wallet),
        "imr": plain(used),
        "mmr": plain(maintenance),
        "mgnRatio": ratio,
        "eqUsd": equity,
        "disEq": equity,
        "isoEq": "0",
        "liab": "0",
        "uTime": now,
    }
    return {
        "adjEq": "",
        "imr": "",
        "mmr": "",
        "mgnRatio": "",
        "isoEq": "0",
        "notionalUsd": "",
        "ordFroz": "",
        "totalEq": equity,
        "uTime": now,
        "details": [of_usdt],
    }


def position(engine: Engine, i: Instrument, liquidation: Decimal) -> dict[str, str]:
    held, mark = engine.account.position(i.base), engine.mark(i.base)
    initial, maintained = (
        engine.account.margin(i.base, abs(held.net), mark),
        abs(held.net) * mark * i.maintenance_rate,
    )
    unrealised = held.unrealised(mark)
    return {
        "instType": "SWAP",
        "instId": i.id,
        "posId": str(FIRST_BILL + int.from_bytes(i.base.encode(), "big")),
        "posSide": "net",
        "pos": contracts(held.net, i),
        "availPos": contracts(held.net, i),
        "posCcy": "",
        "ccy": "USDT",
        "mgnMode": "cross",
        "lever": str(engine.account.leverage_of(i.base)),
        "avgPx": plain(held.entry),
        "markPx": plain(mark),
        "last": plain(mark),
        "upl": plain(unrealised),
        "uplRatio": plain(round(unrealised / initial, 6)) if initial else "0",
        "notionalUsd": plain(abs(held.net) * mark),
        "imr": plain(initial),
        "mmr": plain(maintained),
        "margin": "",
        "mgnRatio": "",
        "liqPx": plain(liquidation) if liquidation else "",
        "adl": "1",
        "interest": "0",
        "liab": "",
        "liabCcy": "",
        "tradeId": "",
        "cTime": str(held.updated_ms),
        "uTime": str(held.updated_ms),
    }


def leverage(i: Instrument, value: int) -> dict[str, str]:
    return {"instId": i.id, "mgnMode": "cross", "posSide": "net", "lever": str(value), "ccy": ""}


def trade_fee(maker: Decimal, taker: Decimal, now_ms: int) -> dict[str, str]:
    return {
        "instType": "SWAP",
        "category": "1",
        "level": "Lv1",
        "maker": plain(-maker),
        "makerU": plain(-maker),
        "makerUSDC": plain(-maker),
        "taker": plain(-taker),
        "takerU": plain(-taker),
        "takerUSDC": plain(-taker),
        "delivery": "",
        "exercise": "",
        "ts": str(now_ms),
    }
