"""What an instance has still to do before its term may end. Trading says; leadership does not know orders."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Work:
    """sending: orders claimed, with no word yet. unknown: orders of which nobody knows. unsettled: executions
    that stand on one leg or are under way. drain_sec: until what was sent last can be accepted no more."""

    sending: int = 0
    unknown: int = 0
    unsettled: int = 0
    drain_sec: float = 0.0

    @property
    def drained(self) -> bool:
        """Nothing of this term can reach a venue any more."""
        return not self.sending and self.drain_sec <= 0

    @property
    def done(self) -> bool:
        return self.drained and not self.unknown and not self.unsettled

    def __str__(self) -> str:
        parts = [
            f"{count} {name}"
            for name in ("sending", "unknown", "unsettled")
            if (count := getattr(self, name))
        ]
        if self.drain_sec > 0:
            parts.append(f"the last order may be accepted for another {self.drain_sec:.1f} s")
        return ", ".join(parts) or "nothing open"


_work: Callable[[], Work] = Work
_window_sec: Callable[[], float] = float
_offset_sec: Callable[[], float] = float


def provide(
    work: Callable[[], Work], window_sec: Callable[[], float], offset_sec: Callable[[], float]
) -> None:
    """window_sec: the longest time after signing in which a venue of ours still takes an order. offset_sec:
    how far a venue's clock may be from ours."""
    global _work, _window_sec, _offset_sec
    _work, _window_sec, _offset_sec = work, window_sec, offset_sec


def work() -> Work:
    return _work()


def window_sec() -> float:
    return _window_sec()


def offset_sec() -> float:
    return _offset_sec()
