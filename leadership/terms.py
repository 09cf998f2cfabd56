"""What follows from a change of leader, once per term: HOLD, voided approvals, audit entry, incident."""

import structlog
from django.db.models.functions import Now
from django.utils import timezone

from leadership.models import Term
from ops import audit, desk
from ops.incidents.service import alarm

log = structlog.get_logger()
#: Source of the HOLD cause that each change of leader raises.
CHANGED = "leader.changed"


def record(fence: int) -> bool:
    """Idempotent: a keeper that died after it took the lease writes this down when it is started again.
    Returns whether this call was the one that did."""
    with audit.recorded():
        state = desk.lock()
        term = Term.objects.select_for_update().get(pk=fence)
        if term.recorded_at is not None:
            return False
        before = Term.objects.filter(pk__lt=fence).first()
        what = f"{term.owner} ({term.host}) leads as {term.fence}-{term.nonce}: {_how(term, before)}"
        desk.add_cause(state, source=CHANGED, reason=what, resolved=True)
        desk.void_approvals(f"term {fence} has begun")  # also those that a mere start leaves as they are
        raised = alarm(
            "leader.changed", CHANGED, what, {"fence": fence, "owner": term.owner, "how": term.how}
        )
        audit.append_system(
            action="leadership.begin_term",
            target=f"term:{fence}",
            verdict="executed",
            reason=what,
            before=_of(before) if before else None,
            after=_of(term),
            correlation_id=str(raised.pk) if raised else "",
        )
        Term.objects.filter(pk=fence).update(recorded_at=Now())
    log.warning("leader.changed", fence=fence, owner=term.owner, how=term.how)
    return True


def settled(fence: int, found: dict[str, object]) -> None:
    """What older terms left at the venues is settled (`trading.takeover`)."""
    with audit.recorded():
        if Term.objects.filter(pk=fence, settled_at=None).update(settled_at=timezone.now()):
            audit.append_system(
                action="leadership.settle_term", target=f"term:{fence}", verdict="executed", after=found
            )


def _how(term: Term, before: Term | None) -> str:
    match term.how, before:
        case "stale", Term(last_hb_at=at) if at:
            return f"the holder was silent for {(term.began_at - at).total_seconds():.1f} s"
        case "forced", _:
            return "two people took it"
        case "alone", _:
            return "the lock is off"
    return "the lease was free"


def _of(term: Term) -> dict[str, object]:
    return {"fence": term.fence, "owner": term.owner, "host": term.host, "how": term.how}
