"""What this frame asks of rooms it may not import. Each has one provider, registered on start."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Term:
    """Leadership as this instance sees it. fencing_id: null unless this instance leads."""

    leader: bool
    fence: int
    fencing_id: str | None


_fence: Callable[[], Term] | None = None


def provide_fence(provider: Callable[[], Term]) -> None:
    global _fence
    _fence = provider


def fence() -> Term:
    """The term under which this instance acts. Nobody to ask: not the leader."""
    return _fence() if _fence else Term(leader=False, fence=0, fencing_id=None)
