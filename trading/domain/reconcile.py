"""Ours against the venue's, one venue at a time: orders, fills, positions, attribution (spec 4.8).

Pure: (what our rows say, what the venue says) → what to heal and what is broken, as data. Only what a venue's
own fill id explains is healed; the rest is a break, and stays one until it is gone or two people accept it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from trading.domain.canonical import decimal_text as text
from trading.domain.money import ZERO


class BreakKind(StrEnum):
    ORDER_ZOMBIE = "order_zombie"  # open at the venue, over in our rows
    ORDER_ORPHAN = "order_orphan"  # our prefix, and no row intends it
    ORDER_FOREIGN = "order_foreign"  # somebody else's: never touched
    FILL_FORCED = "fill_forced"  # the venue's own, and nothing of ours explains it
    FILL_FOREIGN = "fill_foreign"
    POSITION = "position"  # our net is not the venue's
    ATTRIBUTION = "attribution"  # the legs of our executions do not add up to our net
    MONEY = "money"  # ledger against statement and balance


@dataclass(frozen=True, slots=True)
class OurOrder:
    """live: we hold it to be open, or do not know."""

    client_order_id: str
    venue_order_id: str
    live: bool


@dataclass(frozen=True, slots=True)
class Ours:
    """busy: instruments on which an order is in flight, or a fill came while the venue was being asked: what
    was read of them does not belong to one moment, so they are not judged now."""

    prefix: str
    orders: Sequence[OurOrder]
    trade_ids: frozenset[tuple[str, str]]  # (symbol, trade id)
    net: Mapping[str, Decimal]
    legs: Mapping[str, Decimal]
    busy: frozenset[str]


@dataclass(frozen=True, slots=True)
class TheirOrder:
    symbol: str
    client_order_id: str


@dataclass(frozen=True, slots=True)
class TheirTrade:
    symbol: str
    trade_id: str
    venue_order_id: str
    client_order_id: str
    signed_qty: Decimal


@dataclass(frozen=True, slots=True)
class Theirs:
    open_orders: Sequence[TheirOrder]
    trades: Sequence[TheirTrade]
    net: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Break:
    """amount: theirs less ours, base coin (MONEY: currency); 0 where it is no matter of quantity. key: what
    it is about."""

    kind: BreakKind
    symbol: str
    key: str
    amount: Decimal
    detail: str
    data: Mapping[str, str] = field(default_factory=dict)  # what an adjustment needs to know


@dataclass(slots=True)
class Findings:
    """late: trades of orders of ours that our rows lack. unexplained: trades of no order of ours; whoever
    knows whether the venue itself gave the order judges them. cancel: open orders with our prefix that no row
    wants."""

    breaks: list[Break] = field(default_factory=list)
    late: list[tuple[OurOrder, TheirTrade]] = field(default_factory=list)
    unexplained: list[TheirTrade] = field(default_factory=list)
    cancel: list[TheirOrder] = field(default_factory=list)


def reconcile(ours: Ours, theirs: Theirs) -> Findings:
    found = Findings()
    _orders(ours, theirs, found)
    moved = _trades(ours, theirs, found)
    for symbol in sorted(ours.net.keys() | theirs.net.keys() | ours.legs.keys()):
        if symbol not in ours.busy and symbol not in moved:
            _position(symbol, ours, theirs, found)
    return found


def _orders(ours: Ours, theirs: Theirs, found: Findings) -> None:
    rows = {order.client_order_id: order for order in ours.orders}
    for order in theirs.open_orders:
        row = rows.get(order.client_order_id)
        if row is not None and row.live:
            continue
        if row is None and not order.client_order_id.startswith(ours.prefix):
            what = f"order {order.client_order_id or '(no id)'} is not ours"
            found.breaks.append(
                Break(BreakKind.ORDER_FOREIGN, order.symbol, order.client_order_id, ZERO, what)
            )
        elif order.symbol not in ours.busy:
            kind = BreakKind.ORDER_ORPHAN if row is None else BreakKind.ORDER_ZOMBIE
            what = "no row intends it" if row is None else "our row says that it is over"
            found.breaks.append(Break(kind, order.symbol, order.client_order_id, ZERO, what))
            found.cancel.append(order)


def _trades(ours: Ours, theirs: Theirs, found: Findings) -> set[str]:
    """Sorts the trades that our rows lack; returns the instruments whose position they explain for now."""
    by_client = {order.client_order_id: order for order in ours.orders}
    by_venue = {order.venue_order_id: order for order in ours.orders if order.venue_order_id}
    moved: set[str] = set()
    for trade in theirs.trades:
        if (trade.symbol, trade.trade_id) in ours.trade_ids or trade.symbol in ours.busy:
            continue
        row = by_client.get(trade.client_order_id) or by_venue.get(trade.venue_order_id)
        if row is None:
            found.unexplained.append(trade)
        elif not row.live:
            found.late.append((row, trade))
        moved.add(trade.symbol)  # a live order's trades are read by whoever drives it
    return moved


def _position(symbol: str, ours: Ours, theirs: Theirs, found: Findings) -> None:
    net, venue_net = ours.net.get(symbol, ZERO), theirs.net.get(symbol, ZERO)
    if net != venue_net:
        what = f"the venue holds {text(venue_net)}, our books {text(net)}"
        found.breaks.append(Break(BreakKind.POSITION, symbol, symbol, venue_net - net, what))
    legs = ours.legs.get(symbol, ZERO)
    if legs != net:
        what = f"our executions hold {text(legs)}, our books {text(net)}"
        found.breaks.append(Break(BreakKind.ATTRIBUTION, symbol, symbol, net - legs, what))
