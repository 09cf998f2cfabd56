"""Rows for the configured venues: what object permissions are given on."""

from trading import desk_config
from trading.models import Venue


def sync_venues() -> None:
    """Idempotent; a venue that left the config stays as a disabled row, since history names it."""
    configured = desk_config.active().trading.venues
    Venue.objects.exclude(name__in=configured).update(enabled=False)
    for name, venue in configured.items():
        Venue.objects.update_or_create(name=name, defaults={"enabled": venue.enabled})
