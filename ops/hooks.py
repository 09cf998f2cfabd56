"""What this frame asks of rooms it may not import. Each has one provider, registered on start."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Term:
    """Leadership as this instance sees it. fencing_id: null unless this instance leads."""

    leader: bool
    fence: int
    fencing_id: str | None


_fence: Callable[[], Term] | None = None
_hold_term: Callable[[], Term] | None = None


def provide_fence(provider: Callable[[], Term], hold: Callable[[], Term]) -> None:
    global _fence, _hold_term
    _fence, _hold_term = provider, hold


def fence() -> Term:
    """The term under which this instance acts. Nobody to ask: not the leader."""
    return _fence() if _fence else Term(leader=False, fence=0, fencing_id=None)


def hold_term() -> Term:
    """The same inside a transaction: until it ends no other term begins. `leader` only where this instance
    may open: not while it gives its lease away."""
    return _hold_term() if _hold_term else Term(leader=False, fence=0, fencing_id=None)


_facts: dict[str, Callable[[], Any]] = {}


def provide_fact(name: str, provider: Callable[[], Any]) -> None:
    """A JSON-able answer to a question that the status faces ask: `open_counts`, `unresolved_orders`,
    `risk_snapshot`, `venues`. Asked once per status snapshot."""
    _facts[name] = provider


def facts() -> dict[str, Any]:
    """Every fact by name. One that cannot be had is None: unknown, never zero."""
    return {name: fact(name) for name in _facts}


def fact(name: str) -> Any:
    """One fact; None as well when no room provides it."""
    try:
        return _facts[name]() if name in _facts else None
    except Exception as error:  # a fact that cannot be had is unknown
        log.warning("status.fact_unknown", fact=name, error=str(error))
        return None


_build: Callable[[], str] | None = None


def provide_build(provider: Callable[[], str]) -> None:
    global _build
    _build = provider


def build() -> str:
    """The id of the code that runs in this process."""
    return _build() if _build else ""
