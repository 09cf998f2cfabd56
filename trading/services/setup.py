"""Bringing a venue's account to its configured state. The venue's own word about it is `GET deriv/status`.

A worker does it after the action has committed; a lost nudge leaves the account as it was, preflight says so,
and the action is asked for again.
"""

from django.db import transaction

from ops import audit
from trading import desk_config
from trading.venues import get_hub
from trading.venues.interface import VenueError

TIMEOUT_SEC = 30.0


def set_up(venue: str) -> list[str]:
    """Position mode first, then leverage per instrument, as many as will go. Returns, and writes down, what
    the venue refused; empty: all is as configured."""
    hub, config = get_hub(), desk_config.active().trading
    there, leverage = hub.venue(venue), config.venues[venue].leverage  # type: ignore[index]
    symbols = [pair.symbol for pair in config.pairs if venue in pair.venues]
    steps = ["one-way mode", *(f"leverage {leverage} on {symbol}" for symbol in symbols)]
    answers = hub.gather(there.set_position_mode(one_way=True), timeout=TIMEOUT_SEC)
    answers += hub.gather(*(there.set_leverage(s, leverage) for s in symbols), timeout=TIMEOUT_SEC)
    refused = [
        f"{step}: {answer.code} {answer.detail}"
        for step, answer in zip(steps, answers, strict=True)
        if isinstance(answer, VenueError)
    ]
    with transaction.atomic(durable=True):
        audit.append_system(
            action="trading.setup_venue",
            target=venue,
            verdict="refused" if refused else "done",
            after={"wanted": config.setup_of(venue), "refused": refused},
        )
    return refused
