"""Comparing each venue with our books, healing what a venue's own fill explains, ageing the rest (spec 4.8).

A venue that cannot be read is unknown, never "no break". One process compares a venue at a time; another that
comes to it finds the claim, and the claim of one that died runs out.
"""

import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import structlog
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from ops import desk
from ops.incidents.service import alarm
from trading import desk_config
from trading.config import ReconciliationConfig
from trading.domain import reconcile as core
from trading.domain.canonical import decimal_text as text
from trading.domain.reconcile import Break, BreakKind, Findings, TheirTrade
from trading.execution import involuntary
from trading.execution.fills import record_fill
from trading.execution.nudge import nudge
from trading.ledger import statement
from trading.models import Execution, OrderIntent, ReconciliationBreak, ReconciliationState
from trading.reconciliation import reading
from trading.venues import get_hub
from trading.venues.interface import FillReport, VenueError

log = structlog.get_logger()
CLAIM = timedelta(seconds=90)


def run(venues: Iterable[str] | None = None) -> dict[str, str]:
    """Compare these venues (None: all) now. Returns what went wrong by venue; empty: all were read."""
    wanted = desk_config.active().trading.venues if venues is None else venues
    return {name: error for name in wanted if (error := compare(str(name)))}


def due(now: datetime) -> list[str]:
    """Venues whose last try is older than the configured interval."""
    config = desk_config.active().trading
    after = timedelta(seconds=config.reconciliation.interval_sec)
    tried = dict(ReconciliationState.objects.values_list("venue", "tried_at"))
    enabled = [str(name) for name, venue in config.venues.items() if venue.enabled]
    return [name for name in enabled if (at := tried.get(name)) is None or now - at >= after]


def run_due() -> None:
    """One look of a loop: whatever goes wrong is logged, and the next look tries again."""
    try:
        for venue in due(timezone.now()):
            compare(venue)
    except Exception as error:  # one look must not end the loop
        log.exception("reconcile.lost", error=str(error))
    finally:
        connection.close()


def compare(venue: str) -> str:
    """One venue. Returns why it could not be compared, or ""."""
    if not _claim(venue):
        return ""
    began = time.monotonic()
    try:
        error = _compare(venue)
    except VenueError as silent:
        error = f"{silent.code}: {silent.detail}"[:300]
    now, took = timezone.now(), round((time.monotonic() - began) * 1000)
    done = {} if error else {"done_at": now}
    rows = ReconciliationState.objects.filter(venue=venue)
    rows.update(claimed_until=now, tried_at=now, error=error, took_ms=took, **done)
    return error


def _claim(venue: str) -> bool:
    now = timezone.now()
    row = ReconciliationState(venue=venue, claimed_until=now)
    ReconciliationState.objects.bulk_create([row], ignore_conflicts=True)
    mine = ReconciliationState.objects.filter(venue=venue, claimed_until__lte=now)
    return bool(mine.update(claimed_until=now + CLAIM))


def _compare(venue: str) -> str:
    config = desk_config.active().trading.reconciliation
    state = ReconciliationState.objects.get(venue=venue)
    lookback = timedelta(minutes=config.lookback_minutes)
    # Orders where we trade nothing are looked for with the money, and while one is there.
    elsewhere = waiting().filter(venue=venue).exclude(symbol__in=["", *reading.symbols(venue)]).exists()
    wide = elsewhere or _money_is_due(state, config)
    read = reading.venue(venue, since=(state.done_at or timezone.now()) - lookback, wide=wide)
    found = core.reconcile(reading.ours(venue, read), read.theirs)
    _heal(venue, found, read.reports)
    _cancel(venue, found)
    _keep(venue, found.breaks, set(BreakKind) - {BreakKind.MONEY})
    if _money_is_due(state, config):
        _compare_money(venue)
    age(venue, config)
    return ""


def _money_is_due(state: ReconciliationState, config: ReconciliationConfig) -> bool:
    """Less often than the rest, but with each look while something differs: what was only a moment must not
    grow old."""
    after = timedelta(seconds=config.money_interval_sec)
    differs = waiting().filter(venue=state.venue, kind=BreakKind.MONEY).exists()
    return differs or state.money_at is None or timezone.now() - state.money_at >= after


def _compare_money(venue: str) -> None:
    """Nothing is said while orders are in flight or fills come in: statement, balance and books then belong
    to different moments. The next look tries again."""
    began = timezone.now()
    if reading.moving(venue, since=began):
        return
    found = _money(venue)
    if reading.moving(venue, since=began):
        return
    _keep(venue, found, {BreakKind.MONEY})
    ReconciliationState.objects.filter(venue=venue).update(money_at=timezone.now())


def _heal(venue: str, found: Findings, reports: dict[tuple[str, str], FillReport]) -> None:
    """Only what a fill id of the venue explains."""
    for order, trade in found.late:
        _late_fill(order.client_order_id, reports[trade.symbol, trade.trade_id])
    for trade in found.unexplained:
        unexplained = _attribute(venue, trade, reports[trade.symbol, trade.trade_id])
        if unexplained is not None:
            found.breaks.append(unexplained)


def _attribute(venue: str, trade: TheirTrade, report: FillReport) -> Break | None:
    """The venue says whose order it was: ours all the same (Binance's trades carry no client id), its own, or
    somebody else's."""
    hub = get_hub()
    owner = hub.call(hub.venue(venue).owner(trade.symbol, venue_order_id=trade.venue_order_id))
    if OrderIntent.objects.filter(client_order_id=owner.client_order_id, venue=venue).exists():
        _late_fill(owner.client_order_id, report)
        return None
    left = involuntary.record(report) if owner.forced else report.qty
    if not left:
        return None
    kind = BreakKind.FILL_FORCED if owner.forced else BreakKind.FILL_FOREIGN
    what = f"{report.side} {text(left)} at {text(report.price)} is of no execution of ours"
    return Break(kind, trade.symbol, trade.trade_id, left * report.side.sign, what)


def _late_fill(client_order_id: str, report: FillReport) -> None:
    """A trade of an order that our rows call over: booked, and its execution looks again."""
    with transaction.atomic(durable=True):
        order = OrderIntent.objects.select_related("leg").select_for_update(of=("self",))
        row = order.get(client_order_id=client_order_id)
        if row.filled + report.qty > row.qty:
            log.error("reconcile.too_much", order=client_order_id, trade=report.trade_id)
            return
        record_fill(row, report)
        row.save()
        Execution.objects.filter(pk=row.leg.execution_id).update(next_at=timezone.now())
        nudge("trading.drive", row.leg.execution_id)
    log.warning("reconcile.late_fill", order=client_order_id, trade=report.trade_id, qty=str(report.qty))


def _cancel(venue: str, found: Findings) -> None:
    """Of our own prefix only; who is not ours is never touched."""
    hub = get_hub()
    for order in found.cancel:
        try:
            hub.call(hub.venue(venue).cancel(order.symbol, order.client_order_id))
            log.warning("reconcile.cancelled", venue=venue, order=order.client_order_id)
        except VenueError as refused:
            log.warning("reconcile.not_cancelled", order=order.client_order_id, code=refused.code)


def _money(venue: str) -> list[Break]:
    """The ledger against statement and balance; the amount is money there, not coin."""
    return [
        Break(
            BreakKind.MONEY,
            "",
            f"{d.kind}:{d.source}"[:120],
            d.amount,
            f"{d.currency}: {d.detail}",
            {"source": d.source, "currency": d.currency, "since": d.since.isoformat()},
        )
        for d in statement.differences(venue)
    ]


# --- breaks as rows ----------------------------------------------------------


def _keep(venue: str, breaks: list[Break], kinds: set[BreakKind]) -> None:
    """Open what is new, see again what is not, close what is gone. An accepted one stays accepted for as long
    as its amount does."""
    now = timezone.now()
    with transaction.atomic():
        known = ReconciliationBreak.objects.select_for_update().filter(
            venue=venue, kind__in=sorted(kinds), closed_at=None
        )
        rows = {(row.kind, row.symbol, row.key): row for row in known}
        for each in breaks:
            row = rows.pop((each.kind.value, each.symbol, each.key), None)
            if row is None:
                _open(venue, each, now)
                continue
            if row.amount != each.amount:
                row.amount, row.detail, row.accepted_at = each.amount, each.detail, None
            row.last_seen_at = now
            row.save()
        for gone in rows.values():
            gone.closed_at = now
            gone.save(update_fields=["closed_at"])
            if gone.held_at is not None:
                desk.resolve_cause(source_of(gone), why="books and venue agree again")
            log.info("reconcile.closed", venue=venue, kind=gone.kind, key=gone.key)


def _open(venue: str, found: Break, now: datetime) -> None:
    ReconciliationBreak.objects.create(
        venue=venue,
        kind=found.kind,
        symbol=found.symbol,
        key=found.key,
        amount=found.amount,
        detail=found.detail,
        data=dict(found.data),
        opened_at=now,
        last_seen_at=now,
    )
    log.warning("reconcile.break", venue=venue, kind=found.kind.value, key=found.key, detail=found.detail)


def age(venue: str, config: ReconciliationConfig) -> None:
    """Old breaks call people, then stop the desk's openings on that venue."""
    now = timezone.now()
    steps: tuple[tuple[str, int, Callable[[ReconciliationBreak], object]], ...] = (
        ("warned_at", config.warn_after_sec, _warn),
        ("held_at", config.hold_after_sec, _hold),
    )
    for name, after, tell in steps:
        old = waiting().filter(venue=venue, opened_at__lte=now - timedelta(seconds=after), **{name: None})
        for row in old:
            tell(row)
            ReconciliationBreak.objects.filter(pk=row.pk).update(**{name: now})


def _warn(row: ReconciliationBreak) -> None:
    alarm("reconciliation.break", source_of(row), f"{row}: {row.detail}", {"break": str(row.pk)})


def _hold(row: ReconciliationBreak) -> None:
    reason = f"{row}: {row.detail}"
    desk.raise_hold(
        source=source_of(row), reason=reason, scope=("venue", row.venue), alarm="reconciliation.held"
    )


def waiting() -> "QuerySet[ReconciliationBreak]":
    """Breaks that are neither gone nor accepted."""
    return ReconciliationBreak.objects.filter(closed_at=None, accepted_at=None)


def source_of(row: ReconciliationBreak) -> str:
    return f"reconciliation.break:{row.pk}"
