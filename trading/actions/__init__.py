"""The desk's trading verbs; importing this registers them."""

from trading.actions import close, envelope, execute, flatten, rescue, transfer

__all__ = ["close", "envelope", "execute", "flatten", "rescue", "transfer"]
