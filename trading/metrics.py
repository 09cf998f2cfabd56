"""Trading's metrics, from rows; what the venues say comes from this process's last look at them."""

from collections.abc import Iterable

from django.db.models.fields.json import KeyTextTransform
from django.utils import timezone
from prometheus_client.core import HistogramMetricFamily, Metric

from ops import hooks, metrics
from ops.metrics import count_by, counter, gauge, histogram, value
from ops.models import AuditEntry
from trading import desk_config, watch
from trading.models import Execution, Fill, OrderIntent
from trading.status import lateness_sec

#: Seconds. An order's way to a venue and back is tens of milliseconds near it, seconds when it struggles.
BOUNDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_REAL = (
    "trading_orderintent o JOIN trading_leg l ON l.id = o.leg_id"
    " JOIN trading_execution e ON e.id = l.execution_id WHERE NOT e.dry_run AND o.sent_at IS NOT NULL"
)


def register() -> None:
    """Called once, when the app is ready."""
    metrics.register("executions", _executions)
    metrics.register("orders", _orders)
    metrics.register("order_times", _times)
    metrics.register("execution_times", _execution_times)
    metrics.register("outbox", _outbox)
    metrics.register("gate", _gate)
    metrics.register("venues", _venues)
    metrics.register("risk", _risk)


def _executions() -> Iterable[Metric]:
    found = gauge("executions", "Executions by state", ["state", "dry_run"])
    for state, dry_run, count in count_by(Execution.objects, "state", "dry_run"):
        found.add_metric([state, str(dry_run).lower()], count)
    return [found]


def _orders() -> Iterable[Metric]:
    orders = gauge("orders", "Order intents by venue and state", ["venue", "state"])
    for venue, state, count in count_by(OrderIntent.objects, "venue", "state"):
        orders.add_metric([venue, state], count)
    fills = counter("fills", "Fills recorded", ["venue"])
    for venue, count in count_by(Fill.objects, "venue"):
        fills.add_metric([venue], count)
    return [orders, fills]


def _times() -> Iterable[Metric]:
    return [
        _order_time("order_send_seconds", "From intent written to sent", "sent_at - written_at", _REAL),
        _order_time(
            "order_ack_seconds",
            "From sent to the venue's acknowledgement",
            "acked_at - sent_at",
            f"{_REAL} AND o.acked_at IS NOT NULL",
        ),
    ]


def _order_time(name: str, text: str, seconds: str, rows: str) -> HistogramMetricFamily:
    chosen = f"(SELECT o.venue, o.written_at, o.sent_at, o.acked_at FROM {rows}) AS real"  # noqa: S608 (ours)
    return histogram(name, text, rows=chosen, seconds=seconds, label="venue=venue", bounds=BOUNDS)


#: Of real executions: SQL that gives each a symbol and two times. Attempt 1 is a leg's opening order.
_OPENING = (
    "trading_execution e JOIN trading_leg l ON l.execution_id = e.id"
    " JOIN trading_orderintent o ON o.leg_id = l.id AND o.attempt = 1 WHERE NOT e.dry_run"
)


def _execution_times() -> Iterable[Metric]:
    def between(name: str, text: str, begin: str, end: str, only: str) -> HistogramMetricFamily:
        rows = (
            f"(SELECT e.symbol, {begin} AS began, {end} AS ended FROM {_OPENING} AND {only}"  # noqa: S608 (ours)
            " GROUP BY e.id HAVING count(*) = 2) AS real"
        )
        return histogram(name, text, rows=rows, seconds="ended - began", label="symbol=symbol", bounds=BOUNDS)

    sent = "min(o.sent_at)", "max(o.sent_at)"
    acked = "min(o.acked_at)", "max(o.acked_at)"
    naked = "(SELECT symbol, naked_ms FROM trading_execution WHERE NOT dry_run AND naked_ms > 0) AS real"
    return [
        between(
            "execution_send_seconds", "From decision to the first order sent", "min(e.created_at)", sent[0],
            "o.sent_at IS NOT NULL",
        ),
        between("leg_skew_seconds", "Between the sending of the two legs", *sent, "o.sent_at IS NOT NULL"),
        between(
            "hedge_seconds", "Between the acknowledgements of two filled legs", *acked,
            "o.acked_at IS NOT NULL AND o.filled > 0",
        ),
        histogram(
            "naked_seconds", "How long the legs of an execution differed, in all", rows=naked,
            seconds="naked_ms * interval '1 millisecond'", label="symbol=symbol", bounds=BOUNDS,
        ),
    ]  # fmt: skip


def _outbox() -> Iterable[Metric]:
    due, late = lateness_sec()
    return [
        value("outbox_due", "Executions and flattens whose time has gone by", due),
        value("outbox_late_seconds", "By how much the oldest of them is late", late),
        value("orders_unresolved", "Orders that may have been sent, without a word since", _unresolved()),
    ]


def _unresolved() -> float:
    return float(hooks.fact("unresolved_orders") or 0)


def _gate() -> Iterable[Metric]:
    """Denials are in the audit log; what the gate allowed became an execution."""
    found = counter("gate_denials", "Executions that the risk gate skipped, by reason", ["reason"])
    skipped = AuditEntry.objects.filter(action="trading.execute", verdict="skipped")
    reasons = skipped.annotate(why=KeyTextTransform("reason", "after"))
    for reason, count in count_by(reasons, "why"):
        found.add_metric([reason or "unknown"], count)
    return [found]


def _venues() -> Iterable[Metric]:
    up = gauge("venue_up", "1 when the venue's last answer was one", ["venue"])
    offset = gauge("venue_clock_offset_seconds", "The venue's clock less ours", ["venue"])
    age = gauge("book_age_seconds", "Since the book that this process last read", ["venue", "symbol"])
    now = timezone.now()
    for key, word in watch.look(desk_config.active().trading).items():
        if key.kind == "clock":
            up.add_metric([key.venue], float(word.error is None))
            if word.error is None:
                offset.add_metric([key.venue], word.answer.offset_ms / 1000)
        elif key.kind == "book" and word.error is None:
            age.add_metric([key.venue, key.symbol], max((now - word.at).total_seconds(), 0))
    return [up, offset, age]


def _risk() -> Iterable[Metric]:
    """Nothing where it is not known: a missing series is not a zero."""
    snapshot = hooks.fact("risk_snapshot") or {}
    total, cap = snapshot.get("total_notional_usdt"), snapshot.get("cap_max_total_notional_usdt")
    found: list[Metric] = []
    if total is not None:
        found.append(value("risk_notional_usdt", "Gross notional held and reserved", float(total)))
    if cap is not None:
        found.append(value("risk_notional_cap_usdt", "The cap on it", float(cap)))
    return found
