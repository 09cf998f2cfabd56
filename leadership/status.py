"""Who leads, read from the lease row."""

from django.conf import settings

from leadership import services
from ops import status
from ops.status import Component, Reading, Status


def register() -> None:
    status.register(Component("leader", "Leadership", "P0", _leader))


def _leader() -> Reading:
    term = services.current()
    metrics = {"leader": term.leader, "fence": term.fence, "fencing_id": term.fencing_id}
    if not term.leader:
        return Reading(Status.WARN, "standby: another instance leads, or none", metrics)
    lock = "" if settings.ENV.feature_leader_lock else "; the lock is off: one instance only"
    return Reading(Status.OK, f"leads as {term.fencing_id}{lock}", metrics)
