"""The gate as the house calls it: the last thing before an intent is written, in the same transaction.

The decision itself is pure (`risk.domain.gate`); here are the lock, the sums and the caps in force.
"""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.transaction import TransactionManagementError
from django.utils import timezone

from ops import config
from risk import figures, guards, sums
from risk.config import RiskConfig
from risk.domain.gate import (
    BPS,
    CAPS,
    DESK,
    MAX_OPEN_POSITIONS,
    MAX_TOTAL_NOTIONAL,
    ZERO,
    Decision,
    Key,
    Limit,
    OrderIntent,
    RiskGovernor,
    Snapshot,
    decide,
)
from risk.models import GateLock, RiskLimit, RiskOverride

log = structlog.get_logger()


def governor() -> RiskGovernor:
    """The caps in force: environment, configuration and limit rows all count, so the lowest does."""
    caps, env = config.active().section(RiskConfig), settings.ENV
    limits = [
        Limit(MAX_TOTAL_NOTIONAL, caps.max_total_notional_usdt),
        Limit(MAX_OPEN_POSITIONS, Decimal(caps.max_open_positions)),
    ]
    if env.max_total_notional_usdt is not None:
        limits.append(Limit(MAX_TOTAL_NOTIONAL, env.max_total_notional_usdt))
    if env.max_open_positions is not None:
        limits.append(Limit(MAX_OPEN_POSITIONS, Decimal(env.max_open_positions)))
    limits += [Limit(CAPS[name], Decimal(value)) for name, value in caps.caps]
    for level, name, value in RiskLimit.objects.values_list("level", "cap", "value"):
        limits.append(Limit(CAPS[name], value, level))
    return RiskGovernor(limits, enabled=env.risk_checks_enabled)


def risk_gate(intent: OrderIntent, *, marks: Mapping[Key, Decimal]) -> Decision:
    """May this intent go out? Holds the gate's lock until the caller's transaction ends, so that the headroom
    it saw is still there when the caller reserves it. A gate that cannot decide says no (`risk.error`).

    marks: fresh mark prices in USDT; a held instrument without one denies whatever opens.
    """
    if not connection.in_atomic_block:
        raise TransactionManagementError("the gate decides inside the transaction that reserves")
    try:
        with transaction.atomic():  # a savepoint: the caller can still write the refusal down
            return _decide(intent, marks)
    except Exception as failure:  # fails closed, whatever it was
        log.exception("risk.gate_failed")
        return Decision(allowed=False, reason="risk.error", detail={"error": type(failure).__name__})


def _decide(intent: OrderIntent, marks: Mapping[Key, Decimal]) -> Decision:
    rules = governor()
    if not rules.enabled:
        return decide(Snapshot({}, {}), intent, rules)
    if why := guards.stale():  # who should stop the desk is not there: nothing opens
        return Decision(allowed=False, reason="risk.guards_stale", detail={"guards": why})
    GateLock.objects.select_for_update().get(pk=1)
    return _let_through(decide(snapshot(marks), intent, rules), intent)


def _let_through(denied: Decision, intent: OrderIntent) -> Decision:
    """A cap that two people let this pair past, once: the row is used up by it."""
    level, after = denied.detail.get("level"), denied.detail.get("after")
    if denied.allowed or not (denied.cap and level and after):
        return denied
    rows = RiskOverride.objects.select_for_update().filter(
        symbol__in={leg.symbol for leg in intent.legs},
        level=level,
        cap=denied.cap,
        value__gte=Decimal(after),
        used_at=None,
        expires_at__gt=timezone.now(),
    )
    override = rows.order_by("expires_at").first()
    if override is None:
        return denied
    override.used_at = timezone.now()
    override.save(update_fields=["used_at"])
    detail = {**denied.detail, "override": str(override.pk)}
    return Decision(allowed=True, reason="override", cap=denied.cap, detail=detail)


def snapshot(marks: Mapping[Key, Decimal]) -> Snapshot:
    """Sums of now, see `risk.sums`."""
    rules = config.active().section(RiskConfig)
    age = timedelta(seconds=rules.figures_max_age_sec)
    return sums.snapshot(marks, figures.current(max_age=age, gap_bps=rules.stress_gap_bps))


def risk_snapshot(marks: Mapping[Key, Decimal]) -> dict[str, object]:
    """The sums beside their caps, for screens (`safety.risk_snapshot`); unknown is None, never 0."""
    seen = snapshot(marks)
    desk = seen.exposures[DESK]
    caps: dict[str, Decimal] = {}
    for limit in governor().at(DESK):
        if limit.value is not None:
            caps[limit.cap.name] = min(limit.value, caps.get(limit.cap.name, limit.value))
    known = desk.position_notional.is_finite()
    worst = max(
        (abs(s.net) * s.mark_price for s in seen.instruments.values() if s.net and s.mark_price), default=ZERO
    )
    return {
        "enabled": settings.ENV.risk_checks_enabled,
        "total_notional_usdt": desk.position_notional + desk.reserved_notional if known else None,
        "reserved_notional_usdt": desk.reserved_notional,
        "open_positions": desk.open_positions + desk.reserved_positions,
        "delta_usdt": max(map(abs, desk.deltas.values()), default=ZERO) if known else None,
        "equity_usdt": desk.equity,
        "daily_loss_usdt": desk.daily_loss,
        "orders_last_min": desk.orders,
        "cancels_last_min": desk.cancels,
        "stress_loss_usdt": worst * (desk.gap_bps or ZERO) / BPS if known else None,
        "stress_gap_bps": desk.gap_bps,
        **{f"cap_{name}": value for name, value in caps.items()},
    }
