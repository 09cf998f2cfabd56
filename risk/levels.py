"""The levels that limits are set at, as texts, and the caps' names: what is accepted, and who says so."""

from ops.actions.base import Refusal
from risk.domain.gate import CAPS

#: Kind of level → how many keys follow it.
KINDS = {"venue": 1, "instrument": 2, "strategy": 1, "operator": 1}


def require(level: str) -> None:
    """Raises Refusal `level.unknown`, naming what is accepted."""
    if level == "desk":
        return
    kind, *keys = level.split(":", 2 if level.startswith("instrument:") else 1)
    if kind not in KINDS or len(keys) != KINDS[kind] or not all(keys):
        accepted = "desk, venue:<name>, instrument:<venue>:<symbol>, strategy:<name>, operator:<username>"
        raise Refusal("level.unknown", f"level {level!r}; accepted: {accepted}", status=422)


def require_cap(name: str) -> None:
    """Raises Refusal `cap.unknown`, naming what is accepted."""
    if name not in CAPS:
        raise Refusal("cap.unknown", f"cap {name!r}; accepted: {', '.join(CAPS)}", status=422)
