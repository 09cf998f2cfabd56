"""Who leads, read from the lease row."""

from django.conf import settings

from leadership import services
from ops import status
from ops.status import Component, Reading, Status

#: A keeper renews each second: later than this it hangs, or the database does.
SLOW_SEC = 3.0


def register() -> None:
    status.register(Component("leader", "Leadership", "P0", _leader))


def _leader() -> Reading:
    found = services.standing()
    seen = found.seen
    age = round(seen.hb_age_sec, 3) if seen.hb_seq else None
    metrics = {"leader": found.leads, "fence": seen.fence, "fencing_id": seen.fencing_id, "hb_age_sec": age}
    if not seen.live:
        return Reading(Status.ERROR, "nobody leads: nothing opens anywhere", metrics)
    if found.leads and seen.draining:
        return Reading(Status.WARN, "gives its lease away", metrics)
    if seen.hb_seq and seen.hb_age_sec > SLOW_SEC:
        summary = f"the keeper of {seen.owner} was heard {seen.hb_age_sec:.0f} s ago"
        return Reading(Status.ERROR if found.leads else Status.WARN, summary, metrics)
    if not found.leads:
        return Reading(Status.WARN, f"standby: {seen.owner} leads as {seen.fencing_id}", metrics)
    lock = "" if settings.ENV.feature_leader_lock else "; the lock is off: one instance only"
    return Reading(Status.OK, f"leads as {seen.fencing_id}{lock}", metrics)
