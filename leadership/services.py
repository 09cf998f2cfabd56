"""Who leads, as any process of this instance may ask; and what the start of a desk does about it."""

import threading
from dataclasses import dataclass

import structlog
from django.conf import settings
from django.db import connection

from leadership import store
from leadership.clock import boottime
from leadership.domain.lease import Seen
from ops.hooks import Term

log = structlog.get_logger()
#: What a deadline is early by: for the time between our last look at the clock and the first byte, and for
#: clocks that do not run alike.
MARGIN_SEC = 0.5


class NotOursError(Exception):
    """The start of a desk is refused: another instance leads in a way that does not go with ours."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How this instance stands to the lease, read at `boottime` or later.

    leads: it holds the live lease. opens: and does not give it away. on_duty: it leads, or nobody does: then
    any instance may cancel and reduce. deadline: seconds of CLOCK_BOOTTIME after which nothing of this term
    may leave; None: there is none, the lock is off or nobody holds.
    """

    seen: Seen
    asked_at: float
    leads: bool
    deadline: float | None

    @property
    def opens(self) -> bool:
        return self.leads and not self.seen.draining

    @property
    def on_duty(self) -> bool:
        return self.leads or not self.seen.live

    @property
    def fence(self) -> int:
        return self.seen.fence

    def term(self, *, leader: bool) -> Term:
        return Term(leader=leader, fence=self.fence, fencing_id=self.seen.fencing_id if leader else None)


class _Last:
    """What this process knew last, for when the database does not answer."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.standing: Standing | None = None


_last = _Last()


def standing(*, hold: bool = False) -> Standing:
    """hold: inside a transaction; until it ends no other term begins."""
    asked_at = boottime()
    with connection.cursor() as cursor:
        seen = store.read(cursor, hold=hold)
    leads = seen.live and seen.owner == settings.INSTANCE
    deadline = asked_at + seen.left_sec - MARGIN_SEC if leads and seen.left_sec is not None else None
    found = Standing(seen, asked_at, leads, deadline)
    with _last.lock:
        _last.standing = found
    return found


def last_known() -> Standing | None:
    """Without asking the database; None when this process has never asked."""
    with _last.lock:
        return _last.standing


def current() -> Term:
    """A term that is being given away is still led; it only opens nothing any more."""
    found = standing()
    return found.term(leader=found.leads)


def hold_term() -> Term:
    found = standing(hold=True)
    return found.term(leader=found.opens)


def on_duty() -> bool:
    """Whether loops that watch, settle and cancel are this instance's now: the leader's, or anybody's while
    there is none. Not knowing is no duty: without the database there is nothing to go by."""
    return standing().on_duty


def host() -> str:
    """Where people find this instance."""
    return f"{settings.ENV.host}:{settings.ENV.port}"


def leads_alone() -> bool:
    return not settings.ENV.feature_leader_lock


def join() -> None:
    """A step of the start. With the lock off this instance becomes the one holder; with the lock on, what was
    held without one becomes free, and the keepers decide.

    Raises:
        NotOursError: another instance is alive and leads, and one of the two has no lock.
    """
    with connection.cursor() as cursor:
        seen = store.read(cursor)
        theirs = seen.live and seen.owner not in ("", settings.INSTANCE)
        heard = seen.hb_seq and seen.hb_age_sec <= settings.ENV.stale_sec
        if theirs and heard and (leads_alone() or seen.left_sec is None):
            raise NotOursError(
                f"instance {seen.owner} leads this database and was heard {seen.hb_age_sec:.0f} s ago: "
                "stop it, or start both with FEATURE_LEADER_LOCK=1; a lock that one of them ignores is none"
            )
        if not leads_alone():
            if seen.left_sec is None and seen.live:
                store.unlock(cursor, seen)
        elif not (seen.live and seen.left_sec is None and seen.owner == settings.INSTANCE):
            store.begin_term(cursor, seen, me=settings.INSTANCE, host=host(), how="alone", ttl_sec=None)


def somebody_else_leads() -> bool:
    found = standing()
    return found.seen.live and not found.leads
