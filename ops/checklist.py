"""What must be green before the desk may leave HOLD. The operator sees the same lines as the server judges.

Apps add their lines on start. A line may need the outside world: that part runs in `prepare`, before any
lock.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from ops import audit, desk, digests
from ops.incidents import service as incidents
from ops.models import HoldCause

#: (ok, detail)
Line = tuple[bool, str]


@dataclass(frozen=True, slots=True)
class Item:
    """look: reads the outside world, no locks held. judge: rows and what `look` brought, under lock."""

    name: str
    title: str
    judge: Callable[[Any], Line]
    look: Callable[[], Any] | None = None
    link: str = ""


@dataclass(frozen=True, slots=True)
class Unseen:
    """Nobody could look: red, never a guess."""

    why: str


_items: dict[str, Item] = {}
log = structlog.get_logger()


def register(item: Item) -> None:
    _items[item.name] = item


def prepare() -> dict[str, Any]:
    """What the outside-looking lines saw, by name. A failure is what they saw, not an exception."""
    return {item.name: _look(item.look) for item in _items.values() if item.look is not None}


def _look(look: Callable[[], Any]) -> Any:
    try:
        return look()
    except Exception as failure:  # at the edge: whatever went wrong, this line is red and the others count
        log.exception("checklist.look_failed")
        return Unseen(f"{type(failure).__name__}: {failure}")


def evaluate(seen: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Every line: `{"name", "title", "ok", "detail", "link"}`."""
    lines = []
    for item in _items.values():
        ok, detail = _judge(item, seen or {})
        lines.append({"name": item.name, "title": item.title, "ok": ok, "detail": detail, "link": item.link})
    return lines


def _judge(item: Item, seen: dict[str, Any]) -> Line:
    if item.look is None:
        return item.judge(None)
    saw = seen.get(item.name, Unseen("nobody looked"))
    return (False, saw.why) if isinstance(saw, Unseen) else item.judge(saw)


def _no_open_cause(_: Any) -> Line:
    """A person's own HOLD does not count: the resume request, with its reason, is that person's word."""
    open_ones = [c for c in desk.causes() if c.state == HoldCause.State.OPEN and not c.manual]
    return not open_ones, "; ".join(f"{c.source}: {c.reason}" for c in open_ones) or "none open"


def _verify_chain() -> audit.Verification:
    return digests.verify_everything()


def _chain_holds(found: audit.Verification) -> Line:
    return found.ok, found.problem or f"{found.entries} entries hold"


def _root_causes(_: Any) -> Line:
    missing = [f"{row.code} {row.source}: {row.summary[:120]}" for row in incidents.without_root_cause()]
    return not missing, "; ".join(missing) or "none is missing"


register(Item("hold_causes", "No cause is still open", _no_open_cause, link="/admin/ops/holdcause/"))
register(
    Item(
        "audit_chain",
        "The audit chain holds",
        _chain_holds,
        look=_verify_chain,
        link="/admin/ops/auditentry/",
    )
)
register(
    Item(
        "root_causes",
        "No P0 incident without acknowledged root cause",
        _root_causes,
        link="/admin/ops/incident/",
    )
)
