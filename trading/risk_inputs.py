"""What the risk room must know of trading: holdings and flow by level, and what the desk is worth."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.db.models import Sum
from django.utils import timezone

from risk import figures
from risk.exposure import Flow, Holding
from risk.sums import own_levels
from trading import desk_config
from trading.domain.execution_state import FINAL, Purpose
from trading.domain.market import Side
from trading.domain.money import BPS, ZERO
from trading.ledger.reports import midnight
from trading.models import Attempt, Execution, Fill, OrderIntent, Position, VenueBill
from trading.venues import get_hub
from trading.venues.hub import Fact, FactKey
from trading.venues.interface import BillKind

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
READ_AGE_MS = 1_000


def operator_level(username: str) -> str:
    return f"operator:{username}"


def holdings() -> Iterator[Holding]:
    """The desk's positions, and what each operator's unfinished executions hold."""
    for row in Position.objects.exclude(net=0).values_list("venue", "symbol", "net"):
        yield Holding(*row)
    fills = Fill.objects.filter(order__leg__execution__dry_run=False).exclude(
        order__leg__execution__state__in=sorted(FINAL)
    )
    sums: defaultdict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
    by = ("order__leg__execution__requested_by__username", "venue", "symbol", "side")
    for who, venue, symbol, side, qty in fills.values_list(*by).annotate(total=Sum("qty")).order_by():
        sums[who or "", venue, symbol] += Side(side).sign * qty
    for (who, venue, symbol), net in sums.items():
        if net and who:
            yield Holding(venue, symbol, net, operator_level(who))


def flow() -> Flow:
    """Of the last minute, by level."""
    since = timezone.now() - MINUTE
    orders: Counter[str] = Counter()
    cancels: Counter[str] = Counter()
    collars: defaultdict[str, Decimal] = defaultdict(Decimal)
    sent = OrderIntent.objects.filter(sent_at__gte=since, leg__execution__dry_run=False)
    rows = sent.values_list(
        "venue", "symbol", "leg__execution__requested_by__username", "side", "price", "leg__plan_price"
    )
    for venue, symbol, who, side, price, planned in rows:
        beyond = max(Side(side).sign * (price - planned) * BPS / planned, ZERO)
        for level in (*own_levels(venue, symbol), operator_level(who or "")):
            orders[level] += 1
            collars[level] += beyond
    asked = Attempt.objects.filter(kind=Attempt.Kind.CANCEL, at__gte=since)
    names = ("order__venue", "order__symbol", "order__leg__execution__requested_by__username")
    for venue, symbol, who in asked.values_list(*names):
        for level in (*own_levels(venue, symbol), operator_level(who or "")):
            cancels[level] += 1
    return Flow(orders, cancels, collars)


def repeats(symbol: str, long_venue: str) -> int:
    """Executions of this pair in this direction in the last hour."""
    recent = Execution.objects.filter(symbol=symbol, dry_run=False, created_at__gte=timezone.now() - HOUR)
    return recent.filter(legs__index=0, legs__venue=long_venue).count()


def alike(venue: str, symbol: str, side: Side, qty: Decimal, price: Decimal) -> int:
    """Opening orders of the last minute just like this one."""
    same = OrderIntent.objects.filter(venue=venue, symbol=symbol, side=side, qty=qty, price=price)
    return same.filter(purpose=Purpose.OPEN, written_at__gte=timezone.now() - MINUTE).count()


# --- what the desk is worth -----------------------------------------------------------


def keep_figures() -> str:
    """Read every venue's balance and positions now and write down equity and the day's loss. Returns why that
    could not be, or ""."""
    config = desk_config.active().trading
    enabled = [str(name) for name, venue in config.venues.items() if venue.enabled]
    asked = timezone.now()
    keys = [FactKey(kind, venue) for venue in enabled for kind in ("balance", "positions")]
    found = get_hub().facts(keys, max_age_ms=READ_AGE_MS)
    heard = {key: fact.value for key, fact in found.items() if isinstance(fact, Fact)}
    silent = sorted({key.venue for key in keys if key not in heard})
    day, since = _day(ZoneInfo(config.reports.zone), asked)
    if silent:
        error = f"not read: {', '.join(silent)}"
        figures.keep(None, moved_today=ZERO, day=day, at=asked, error=error)
        return error
    equity = ZERO
    for venue in enabled:
        equity += heard[FactKey("balance", venue)].total
        equity += sum((p.unrealised_pnl for p in heard[FactKey("positions", venue)]), ZERO)
    moved = VenueBill.objects.filter(kind=BillKind.TRANSFER, at__gte=since).aggregate(total=Sum("amount"))
    figures.keep(equity, moved_today=moved["total"] or ZERO, day=day, at=asked)
    return ""


def _day(zone: ZoneInfo, now: datetime) -> tuple[date, datetime]:
    day = now.astimezone(zone).date()
    return day, midnight(day, zone)
