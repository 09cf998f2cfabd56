"""The venue's own switch that cancels what rests when we are gone (spec 4.1): armed before an order that may
rest leaves, told again while it rests, off afterwards.

A venue without one gets no resting orders. Orders that take and end at once need none.
"""

import time
from dataclasses import dataclass, field

import structlog
from django.db import connection
from django.db.models import Q, QuerySet

from ops import desk
from trading import desk_config
from trading.domain.order_state import TERMINAL
from trading.models import OrderIntent
from trading.venues import get_hub
from trading.venues.errors import not_sent
from trading.venues.interface import DeadManScope, NewOrder, Venue, VenueError

log = structlog.get_logger()
#: Told again so many times within its time-out.
REFRESHES = 4


async def arm_for(venue: Venue, order: NewOrder, timeout_sec: int) -> None:
    """Before a resting order leaves. Raises VenueError REJECTED `not_sent`: then it must not leave."""
    if order.rests:
        try:
            await venue.arm_dead_man(_key(venue, order.symbol), timeout_sec=timeout_sec)
        except VenueError as refused:
            raise not_sent(venue.name, f"no dead-man switch, so nothing may rest: {refused}") from refused


def _key(venue: Venue, symbol: str) -> str:
    return "" if venue.dead_man.scope is DeadManScope.ACCOUNT else symbol


def resting() -> "QuerySet[OrderIntent]":
    rests = Q(post_only=True) | Q(time_in_force="GTC")
    sent = OrderIntent.objects.filter(rests, sent_at__isnull=False, leg__execution__dry_run=False)
    return sent.exclude(state__in=sorted(TERMINAL))


@dataclass
class Keeper:
    """Of one process: tells the venues again, and off when nothing rests any more."""

    told: dict[tuple[str, str], float] = field(default_factory=dict)  # monotonic time

    def keep_quietly(self) -> None:
        """`keep` for a loop: what goes wrong is logged, and the next look tries again."""
        try:
            self.keep()
        except Exception as error:  # one look must not end the loop
            log.warning("dead_man.look_lost", error=str(error))
        finally:
            connection.close()

    def keep(self) -> None:
        """One look. A venue that cannot be told is held: its switch will fire, and nothing more may rest."""
        hub, config, now = get_hub(), desk_config.active().trading, time.monotonic()
        wanted = {
            (name, _key(hub.venue(name), symbol)): config.dead_man_sec(name)
            for name, symbol in resting().values_list("venue", "symbol").distinct()
        }
        for (name, key), seconds in wanted.items():
            if now - self.told.get((name, key), float("-inf")) >= seconds / REFRESHES:
                self._tell(name, key, seconds)
        for name, key in self.told.keys() - wanted.keys():
            self._tell(name, key, 0)

    def _tell(self, name: str, key: str, seconds: int) -> None:
        hub = get_hub()
        try:
            hub.call(hub.venue(name).arm_dead_man(key, timeout_sec=seconds))
        except VenueError as refused:
            log.warning("dead_man.lost", venue=name, code=refused.code)
            if seconds:
                reason = f"{name} cannot be told that we are alive: {refused.code}"
                desk.raise_hold(source=f"dead_man.lost:{name}", reason=reason, scope=("venue", name))
            return
        if seconds:
            self.told[name, key] = time.monotonic()
            desk.resolve_cause(f"dead_man.lost:{name}", why="told again")
        else:
            del self.told[name, key]
