"""Prometheus metrics, read from rows once per scrape: the same whichever web process is asked.

Rooms register sources on start; the names and what they mean: docs/metrics.md, which a test holds to this.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import structlog
from django.conf import settings
from django.db import connection
from django.db.models import Count
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from ops import audit, config, desk, heartbeat, hooks, overview, ping, status
from ops.incidents import service as incidents
from ops.models import Mode

log = structlog.get_logger()
PREFIX = "cryptobot_"
Source = Callable[[], Iterable[Metric]]
_sources: dict[str, Source] = {}


def register(name: str, source: Source) -> None:
    """Add or replace a source of metric families. A source that fails is left out and counted as such."""
    _sources[name] = source


class _Everything(Collector):
    def collect(self) -> Iterator[Metric]:
        failed = gauge("scrape_failed", "1 when a source of metrics could not be read", ["source"])
        database_answers = ping.answers()
        for name, source in _sources.items():
            try:
                families = list(source()) if database_answers or name == "build" else _unread()
            except Exception as error:  # one source's fault is not the others'
                log.warning("metrics.source_failed", source=name, error=str(error))
                failed.add_metric([name], 1)
                continue
            failed.add_metric([name], 0)
            yield from families
        yield failed


def _unread() -> list[Metric]:
    raise ConnectionError("the database does not answer")


_registry = CollectorRegistry(auto_describe=False)
_registry.register(_Everything())


def exposition() -> bytes:
    """The Prometheus text format, version 0.0.4."""
    return generate_latest(_registry)


# --- for whoever has numbers -------------------------------------------------


def gauge(name: str, text: str, labels: Sequence[str] = ()) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, text, labels=labels)


def value(name: str, text: str, number: float) -> GaugeMetricFamily:
    """A gauge without labels."""
    return GaugeMetricFamily(PREFIX + name, text, value=number)


def counter(name: str, text: str, labels: Sequence[str] = ()) -> CounterMetricFamily:
    """Of rows that are never removed: it only grows. `name` without `_total`."""
    return CounterMetricFamily(PREFIX + name, text, labels=labels)


def histogram(
    name: str, text: str, *, rows: str, seconds: str, label: str, bounds: Sequence[float]
) -> HistogramMetricFamily:
    """Times from rows, as a histogram in seconds.

    Args:
        rows: SQL after FROM, with its WHERE; never anything from outside.
        seconds: SQL interval expression that is measured.
        label: `name=SQL expression` of the one label.
    """
    label_name, _, expression = label.partition("=")
    family = HistogramMetricFamily(PREFIX + name, text, labels=[label_name])
    for key, (counts, total) in _bucketed(rows, seconds, expression, bounds).items():
        running, buckets = 0, []
        for bound, count in zip([*map(str, bounds), "+Inf"], counts, strict=True):
            running += count
            buckets.append((bound, running))
        family.add_metric([key], buckets, total)
    return family


def _bucketed(
    rows: str, seconds: str, expression: str, bounds: Sequence[float]
) -> dict[str, tuple[list[int], float]]:
    """By label: rows per bucket (the last is +Inf; a bound belongs to its bucket) and the sum of seconds."""
    query = f"""
        SELECT label, bucket, count(*), sum(seconds) FROM (
            SELECT {expression} AS label, seconds,
                   (SELECT count(*) FROM unnest(%s::float8[]) AS bound WHERE bound < seconds) AS bucket
            FROM (SELECT *, extract(epoch FROM {seconds})::float8 AS seconds FROM {rows}) AS measured
        ) AS placed GROUP BY label, bucket
    """  # noqa: S608 (constants of ours)
    found: dict[str, tuple[list[int], float]] = {}
    with connection.cursor() as cursor:
        cursor.execute(query, [[float(bound) for bound in bounds]])
        for label, bucket, count, total in cursor.fetchall():
            counts, before = found.get(label, ([0] * (len(bounds) + 1), 0.0))
            counts[bucket] += count
            found[label] = (counts, before + total)
    return found


# --- the frame's own ---------------------------------------------------------

DECISION_BOUNDS = (1, 5, 15, 30, 60, 120, 300, 600, 900)


def register_all() -> None:
    """Called once, when the frame is ready."""
    register("build", _build)
    register("desk", _desk)
    register("controls", _controls)
    register("heartbeats", _heartbeats)
    register("components", _components)


def _build() -> Iterable[Metric]:
    info = InfoMetricFamily(PREFIX + "build", "What runs: build, profile, instance")
    about = {
        "build": hooks.build(),
        "profile": settings.ENV.exchange_profile,
        "instance": settings.INSTANCE,
    }
    info.add_metric([], about)
    return [info]


def _desk() -> Iterable[Metric]:
    state, term = desk.get_state(), hooks.fence()
    effective = overview.effective_mode(state, term)
    mode = gauge("mode", "1 for the effective mode of this instance", ["mode"])
    for name in Mode.values:
        mode.add_metric([name], float(name == effective))
    causes = gauge("hold_causes", "HOLD causes that are not closed, by state", ["state"])
    states = [c.state for c in desk.causes()]
    for name in ("open", "resolved"):
        causes.add_metric([name], states.count(name))
    return [
        mode,
        causes,
        value("safe_mode", "1 while executions are dry-run plans", float(state.safe_mode)),
        value("state_version", "Version of the desk's state", state.version),
        value("leader", "1 when this instance leads", float(term.leader)),
        value("fence", "Term under which this instance acts", term.fence),
    ]


def _controls() -> Iterable[Metric]:
    decided = histogram(
        "approval_decision_seconds",
        "From request to decision, by what became of it",
        rows="ops_approvalrequest WHERE decided_at IS NOT NULL",
        seconds="decided_at - created_at",
        label="state=state",
        bounds=DECISION_BOUNDS,
    )
    unclosed = gauge("incidents_open", "Incidents that are not closed, shelved ones left out", ["severity"])
    for severity, count in incidents.counts().items():
        unclosed.add_metric([severity], count)
    return [
        unclosed,
        value("incident_alarms_10m", "Alarms of the last ten minutes", incidents.raised_lately()),
        value("approvals_pending", "Requests that wait for a vote", overview.approvals_pending()),
        value("audit_head", "Sequence number of the last audit entry", audit.last_seq()),
        value("config_version", "Version of the configuration that runs", config.active().version),
        decided,
    ]


def _heartbeats() -> Iterable[Metric]:
    age = gauge("heartbeat_age_seconds", "Since a process gave a sign of life", ["instance", "role"])
    loop = gauge("loop_age_seconds", "Since its main loop came round, at that time", ["instance", "role"])
    for (instance, role), (row, since) in heartbeat.rows().items():
        age.add_metric([instance, role], max(since.total_seconds(), 0))
        if (silent := row.health.get("loop_age_sec")) is not None:
            loop.add_metric([instance, role], silent)
    return [age, loop]


def _components() -> Iterable[Metric]:
    """The shared snapshot: what a person sees at /api/ui/status/components."""
    snapshot = status.snapshot()
    score = gauge("component_score", "1 OK, 0.5 WARN, 0 anything else", ["component", "group"])
    age = gauge("component_source_age_seconds", "Age of what a component rests on", ["component"])
    for row in snapshot.rows:
        score.add_metric([row.id, row.group], row.status.score)
        if row.source_age_sec is not None:
            age.add_metric([row.id], row.source_age_sec + snapshot.age_sec)
    groups = gauge("group_score", "Mean score of a group of components", ["group"])
    for group, mean in overview.scores(snapshot.rows).items():
        if mean is not None:
            groups.add_metric([group], mean)
    return [score, age, groups, *_queue(snapshot)]


def _queue(snapshot: status.Snapshot) -> Iterable[Metric]:
    row = snapshot.find("execution_queue")
    if row is None or "depth" not in row.metrics:
        return []
    depth = gauge("queue_depth", "Nudges that wait in a queue", ["queue"])
    depth.add_metric(["execution"], row.metrics["depth"])
    return [depth]


def count_by(rows: Any, *columns: str) -> list[tuple[Any, ...]]:
    """`(column values..., count)` per group of a queryset, whatever its default order."""
    return list(rows.order_by().values_list(*columns).annotate(n=Count("pk")))


def age_of(moment: datetime) -> float:
    """Seconds since `moment`, never negative."""
    return max((timezone.now() - moment).total_seconds(), 0.0)
