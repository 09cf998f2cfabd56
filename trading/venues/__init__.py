"""Venues: `interface` is what the house asks of one, `get_hub()` where a process gets its clients."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trading.venues.hub import VenueHub


@cache
def get_hub() -> VenueHub:
    """This process's hub, for the settings' profile and DATA_DIR. ccxt is imported at the first venue."""
    from django.conf import settings

    from trading.venues.endpoints import load_endpoints
    from trading.venues.hub import VenueHub

    environment = settings.ENV
    return VenueHub(lambda: load_endpoints(environment.exchange_profile, environment.paper_dir, os.environ))
