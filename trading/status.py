"""Trading's status components: the venues, and what our orders leave open."""

import functools
import json
import urllib.request
from collections.abc import Callable, Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import Min
from django.utils import timezone

from ops import hooks, status
from ops.status import Component, Reading, Status
from risk.services import risk_snapshot
from trading import desk_config, watch
from trading.config import TradingConfig
from trading.domain.execution_state import ACTIVE, FINAL, ExecutionState
from trading.domain.order_state import TERMINAL, OrderState
from trading.models import Execution, FlattenJob, OrderIntent, Position, ReconciliationState, StreamState
from trading.reconciliation.service import waiting as waiting_breaks
from trading.venues import get_hub
from trading.venues.hub import FactKey
from trading.watch import Word, Words

#: How late a row may be looked at: the sweep runs every 2 s.
LATE_WARN_SEC, LATE_ERROR_SEC = 5.0, 15.0
#: How long one leg may stand alone before it is more than work under way.
IMBALANCE_ERROR_SEC = 10.0
CONTROL_TIMEOUT_SEC = 1.0
#: Beyond three intervals: a statement of many pages takes its time.
RECONCILED_SEC = 15.0
#: The listening process looks every 2 s.
STREAMS_SEC = 15.0
UNBALANCED = (ExecutionState.IMBALANCED, ExecutionState.RESCUE_PROCEED, ExecutionState.RESCUE_REVERSE)
ZERO = Decimal(0)


def register() -> None:
    """Called once, when the app is ready."""
    status.register(Component("outbox", "Work that is due", "P0", outbox))
    status.register(Component("orders_unknown", "Orders of which nobody knows", "P0", orders_unknown))
    status.register(Component("executions", "Executions", "P0", executions))
    status.register(Component("reconciliation", "Books equal the venues'", "P0", reconciliation))
    status.register(Component("streams", "The venues' private streams", "P1", streams))
    status.register_provider("venues", _venues, group="P0")
    if settings.ENV.exchange_profile == "paper":
        component = Component("paper_venues", "Paper venues", "P2", paper_venues, needs_database=False)
        status.register(component)
    hooks.provide_fact("open_counts", open_counts)
    hooks.provide_fact("unresolved_orders", unresolved_orders)
    hooks.provide_fact("risk_snapshot", _risk_snapshot)
    hooks.provide_fact("venues", _venue_facts)


# --- facts -------------------------------------------------------------------


def open_counts() -> dict[str, int]:
    return {
        "positions": Position.objects.exclude(net=0).count(),
        "executions": Execution.objects.filter(dry_run=False).exclude(state__in=sorted(FINAL)).count(),
        "orders": OrderIntent.objects.exclude(state__in=sorted(TERMINAL)).count(),
    }


def unresolved_orders() -> int:
    """May have been sent, and no word since."""
    return OrderIntent.objects.filter(state__in=[OrderState.SENDING, OrderState.UNKNOWN]).count()


def _risk_snapshot() -> dict[str, object]:
    words = watch.look(desk_config.active().trading)
    return risk_snapshot(
        {
            (key.venue, key.symbol): word.answer.mark_price
            for key, word in words.items()
            if key.kind == "funding" and word.error is None
        }
    )


def _venue_facts() -> dict[str, dict[str, Any]]:
    """Clock offset per venue (null: not heard). `fenced`: it refuses a request that comes too late."""
    words = watch.look(desk_config.active().trading)
    clocks = {key.venue: word for key, word in words.items() if key.kind == "clock"}
    hub = get_hub()
    return {
        venue: {
            "offset_ms": None if word.error else word.answer.offset_ms,
            "fenced": hub.venue(venue).fenced,
        }
        for venue, word in clocks.items()
    }


def streams() -> Reading:
    """Without them orders are asked for all the same, only later: never red."""
    now, config = timezone.now(), desk_config.active().trading
    rows = {row.venue: row for row in StreamState.objects.all()}
    enabled = [str(name) for name, venue in config.venues.items() if venue.enabled]
    silent = [v for v in enabled if v not in rows or (now - rows[v].at).total_seconds() > STREAMS_SEC]
    lost = [f"{v}: {rows[v].error or 'connecting'}" for v in enabled if v in rows and not rows[v].connected]
    metrics = {"connected": sum(row.connected for row in rows.values()), "venues": len(enabled)}
    if silent:
        return Reading(Status.UNKNOWN, f"nobody listens to {', '.join(silent)}", metrics)
    if lost:
        return Reading(Status.WARN, "; ".join(lost), metrics)
    return Reading(Status.OK, f"{', '.join(enabled)} connected", metrics)


def reconciliation() -> Reading:
    """Red while something differs that nobody has accepted, or a venue was not compared for too long."""
    config = desk_config.active().trading
    now, limit = timezone.now(), RECONCILED_SEC + 3 * config.reconciliation.interval_sec
    done = dict(ReconciliationState.objects.values_list("venue", "done_at"))
    times = {str(name): done.get(name) for name, venue in config.venues.items() if venue.enabled}
    old = [name for name, at in times.items() if at is None or (now - at).total_seconds() > limit]
    breaks = [f"{row}: {row.detail}" for row in waiting_breaks()[:5]]
    observed = min((at for at in times.values() if at), default=None)
    links = ("/api/reconciliation", "/admin/trading/reconciliationbreak/")
    metrics = {"breaks": waiting_breaks().count(), "not_compared": len(old)}
    if breaks:
        return Reading(Status.ERROR, "; ".join(breaks)[:300], metrics, observed, links)
    if len(old) == len(times):
        return Reading(Status.UNKNOWN, "no venue was compared lately", metrics, observed, links)
    if old:
        return Reading(Status.ERROR, f"not compared: {', '.join(old)}", metrics, observed, links)
    return Reading(Status.OK, f"{len(times)} venues agree with our books", metrics, observed, links)


# --- venues ------------------------------------------------------------------


def _venues() -> Iterable[Component]:
    """One look at all venues serves all of these. A venue of no pair has no books that could grow old."""
    config = desk_config.active().trading
    words = functools.cache(lambda: watch.look(config))
    for name, venue in config.venues.items():
        if venue.enabled:
            probe = functools.partial(_connected, name, config, words)
            yield Component(f"venue.{name}", f"Venue {name}: REST and clock", "P0", probe)
        if venue.enabled and any(name in pair.venues for pair in config.pairs):
            books = functools.partial(_books, name, config, words)
            yield Component(f"books.{name}", f"Venue {name}: books", "P1", books)
    yield Component(
        "positions", "Positions equal the venues'", "P0", functools.partial(_positions, config, words)
    )


def _connected(venue: str, config: TradingConfig, words: Callable[[], Words]) -> Reading:
    word = words().get(FactKey("clock", venue))
    links = ("/api/deriv/status",)
    if word is None:
        return Reading(Status.UNKNOWN, "no answer yet", observed_at=None, links=links)
    if word.error is not None:
        return Reading(Status.ERROR, _said(word), observed_at=word.at, links=links)
    offset, limit = word.answer.offset_ms, config.preflight.max_clock_skew_ms
    metrics = {"clock_offset_ms": offset, "round_trip_ms": word.answer.round_trip_ms}
    level = Status.OK if abs(offset) <= limit / 2 else Status.WARN if abs(offset) <= limit else Status.ERROR
    return Reading(level, f"answers; its clock is {offset:+} ms from ours", metrics, word.at, links)


def _said(word: Word) -> str:
    assert word.error is not None
    return f"{word.error.verdict} {word.error.code}: {word.error.detail}"[:200]


def _books(venue: str, config: TradingConfig, words: Callable[[], Words]) -> Reading:
    """The oldest of the venue's books is the age of this component."""
    heard = words()
    symbols = [pair.symbol for pair in config.pairs if venue in pair.venues]
    found = {symbol: heard.get(FactKey("book", venue, symbol)) for symbol in symbols}
    faults = [f"{symbol}: {fault}" for symbol, word in found.items() if (fault := _book_fault(word))]
    times = [word.at for word in found.values() if word is not None]
    now = timezone.now()
    metrics = {
        symbol: {"age_ms": round((now - word.at) / timedelta(milliseconds=1))}
        for symbol, word in found.items()
        if word is not None and word.error is None
    }
    level = Status.ERROR if faults else Status.OK
    return Reading(level, "; ".join(faults) or f"{len(symbols)} books", metrics, min(times, default=None))


def _book_fault(word: Word | None) -> str:
    if word is None:
        return "never read"
    if word.error is not None:
        return _said(word)
    book = word.answer
    if not book.bids or not book.asks:
        return "a side is empty"
    if book.bids[0].price >= book.asks[0].price:
        return "crossed"
    return ""


def _positions(config: TradingConfig, words: Callable[[], Words]) -> Reading:
    """Ours beside the venues' own. What executions under way move is theirs to settle, not a mismatch."""
    heard = words()
    wanted = [FactKey("positions", name) for name, venue in config.venues.items() if venue.enabled]
    unread = [key.venue for key in wanted if (word := heard.get(key)) is None or word.error is not None]
    links = ("/api/deriv/positions",)
    if unread:
        return Reading(Status.UNKNOWN, f"not read: {', '.join(unread)}", observed_at=None, links=links)
    read_at = min(heard[key].at for key in wanted)
    theirs = {(p.venue, p.symbol): p.net for key in wanted for p in heard[key].answer}
    rows = {(row.venue, row.symbol): row for row in Position.objects.all()}
    moved = {key for key, row in rows.items() if row.updated_at >= read_at} | _under_way()
    off = [
        f"{venue} {symbol}: ours {ours:f}, theirs {their:f}"
        for venue, symbol in sorted(rows.keys() | theirs.keys())
        if (ours := _net(rows, venue, symbol)) != (their := theirs.get((venue, symbol), ZERO))
        and (venue, symbol) not in moved
    ]
    metrics = {"open": len(theirs), "mismatches": len(off), "moving": len(moved)}
    level = Status.ERROR if off else Status.OK
    return Reading(level, "; ".join(off) or f"{len(theirs)} open, all equal", metrics, read_at, links)


def _net(rows: dict[tuple[str, str], Position], venue: str, symbol: str) -> Decimal:
    row = rows.get((venue, symbol))
    return row.net.normalize() if row else ZERO


def _under_way() -> set[tuple[str, str]]:
    active = Execution.objects.filter(state__in=sorted(ACTIVE - {ExecutionState.QUARANTINED}), dry_run=False)
    return set(active.values_list("legs__venue", "legs__symbol"))


# --- our own work ------------------------------------------------------------


def lateness_sec() -> tuple[int, float]:
    """(rows that are due and not looked at, seconds by which the oldest is late)."""
    now = timezone.now()
    due = [model.objects.filter(next_at__lt=now) for model in (Execution, FlattenJob)]
    oldest = [at for rows in due if (at := rows.aggregate(at=Min("next_at"))["at"]) is not None]
    late = (now - min(oldest)).total_seconds() if oldest else 0.0
    return sum(rows.count() for rows in due) if oldest else 0, late


def outbox() -> Reading:
    """A row whose time has gone by is found by the next sweep; a late one means that nobody works."""
    due, late = lateness_sec()
    metrics = {"due": due, "late_sec": round(late, 3)}
    level = Status.ERROR if late > LATE_ERROR_SEC else Status.WARN if late > LATE_WARN_SEC else Status.OK
    return Reading(level, f"{due} due, the oldest {late:.1f} s late" if due else "nothing due", metrics)


def orders_unknown() -> Reading:
    limit = desk_config.active().trading.execution.unknown_max_ms / 1000
    in_doubt = OrderIntent.objects.filter(state=OrderState.UNKNOWN)
    count, oldest = in_doubt.count(), in_doubt.aggregate(at=Min("sent_at"))["at"]
    links = ("/api/ui/orders?state=UNKNOWN",)
    if oldest is None:
        return Reading(Status.OK, "none", {"count": 0}, links=links)
    age = (timezone.now() - oldest).total_seconds()
    level = Status.ERROR if age > limit else Status.WARN
    metrics = {"count": count, "oldest_sec": round(age, 1)}
    return Reading(level, f"{count} unknown, the oldest for {age:.0f} s", metrics, links=links)


def executions() -> Reading:
    """Given up on: red. One leg alone for long, or a residual held: somebody should look."""
    now = timezone.now()
    real = Execution.objects.filter(dry_run=False).exclude(state__in=sorted(FINAL))
    rows = list(real.values_list("state", "since", "updated_at"))
    quarantined = sum(row[0] == ExecutionState.QUARANTINED for row in rows)
    alone = [(now - (since or moved)).total_seconds() for state, since, moved in rows if state in UNBALANCED]
    residual = [
        (now - moved).total_seconds() for state, _, moved in rows if state == ExecutionState.RESIDUAL_HELD
    ]
    metrics = {
        "open": len(rows),
        "quarantined": quarantined,
        "imbalanced": len(alone),
        "imbalance_sec": round(max(alone, default=0.0), 1),
        "residual": len(residual),
        "residual_sec": round(max(residual, default=0.0), 1),
    }
    links = ("/api/ui/executions",)
    if quarantined:
        return Reading(Status.ERROR, f"{quarantined} quarantined", metrics, links=links)
    if alone and max(alone) > IMBALANCE_ERROR_SEC:
        return Reading(Status.ERROR, f"a leg has stood alone for {max(alone):.0f} s", metrics, links=links)
    if alone or residual:
        text = f"{len(alone)} being rescued, {len(residual)} with a residual"
        return Reading(Status.WARN, text, metrics, links=links)
    return Reading(Status.OK, f"{len(rows)} open", metrics, links=links)


# --- paper -------------------------------------------------------------------


def paper_venues() -> Reading:
    """The simulators answer their control endpoint; faults that somebody injected are named."""
    known = json.loads((settings.ENV.paper_dir / "paper-venues.json").read_text())
    faults = {
        name: _faults(venue["base_url"], known["control_token"]) for name, venue in known["venues"].items()
    }
    injected = {name: count for name, count in faults.items() if count}
    if injected:
        names = ", ".join(f"{name} {count}" for name, count in injected.items())
        return Reading(Status.WARN, f"injected faults: {names}", {"faults": injected})
    return Reading(Status.OK, f"{', '.join(faults)} answer", {"faults": {}})


def _faults(base_url: str, token: str) -> int:
    request = urllib.request.Request(  # noqa: S310 (our own file's loopback address)
        f"{base_url}/paper/control/faults", headers={"X-Paper-Control": token}
    )
    with urllib.request.urlopen(request, timeout=CONTROL_TIMEOUT_SEC) as reply:  # noqa: S310
        return len(json.loads(reply.read()))
