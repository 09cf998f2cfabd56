"""What leadership adds to the status faces and to the resume checklist."""

from typing import Any

from django.conf import settings
from django.db.models import DurationField, ExpressionWrapper
from django.db.models.functions import Coalesce, Now

from leadership import services
from leadership.clock import boottime
from leadership.models import Term
from ops import checklist, heartbeat

KEEPER = "leader-keeper"


def lease_facts() -> dict[str, Any]:
    """hb_age_sec: since this instance's own last heartbeat as leader, or since its keeper began when it never
    led. leader_hb_age_sec: the holder's; a steal waits for that one."""
    found = services.standing()
    seen = found.seen
    leader_age = round(seen.hb_age_sec, 3) if seen.hb_seq else None
    return {
        "hb_age_sec": leader_age if found.leads else _own_age(),
        "leader_hb_age_sec": leader_age if seen.state == "HELD" else None,
        "holder": seen.owner if seen.live else None,
        "host": seen.host if seen.live else None,
        "lease": seen.state.value,
        "draining": seen.draining,
        "ttl_sec": settings.ENV.leader_lock_ttl_sec,
        "stale_sec": settings.ENV.stale_sec,
    }


def _own_age() -> float | None:
    age = ExpressionWrapper(Now() - Coalesce("last_hb_at", "began_at"), output_field=DurationField())
    mine = Term.objects.filter(owner=settings.INSTANCE).annotate(age=age).first()
    if mine is not None:
        return round(float(mine.age.total_seconds()), 3)
    rows = heartbeat.rows(settings.INSTANCE)
    row = rows.get((settings.INSTANCE, KEEPER))
    if row is None:
        return None
    started, age_of_row = row[0].started_at, row[1]
    return round((row[0].at - started + age_of_row).total_seconds(), 3)


def deadline_facts() -> dict[str, Any]:
    """Of what this process knew last; asks no database. self_fenced: it led, and may not any more."""
    known = services.last_known()
    if known is None or known.deadline is None:
        return {"self_fenced": False, "seconds_to_deadline": None}
    left = known.deadline - boottime()
    return {"self_fenced": left <= 0, "seconds_to_deadline": round(max(left, 0.0), 3)}


def _term_settled(_: Any) -> checklist.Line:
    found = services.standing()
    if not found.opens:
        return False, "this instance does not lead" if not found.leads else "the lease is being given away"
    term = Term.objects.filter(pk=found.fence).first()
    if term is None or term.settled_at is not None:
        return True, f"term {found.fence} is settled"
    return False, f"term {found.fence}: what older terms left at the venues is not settled yet"


ITEMS = (
    checklist.Item(
        "leader", "This instance leads, and older terms are settled", _term_settled, link="/live-readiness"
    ),
)
