"""What trading adds to the frame: lines of the resume checklist, and what the gate must know of our
positions."""

from typing import Any

from ops import checklist
from trading.domain.execution_state import ExecutionState
from trading.domain.order_state import OrderState
from trading.models import Execution, OrderIntent
from trading.reconciliation.service import waiting


def _look() -> list[dict[str, Any]]:
    """System preflight of every configured pair; a quiet market does not count (spec 4.5)."""
    from trading import desk_config
    from trading.services.preview import PreviewRequest, preview

    red = []
    for pair in desk_config.active().trading.pairs:
        for check in preview(PreviewRequest(symbol=pair.symbol)).verdict.checks:
            if check.cls.value == "system" and not check.passes:
                red.append({"pair": pair.name, "check": check.name, "detail": check.detail})
    return red


def _preflight(red: list[dict[str, Any]]) -> checklist.Line:
    return not red, "; ".join(f"{r['pair']} {r['check']}: {r['detail']}" for r in red[:6]) or "green"


def _no_doubt(_: Any) -> checklist.Line:
    """Orders of which nobody knows, and executions that were given up on."""
    unknown = OrderIntent.objects.filter(state=OrderState.UNKNOWN).count()
    quarantined = Execution.objects.filter(state=ExecutionState.QUARANTINED).count()
    return not unknown + quarantined, f"{unknown} orders unknown, {quarantined} executions quarantined"


def _positions() -> dict[str, Any]:
    from trading.services import venue_reads

    return venue_reads.positions()


def _match(found: dict[str, Any]) -> checklist.Line:
    """What we think we hold is what the venues say; a venue that was not read is not a match."""
    if found["unread"]:
        return False, f"not read: {', '.join(found['unread'])}"
    off = [p for p in found["positions"] if not p["matches"]]
    detail = "; ".join(f"{p['venue']} {p['symbol']}: ours {p['net']}, theirs {p['venue_net']}" for p in off)
    return not off, detail or "ours equal the venues'"


def _no_breaks(_: Any) -> checklist.Line:
    """What nobody has explained or accepted yet, however young."""
    found = [f"{row}: {row.detail}" for row in waiting()[:6]]
    return not found, "; ".join(found) or "nothing differs"


ITEMS = (
    checklist.Item(
        "system_preflight", "System preflight is green", _preflight, _look, link="/api/arb/preview"
    ),
    checklist.Item("orders_known", "No order is unknown", _no_doubt, link="/api/ui/orders?state=UNKNOWN"),
    checklist.Item("no_breaks", "No break is open", _no_breaks, link="/api/reconciliation"),
    checklist.Item(
        "positions_match", "Positions equal the venues'", _match, _positions, link="/api/deriv/positions"
    ),
)
