"""Both sides of a comparison: the venue first, our rows after it, so that nothing of ours is missing."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Q, QuerySet
from django.utils import timezone

from trading import desk_config
from trading.domain.execution_state import Purpose
from trading.domain.market import Side
from trading.domain.money import ZERO
from trading.domain.order_state import TERMINAL, OrderState
from trading.domain.reconcile import OurOrder, Ours, TheirOrder, Theirs, TheirTrade
from trading.models import Fill, OrderIntent, Position
from trading.venues import get_hub
from trading.venues.interface import FillReport, Venue

#: A statement of an hour comes in a few pages; more than that is asked for once, at the start.
PATIENCE_SEC = 60.0
LIVE = ~Q(state__in=sorted(TERMINAL)) & Q(sent_at__isnull=False)


@dataclass(frozen=True, slots=True)
class Read:
    theirs: Theirs
    reports: dict[tuple[str, str], FillReport]  # by (symbol, trade id)
    began: datetime
    since: datetime


def venue(name: str, *, since: datetime, wide: bool) -> Read:
    """What the venue says now; `wide`: of orders on other instruments too. Raises VenueError when any part of
    it is not to be had."""
    began = timezone.now()
    hub = get_hub()
    asking = _ask(hub.venue(name), symbols(name), since, wide=wide)
    answer = hub.call(asking, timeout=PATIENCE_SEC)
    return Read(*answer, began, since)


async def _ask(
    asked: Venue, ours: list[str], since: datetime, *, wide: bool
) -> tuple[Theirs, dict[tuple[str, str], FillReport]]:
    """Trades last: one that comes meanwhile is seen, and its instrument is then busy.

    wide: open orders of every instrument, which Binance counts as 40 requests; else of ours, one each.
    """
    listings = [await asked.open_orders()] if wide else [await asked.open_orders(each) for each in ours]
    orders = [order for listing in listings for order in listing]
    positions = await asked.positions()
    reports = {
        (symbol, fill.trade_id): fill
        for symbol in ours + sorted({p.symbol for p in positions} - set(ours))
        for fill in await asked.trades(symbol, since=since)
    }
    net: dict[str, Decimal] = defaultdict(Decimal)
    for each in positions:
        net[each.symbol] += each.net
    theirs = Theirs(
        open_orders=[TheirOrder(o.symbol, o.client_order_id) for o in orders],
        trades=[
            TheirTrade(s, t, f.venue_order_id, f.client_order_id, f.qty * f.side.sign)
            for (s, t), f in reports.items()
        ],
        net=dict(net),
    )
    return theirs, reports


def symbols(name: str) -> list[str]:
    """Instruments on which we trade there, or ever did."""
    config = desk_config.active().trading
    ours = {pair.symbol for pair in config.pairs if name in pair.venues}
    return sorted(ours | set(Position.objects.filter(venue=name).values_list("symbol", flat=True)))


def ours(name: str, read: Read) -> Ours:
    """Our rows now. Busy: in flight, or moved since the venue began to answer."""
    orders = _of_venue(name)
    recent = orders.filter(LIVE | Q(done_at__gte=read.since - timedelta(minutes=5)))
    known = Fill.objects.filter(venue=name, at__gte=read.since - timedelta(minutes=5))
    return Ours(
        prefix=desk_config.active().trading.execution.order_prefix,
        orders=[
            OurOrder(o.client_order_id, o.venue_order_id, o.state not in TERMINAL)
            for o in recent.exclude(purpose=Purpose.FORCED)
        ],
        trade_ids=frozenset(known.values_list("symbol", "trade_id")),
        net=dict(Position.objects.filter(venue=name).values_list("symbol", "net")),
        legs=_legs(orders),
        busy=frozenset(moving(name, since=read.began)),
    )


def moving(name: str, *, since: datetime) -> set[str]:
    """Instruments with an order in flight, or one that was sent or ended or filled since then."""
    flying = LIVE & ~Q(state__in=[OrderState.ACKED, OrderState.PARTIAL])
    touched = Q(done_at__gte=since) | Q(sent_at__gte=since)
    orders = _of_venue(name).filter(flying | touched)
    fills = Fill.objects.filter(venue=name, recorded_at__gte=since)
    return {*orders.values_list("symbol", flat=True), *fills.values_list("symbol", flat=True)}


def _of_venue(name: str) -> "QuerySet[OrderIntent]":
    return OrderIntent.objects.filter(venue=name, leg__execution__dry_run=False)


def _legs(orders: "QuerySet[OrderIntent]") -> dict[str, Decimal]:
    """What the executions' orders have bought and sold in all, by instrument."""
    held: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for symbol, side, filled in orders.filter(filled__gt=0).values_list("symbol", "side", "filled"):
        held[symbol] += Side(side).sign * filled
    return dict(held)
