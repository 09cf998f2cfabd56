"""The gate as the house calls it: the last thing before an intent is written, in the same transaction.

The decision itself is pure (`risk.domain.gate`); here are the lock, the sums and the caps in force.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.transaction import TransactionManagementError

from ops import config
from risk import exposure
from risk.config import RiskConfig
from risk.domain.gate import (
    DESK,
    MAX_OPEN_POSITIONS,
    MAX_TOTAL_NOTIONAL,
    ZERO,
    Decision,
    Exposure,
    InstrumentState,
    Key,
    Limit,
    OrderIntent,
    RiskGovernor,
    Snapshot,
    decide,
)
from risk.models import GateLock, Reservation

log = structlog.get_logger()


def governor() -> RiskGovernor:
    """The caps in force: the lower of the config's and the environment's, which may lower but never raise."""
    caps, env = config.active().section(RiskConfig), settings.ENV
    notional, positions = caps.max_total_notional_usdt, Decimal(caps.max_open_positions)
    if env.max_total_notional_usdt is not None:
        notional = min(notional, env.max_total_notional_usdt)
    if env.max_open_positions is not None:
        positions = min(positions, Decimal(env.max_open_positions))
    limits = (Limit(MAX_TOTAL_NOTIONAL, notional), Limit(MAX_OPEN_POSITIONS, positions))
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
    except Exception as failure:
        log.exception("risk.gate_failed")
        return Decision(allowed=False, reason="risk.error", detail={"error": type(failure).__name__})


def _decide(intent: OrderIntent, marks: Mapping[Key, Decimal]) -> Decision:
    rules = governor()
    if not rules.enabled:
        return decide(Snapshot({}, {}), intent, rules)
    GateLock.objects.select_for_update().get(pk=1)
    return decide(snapshot(marks), intent, rules)


def snapshot(marks: Mapping[Key, Decimal]) -> Snapshot:
    """Sums of now. A held instrument without a mark makes the notional infinite: then nothing opens.

    Reservations are read before positions: a fill that moves from one to the other meanwhile (it takes no
    gate lock) is then seen twice, never not at all.
    """
    working = list(_working())
    states = {
        (h.venue, h.symbol): InstrumentState(net=h.net, mark_price=marks.get((h.venue, h.symbol)))
        for h in exposure.holdings()
    }
    held = len(states)
    position_notional = sum(
        (abs(s.net) * s.mark_price if s.mark_price else Decimal("Infinity") for s in states.values()), ZERO
    )
    reserved_notional = ZERO
    for venue, symbol, side, remaining, price in working:
        reserved_notional += remaining * price
        key = (venue, symbol)
        before = states.get(key, InstrumentState(mark_price=marks.get(key)))
        buy = before.working_buy + (remaining if side == "buy" else ZERO)
        sell = before.working_sell + (remaining if side == "sell" else ZERO)
        states[key] = InstrumentState(before.net, buy, sell, before.mark_price)
    for key, mark in marks.items():
        states.setdefault(key, InstrumentState(mark_price=mark))
    reserved = sum(1 for s in states.values() if not s.net and (s.working_buy or s.working_sell))
    desk = Exposure(position_notional, reserved_notional, held, reserved)
    return Snapshot({DESK: desk}, states)


def _working() -> Any:
    """What remains of the open reservations: two a live execution, so few that the sums are made here."""
    rows = Reservation.objects.filter(released_at=None, remaining__gt=0)
    return rows.values_list("venue", "symbol", "side", "remaining", "price")


def risk_snapshot(marks: Mapping[Key, Decimal]) -> dict[str, object]:
    """The sums beside their caps, for screens (`safety.risk_snapshot`); unknown is None, never 0."""
    desk = snapshot(marks).exposures[DESK]
    caps = {limit.cap.name: limit.value for limit in governor().at(DESK)}
    known = desk.position_notional.is_finite()
    return {
        "enabled": settings.ENV.risk_checks_enabled,
        "total_notional_usdt": desk.position_notional + desk.reserved_notional if known else None,
        "reserved_notional_usdt": desk.reserved_notional,
        "open_positions": desk.open_positions + desk.reserved_positions,
        **{f"cap_{name}": value for name, value in caps.items()},
    }
