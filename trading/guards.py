"""What the guards look at: venues, orders, money. Each probe reads and says; the latch is `risk.guards`."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from ops import chain_watch, config, hooks
from ops.status import Status
from risk import runaway
from risk.config import GuardConfig, RiskConfig
from risk.domain.gate import DESK
from risk.domain.guards import Level, Reading
from risk.guards import Guard, Probe
from risk.guards import register as register_guard
from risk.models import GuardState
from risk.services import governor, snapshot
from trading import book_watch, desk_config, watch
from trading.domain.execution_state import ExecutionState
from trading.domain.market import Book
from trading.domain.money import ZERO
from trading.execution.nudge import nudge
from trading.models import (
    Attempt,
    ExecutionTransition,
    Fill,
    FlattenJob,
    OrderIntent,
    ReconciliationBreak,
    StreamState,
)
from trading.venues import get_hub
from trading.venues.hub import FactKey
from trading.venues.interface import Verdict
from trading.watch import Word

MINUTE = timedelta(minutes=1)
RESCUES = (ExecutionState.RESCUE_PROCEED, ExecutionState.RESCUE_REVERSE)
Readings = Mapping[str, Reading]


def register() -> None:
    """Called once, when the app is ready."""
    for name, title, probe in (
        ("runaway_breaker", "Orders, cancels and rescues per minute", runaway_breaker),
        ("runaway_guard_v2", "Cancels per instrument", runaway_guard_v2),
        ("leader", "One holder, fences that only grow", leader),
        ("audit_chain", "The audit chain holds", _audit_chain()),
    ):
        register_guard(Guard(name, title, probe))
    caps = Guard(
        "kill_caps", "Exposure, delta and loss within their caps", kill_caps, on_trip=_flatten_if_told
    )
    link = "cancel_on_disconnect"
    register_guard(caps)
    register_guard(
        Guard(link, "The link to the venue", cancel_on_disconnect, scopes=_enabled, on_trip=_cancel_ours)
    )
    for name, title, probe in (
        ("rate_limit", "The venue's request limit", rate_limit),
        ("clock_skew", "The venue's clock", clock_skew),
        ("snapshot_diff", "Books that can be believed", snapshot_diff),
        ("maintenance_calendar", "The venue is open", maintenance_calendar),
        ("margin", "Distance to liquidation", margin),
        ("reconciliation", "Books equal the venues'", reconciliation),
    ):
        register_guard(Guard(name, title, probe, scopes=_enabled))


def _cancel_ours(row: GuardState) -> None:
    """What rests there may no longer be watched: asked for when the venue can be reached again, and the
    venue's own dead-man switch until then."""
    _job(FlattenJob.Kind.CANCEL, row, venue=row.scope)


def _flatten_if_told(row: GuardState) -> None:
    if thresholds().flatten_on_breach:
        _job(FlattenJob.Kind.FLATTEN, row)


def _job(kind: FlattenJob.Kind, row: GuardState, *, venue: str = "") -> None:
    seconds, now = desk_config.active().trading.execution.flatten_deadline_sec, timezone.now()
    job = FlattenJob.objects.create(
        kind=kind,
        venue=venue,
        reason=f"guard {row.name}: {row.summary}",
        next_at=now,
        deadline_at=now + timedelta(seconds=seconds),
    )
    nudge("trading.flatten", job.pk)


def thresholds() -> GuardConfig:
    return config.active().section(RiskConfig).guards


def _level(figure: Any, warn: Any, hold: Any) -> Level:
    return Level.HOLD if figure > hold else Level.WARN if figure > warn else Level.OK


def _enabled() -> list[str]:
    return [str(name) for name, venue in desk_config.active().trading.venues.items() if venue.enabled]


def _words(kind: str) -> dict[str, Word | None]:
    heard = watch.look(desk_config.active().trading)
    return {venue: heard.get(FactKey(kind, venue)) for venue in _enabled()}


# --- what we do -----------------------------------------------------------------------


def runaway_breaker() -> Readings:
    """Of the last minute, every process together: the rows are theirs all."""
    now, limits = timezone.now(), thresholds()
    since = now - MINUTE
    orders = OrderIntent.objects.filter(sent_at__gte=since, leg__execution__dry_run=False).count()
    cancels = Attempt.objects.filter(kind=Attempt.Kind.CANCEL, at__gte=since).count()
    rescues = ExecutionTransition.objects.filter(at__gte=since, after__in=RESCUES).count()
    fills, odd = Fill.objects.filter(recorded_at__gte=since).count(), _unexplained(since)
    ratio = Decimal(odd) / max(fills, 1)
    figures: dict[str, tuple[Decimal, Decimal]] = {
        "orders_per_min": (Decimal(orders), Decimal(limits.runaway_orders_per_min)),
        "cancels_per_min": (Decimal(cancels), Decimal(limits.runaway_cancels_per_min)),
        "rescues_per_min": (Decimal(rescues), Decimal(limits.runaway_rescues_per_min)),
        "fill_mismatch_ratio": (ratio, limits.max_fill_mismatch_ratio),
    }
    over = [f"{name} {found} of {most}" for name, (found, most) in figures.items() if found > most]
    metrics = {name: {"now": str(found), "limit": str(most)} for name, (found, most) in figures.items()}
    says = "; ".join(over) or f"{orders} orders, {cancels} cancels, {rescues} rescues in the last minute"
    return {"": Reading(Level.HOLD if over else Level.OK, says, now, metrics)}


def _unexplained(since: datetime) -> int:
    breaks = ReconciliationBreak.objects.filter(opened_at__gte=since, accepted_at=None, closed_at=None)
    return breaks.exclude(kind="money").count()


def runaway_guard_v2() -> Readings:
    """Its own trip happens with the cancel that is one too many; here is how it stands."""
    state = runaway.state()
    level = Level.HOLD if state["cooldown_remaining"] or state["over"] else Level.OK
    return {"": Reading(level, str(state["summary"]), timezone.now(), state)}


# --- the venues -----------------------------------------------------------------------


def cancel_on_disconnect() -> Readings:
    """REST silent, or the private stream lost while something rests there, for longer than allowed."""
    now, limit = timezone.now(), timedelta(seconds=thresholds().disconnect_max_sec)
    streams = {row.venue: row for row in StreamState.objects.all()}
    found = {}
    for venue, word in _words("clock").items():
        if word is None:
            continue
        lost = _silent_for(venue, word, now)
        stream = streams.get(venue)
        metrics = {
            "rest_silent_sec": round(lost.total_seconds(), 1),
            "stream": bool(stream and stream.connected),
        }
        if lost > limit:
            says = f"no answer for {lost.total_seconds():.0f} s: {word.error}"
            found[venue] = Reading(Level.HOLD, says, now, metrics)
        else:
            found[venue] = Reading(Level.OK, "answers", now, metrics)
    return found


_silent_since: dict[str, datetime] = {}


def _silent_for(venue: str, word: Word, now: datetime) -> timedelta:
    """How long this process has heard nothing but failures from the venue."""
    if word.error is None or word.error.verdict is not Verdict.AMBIGUOUS:
        _silent_since.pop(venue, None)
        return timedelta(0)
    return now - _silent_since.setdefault(venue, now)


def rate_limit() -> Readings:
    """Weight as the venue's last answer states it, for this address: whoever used it."""
    now, limits = timezone.now(), thresholds()
    since, found = now - MINUTE, {}
    for venue in _enabled():
        refused = Attempt.objects.filter(
            at__gte=since, outcome=Verdict.RATE_LIMITED, order__venue=venue
        ).count()
        word = _words("clock")[venue]
        banned = word is not None and word.error is not None and word.error.verdict is Verdict.RATE_LIMITED
        used = _used(venue, limits)
        metrics = {"used": str(used), "refused_last_min": refused, "cooling_down": banned}
        level = Level.HOLD if banned else _level(used, limits.rate_warn, limits.rate_hold)
        says = "told to stay away" if banned else f"{used:.0%} of the weight used, {refused} refused"
        found[venue] = Reading(level, says, now, metrics)
    return found


def _used(venue: str, limits: GuardConfig) -> Decimal:
    weight = get_hub().venue(venue).weight_used()
    shares = [Decimal(n) / limits.weights[name] for name, n in weight.items() if name in limits.weights]
    return max(shares, default=ZERO)


def clock_skew() -> Readings:
    limit, found = thresholds().clock_skew_guard_ms, {}
    for venue, word in _words("clock").items():
        if word is not None and word.error is None:
            offset = word.answer.offset_ms
            level = _level(abs(offset), limit // 2, limit)
            found[venue] = Reading(level, f"{offset:+} ms from ours", word.at, {"offset_ms": offset})
    return found


def snapshot_diff() -> Readings:
    """A book that lost a message and was not whole again within `gap_heal_sec`, or one that is crossed."""
    now, limit = timezone.now(), timedelta(seconds=thresholds().gap_heal_sec)
    found = {venue: Reading(Level.OK, "whole", now) for venue in _enabled()}
    for (venue, symbol), since in book_watch.watch.gaps().items():
        if now - since > limit:
            says = f"{symbol}: a gap of {(now - since).total_seconds():.0f} s that no snapshot healed"
            found[venue] = Reading(Level.HOLD, says, now)
    config = desk_config.active().trading
    for key, word in watch.look(config).items():
        if key.kind == "book" and word.error is None and _crossed(word.answer):
            found[key.venue] = Reading(Level.WARN, f"{key.symbol} is crossed", word.at)
    return found


def _crossed(book: Book) -> bool:
    return bool(book.bids and book.asks and book.bids[0].price >= book.asks[0].price)


def maintenance_calendar() -> Readings:
    now, found = timezone.now(), {}
    for venue, word in _words("clock").items():
        if word is not None:
            closed = word.error is not None and word.error.verdict is Verdict.MAINTENANCE
            found[venue] = Reading(Level.HOLD if closed else Level.OK, str(word.error or "open"), now)
    return found


def margin() -> Readings:
    """How far the nearest liquidation is, as a part of the mark price."""
    limits, found = thresholds(), {}
    for venue, word in _words("positions").items():
        if word is None or word.error is not None:
            continue
        near = [
            (abs(p.mark_price - p.liquidation_price) / p.mark_price, p.symbol)
            for p in word.answer
            if p.liquidation_price and p.mark_price
        ]
        if not near:
            found[venue] = Reading(Level.OK, "nothing near liquidation", word.at)
            continue
        distance, symbol = min(near)
        hold, warn = limits.margin_hold_distance, limits.margin_warn_distance
        level = Level.HOLD if distance < hold else Level.WARN if distance < warn else Level.OK
        says = f"{symbol} is liquidated {distance:.1%} from its mark"
        found[venue] = Reading(level, says, word.at, {"distance": str(distance), "symbol": symbol})
    return found


# --- the desk -------------------------------------------------------------------------


def kill_caps() -> Readings:
    """What is held against what may be held: a market that moved can breach a cap that no order did."""
    now, limits = timezone.now(), governor()
    if not limits.enabled:
        return {"": Reading(Level.OK, "risk checks are off", now)}
    from trading.services.venue_reads import marks

    desk = snapshot(marks()).exposures[DESK]
    held = {
        "max_total_notional_usdt": desk.position_notional,
        "max_delta_usdt": max(map(abs, desk.deltas.values()), default=ZERO),
        "max_daily_loss_usdt": desk.daily_loss,
    }
    over, unknown = [], [name for name, figure in held.items() if figure is None or not figure.is_finite()]
    for limit in limits.at(DESK):
        figure = held.get(limit.cap.name)
        if figure is not None and figure.is_finite() and limit.value is not None and figure > limit.value:
            over.append(f"{limit.cap.name}: {figure:.2f} of {limit.value:f}")
    if over:
        return {"": Reading(Level.HOLD, "; ".join(over), now)}
    if unknown:
        return {}
    return {"": Reading(Level.OK, "within its caps", now)}


def reconciliation() -> Readings:
    """By venue: a break that grew older than its limit."""
    now = timezone.now()
    held = ReconciliationBreak.objects.filter(closed_at=None, accepted_at=None).exclude(held_at=None)
    old = {row.venue: f"{row}: {row.detail}" for row in held}
    return {v: Reading(Level.HOLD if v in old else Level.OK, old.get(v, "agrees"), now) for v in _enabled()}


def leader() -> Readings:
    """A fence that went back means that two believe to lead. The highest seen is in the guard's own row."""
    fence = hooks.fence().fence
    before = GuardState.objects.filter(name="leader", scope="").first()
    highest = int(before.metrics.get("highest", 0)) if before else 0
    says = f"fence {fence} after {highest}" if fence < highest else f"fence {fence}"
    metrics = {"fence": fence, "highest": max(fence, highest)}
    return {"": Reading(Level.HOLD if fence < highest else Level.OK, says, timezone.now(), metrics)}


def _audit_chain() -> Probe:
    """With a watch of its own, that has seen nothing yet."""
    watched = chain_watch.ChainWatch()

    def probe() -> Readings:
        reading = watched.probe()
        broken = reading.status is Status.ERROR
        return {
            "": Reading(Level.HOLD if broken else Level.OK, reading.summary, timezone.now(), reading.metrics)
        }

    return probe
