"""When to start a child again. Pure: the caller passes the time, performs what is returned."""

from dataclasses import dataclass

FIRST_DELAY_SEC = 0.5
LONGEST_DELAY_SEC = 30.0
STABLE_SEC = 20.0


@dataclass(frozen=True)
class History:
    """`failures` counts the ends since the child last stayed up for STABLE_SEC; `restarts` counts all."""

    failures: int = 0
    restarts: int = 0


@dataclass(frozen=True)
class Restart:
    history: History
    delay_sec: float


def after_exit(history: History, *, uptime_sec: float) -> Restart:
    """The child ended by itself, after `uptime_sec`: how long to wait, and what to remember.

    The delay doubles from FIRST_DELAY_SEC to LONGEST_DELAY_SEC; a stable time earns a fresh start.
    """
    failures = 0 if uptime_sec >= STABLE_SEC else history.failures
    delay = min(LONGEST_DELAY_SEC, FIRST_DELAY_SEC * 2.0 ** min(failures, 16))
    return Restart(History(failures=failures + 1, restarts=history.restarts + 1), delay)
