"""What a new leader does about what older terms left at the venues (spec 5).

The resolver, the rescues and the dead-man switches are what they always are; this only sees to it that they
begin at once and that nobody resumes before they are done. Each step may be done twice: a leader that dies
here is followed by one that begins again.
"""

from datetime import timedelta

import structlog
from django.db import connection
from django.db.models import Max, QuerySet
from django.utils import timezone

from leadership import services as leadership
from leadership import terms
from leadership.handover import Work
from leadership.models import Term
from trading import desk_config
from trading.domain.execution_state import ACTIVE, ExecutionState
from trading.domain.order_state import TERMINAL, OrderState
from trading.execution.nudge import wake
from trading.models import Execution, OrderIntent
from trading.reconciliation import service as reconciliation
from trading.venues import get_hub
from trading.venues.cancel import cancel_ours
from trading.venues.interface import VenueError

log = structlog.get_logger()
TIMEOUT_SEC = 30.0


def settle_quietly() -> None:
    """`settle` for a loop: what goes wrong is logged, and the next look tries again."""
    try:
        settle()
    except Exception as error:  # one look must not end the loop
        log.exception("takeover.look_lost", error=str(error))
    finally:
        connection.close()


def settle() -> bool:
    """One try, by the leader whose term is not settled. Returns whether it is now."""
    standing = leadership.standing()
    if not standing.leads or not Term.objects.filter(pk=standing.fence, settled_at=None).exists():
        return False
    cancelled, failures = _cancel()
    older = left_by_older_terms(standing.fence)
    wake(Execution.objects.filter(legs__orders__in=older))
    failures += [f"{venue}: {why}" for venue, why in reconciliation.run().items()]
    if left := older.count():
        failures.append(f"{left} orders of older terms are not settled")
    if failures:
        log.warning("takeover.not_settled", fence=standing.fence, why=failures[:6])
        return False
    terms.settled(standing.fence, {"cancelled": cancelled})
    return True


def left_by_older_terms(fence: int) -> "QuerySet[OrderIntent]":
    """Sent under a term before `fence`, and not known to be over."""
    sent = OrderIntent.objects.filter(fence__lt=fence, sent_at__isnull=False, leg__execution__dry_run=False)
    return sent.exclude(state__in=sorted(TERMINAL))


def _cancel() -> tuple[dict[str, int], list[str]]:
    """Our orders off the books of every enabled venue: (how many by venue, what failed)."""
    hub, config = get_hub(), desk_config.active().trading
    venues = [str(name) for name, venue in config.venues.items() if venue.enabled]
    prefix = config.execution.order_prefix
    answers = hub.gather(*(cancel_ours(hub.venue(name), prefix) for name in venues), timeout=TIMEOUT_SEC)
    taken: dict[str, int] = {}
    failures: list[str] = []
    for name, answer in zip(venues, answers, strict=True):
        done, failed = ((), (answer,)) if isinstance(answer, VenueError) else answer
        taken[name] = len(done)
        failures += [f"{name}: {error.code}: {error.detail}"[:200] for error in failed]
    return taken, failures


# --- giving it away ----------------------------------------------------------------------


def work() -> Work:
    """What this instance has still to do before its term may end."""
    orders = OrderIntent.objects.filter(leg__execution__dry_run=False)
    under_way = ACTIVE - {ExecutionState.QUARANTINED}
    return Work(
        sending=orders.filter(state=OrderState.SENDING).count(),
        unknown=orders.filter(state=OrderState.UNKNOWN).count(),
        unsettled=Execution.objects.filter(state__in=sorted(under_way), dry_run=False).count(),
        drain_sec=_drain_sec(orders),
    )


def _drain_sec(orders: "QuerySet[OrderIntent]") -> float:
    """Until no venue can accept any more what was sent last, its clock being as far off as it may be."""
    config = desk_config.active().trading
    last = orders.order_by().values_list("venue").annotate(at=Max("sent_at"))
    offset = timedelta(seconds=offset_sec())
    ends = [at + config.acceptance_window(venue) + offset for venue, at in last if at is not None]
    return max(((end - timezone.now()).total_seconds() for end in ends), default=0.0)


def window_sec() -> float:
    """The longest acceptance window of the enabled venues."""
    venues = desk_config.active().trading.venues.values()
    return max((venue.acceptance_window_ms for venue in venues if venue.enabled), default=0) / 1000


def offset_sec() -> float:
    """How far a venue's clock may be from ours before nothing opens there."""
    return desk_config.active().trading.preflight.max_clock_skew_ms / 1000
