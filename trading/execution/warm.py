"""Connecting before anything is claimed.

The first use of a venue in a process imports ccxt and loads the markets: about a second, in which an order
already claimed would come too late to be sent (`visit.last_look`), and both legs would be held back.
"""

from collections.abc import Iterable

from trading import desk_config
from trading.venues import get_hub
from trading.venues.hub import FactKey

DAY_MS = 86_400_000


def warm(venues: Iterable[str]) -> None:
    """Clients connected and instruments loaded; free when they are. A venue that is silent now is asked again
    by whoever visits it."""
    get_hub().facts([FactKey("instruments", venue) for venue in venues], max_age_ms=DAY_MS)


def warm_all() -> None:
    """At a worker's start, so that its first execution does not wait for it either."""
    warm(desk_config.active().trading.venues)
