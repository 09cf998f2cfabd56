"""Runaway guard v2: cancels per venue and symbol in a sliding minute (runbook §7).

It brakes the strategy that cancels too much. Operators' and rescues' cancels are counted, never refused. A
cancel is claimed before it is sent: the claim that would be one too many trips the guard instead, in the same
transaction, so that no strategy's cancel or order is claimed after the trip's commit.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Count
from django.utils import timezone

from ops import config
from risk import guards
from risk.config import RiskConfig
from risk.domain.guards import Level
from risk.models import CancelClaim, GuardState

NAME = "runaway_guard_v2"
WINDOW = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Block:
    """Why a strategy may not cancel, or order, now."""

    reason: str
    venue: str
    symbol: str
    count: int
    limit: int

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def claim(venue: str, symbol: str, *, strategy: str = "") -> Block | None:
    """One cancel is about to be sent. strategy "": an operator's or a rescue's. None: it may go.

    Claims of one instrument wait for each other; the count that decides is of every process.
    """
    limit = _config().max_cancels_per_min
    with transaction.atomic(durable=not connection.in_atomic_block):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"cancel:{venue}:{symbol}"])
        if strategy and (block := blocked()):
            return block
        now = timezone.now()
        count = _recent(now).filter(venue=venue, symbol=symbol).count() + 1
        if strategy and count > limit:
            return _trip(Block("runaway", venue, symbol, count, limit), now)
        CancelClaim.objects.create(venue=venue, symbol=symbol, strategy=strategy, at=now)
        return None


def blocked() -> Block | None:
    """The trip that strategies wait out. Read under the guard's row lock, so that one that is being committed
    is waited for."""
    row = GuardState.objects.select_for_update().filter(name=NAME, scope="").first()
    if row is None or not row.metrics.get("last_block") or not Level(row.level).tripped:
        return None
    return Block(**row.metrics["last_block"])


def _trip(block: Block, now: datetime) -> Block:
    GuardState.objects.bulk_create([GuardState(name=NAME)], ignore_conflicts=True)
    row = GuardState.objects.select_for_update().get(name=NAME, scope="")
    row.metrics = {**row.metrics, "last_block": block.as_dict(), "last_trigger_ts": now.isoformat()}
    row.level, row.seen, row.since, row.evaluated_at = Level.HOLD, Level.HOLD, now, now
    row.summary = (
        f"{block.count} cancels a minute on {block.venue} {block.symbol}, the limit is {block.limit}"
    )
    row.save()
    guards.trip(row, row.summary)
    return block


def state() -> dict[str, Any]:
    """As the runbook reads it (`runaway_guard.v2` of the overview)."""
    now, limits = timezone.now(), _config()
    row = GuardState.objects.filter(name=NAME, scope="").first()
    kept = row.metrics if row else {}
    triggered = kept.get("last_trigger_ts")
    cooldown = timedelta(seconds=limits.runaway_cooldown_sec)
    left = datetime.fromisoformat(triggered) + cooldown - now if triggered else timedelta(0)
    counts = _recent(now).values_list("venue", "symbol").annotate(count=Count("id")).order_by()
    per_venue: dict[str, dict[str, int]] = {}
    for venue, symbol, count in counts:
        per_venue.setdefault(venue, {})[symbol] = count
    worst = max((n for found in per_venue.values() for n in found.values()), default=0)
    over = worst > limits.max_cancels_per_min
    return {
        "per_venue": per_venue,
        "max_cancels_per_min": limits.max_cancels_per_min,
        "last_trigger_ts": triggered,
        "cooldown_remaining": max(0, round(left.total_seconds(), 1)),
        "last_block": kept.get("last_block"),
        "over": over,
        "summary": f"at most {worst} of {limits.max_cancels_per_min} cancels a minute on one instrument",
    }


def _recent(now: datetime) -> Any:
    return CancelClaim.objects.filter(at__gt=now - WINDOW)


def _config() -> Any:
    return config.active().section(RiskConfig).guards
