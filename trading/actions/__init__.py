"""The desk's trading verbs; importing this registers them."""

from trading.actions import close, execute, flatten

__all__ = ["close", "execute", "flatten"]
