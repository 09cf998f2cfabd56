"""States of one order intent, and the only moves between them.

Ambiguous is UNKNOWN, not failed: an order leaves UNKNOWN only by what the venue says of it (spec 4.6.3).
The table is also the database's: a trigger refuses every move that is not in it.
"""

from enum import StrEnum

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
CLIENT_ORDER_ID_MAX = 32


class OrderState(StrEnum):
    INTENT_WRITTEN = "INTENT_WRITTEN"
    SENDING = "SENDING"
    ACKED = "ACKED"
    PARTIAL = "PARTIAL"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED_DEFINITE = "REJECTED_DEFINITE"
    DISCARDED = "DISCARDED"
    UNKNOWN = "UNKNOWN"
    RESOLVED_ABSENT = "RESOLVED_ABSENT"

    @property
    def terminal(self) -> bool:
        return self in TERMINAL

    @property
    def at_venue(self) -> bool:
        """The order may rest or fill there right now."""
        return self in AT_VENUE


S = OrderState
TERMINAL = frozenset({S.FILLED, S.CANCELED, S.REJECTED_DEFINITE, S.DISCARDED, S.RESOLVED_ABSENT})
AT_VENUE = frozenset({S.SENDING, S.ACKED, S.PARTIAL, S.UNKNOWN})
_SEEN = frozenset({S.ACKED, S.PARTIAL, S.FILLED, S.CANCELED})

LEGAL: dict[OrderState, frozenset[OrderState]] = {
    S.INTENT_WRITTEN: frozenset({S.SENDING, S.DISCARDED}),
    S.SENDING: _SEEN | {S.REJECTED_DEFINITE, S.UNKNOWN},
    # An UNKNOWN order may still be refused: the late answer of the very call that timed out says so.
    S.UNKNOWN: _SEEN | {S.REJECTED_DEFINITE, S.RESOLVED_ABSENT},
    S.ACKED: frozenset({S.PARTIAL, S.FILLED, S.CANCELED, S.REJECTED_DEFINITE}),
    S.PARTIAL: frozenset({S.FILLED, S.CANCELED}),
} | {state: frozenset() for state in TERMINAL}


def may_move(before: OrderState, after: OrderState) -> bool:
    return after in LEGAL[before]


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = ALPHABET[rest] + digits
    return digits or "0"


def client_order_id(*, prefix: str, execution: int, leg: int, attempt: int) -> str:
    """The same (execution, leg, attempt) always gives the same id: a crash cannot invent a second one.

    `execution` is the 128-bit integer of its UUID. Lower-case letters and digits only, at most 32: the one
    alphabet that Binance, OKX and Bybit all accept.
    """
    code = f"{prefix}{_base36(execution).rjust(25, '0')}{leg}{_base36(attempt).rjust(2, '0')}"
    if len(code) > CLIENT_ORDER_ID_MAX or not all(c in ALPHABET for c in code):
        raise ValueError(f"client order id {code!r}: accepted: at most 32 of [0-9a-z]")
    return code
