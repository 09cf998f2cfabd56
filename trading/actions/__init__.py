"""The desk's trading verbs; importing this registers them."""

from trading.actions import (
    accept_break,
    close,
    envelope,
    execute,
    flatten,
    kill,
    rescue,
    setup_venue,
    transfer,
)

__all__ = [
    "accept_break",
    "close",
    "envelope",
    "execute",
    "flatten",
    "kill",
    "rescue",
    "setup_venue",
    "transfer",
]
