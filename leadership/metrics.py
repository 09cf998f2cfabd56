"""Leadership's metrics, from the lease and the history of its terms."""

from collections.abc import Iterable

from prometheus_client.core import Metric

from leadership import readiness
from leadership.models import Term
from ops import metrics
from ops.metrics import count_by, counter, value


def register() -> None:
    """Called once, when the app is ready."""
    metrics.register("leadership", _leadership)


def _leadership() -> Iterable[Metric]:
    facts = readiness.lease_facts()
    changes = counter("leader_changes", "Terms begun, by how", ["how"])
    for how, count in count_by(Term.objects, "how"):
        changes.add_metric([how], count)
    return [
        changes,
        value(
            "leader_hb_age_seconds", "Age of the holder's last heartbeat", facts["leader_hb_age_sec"] or 0.0
        ),
        value(
            "hb_age_seconds",
            "Age of this instance's own last heartbeat as leader",
            facts["hb_age_sec"] or 0.0,
        ),
    ]
