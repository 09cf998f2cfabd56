"""What must be green before the desk may leave HOLD. The operator sees the same lines as the server judges.

Apps add their lines on start. A line may need the outside world: that part runs in `prepare`, before any
lock.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ops import audit, desk
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


_items: dict[str, Item] = {}


def register(item: Item) -> None:
    _items[item.name] = item


def prepare() -> dict[str, Any]:
    """What the outside-looking lines saw, by name. A failure is what they saw, not an exception."""
    seen: dict[str, Any] = {}
    for item in _items.values():
        if item.look is not None:
            seen[item.name] = item.look()
    return seen


def evaluate(seen: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Every line: `{"name", "title", "ok", "detail", "link"}`."""
    lines = []
    for item in _items.values():
        ok, detail = item.judge((seen or {}).get(item.name))
        lines.append({"name": item.name, "title": item.title, "ok": ok, "detail": detail, "link": item.link})
    return lines


def _no_open_cause(_: Any) -> Line:
    """A person's own HOLD does not count: the resume request, with its reason, is that person's word."""
    open_ones = [c for c in desk.causes() if c.state == HoldCause.State.OPEN and not c.manual]
    return not open_ones, "; ".join(f"{c.source}: {c.reason}" for c in open_ones) or "none open"


def _verify_chain() -> audit.Verification:
    return audit.verify()


def _chain_holds(found: audit.Verification) -> Line:
    return found.ok, found.problem or f"{found.entries} entries hold"


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
