"""What trading knows of an incident's source: the way of the execution that it is about, and its names."""

from uuid import UUID

from ops.incidents.timeline import Told, line
from ops.models import Incident
from trading.models import Execution, OrderIntent


def tell(incident: Incident) -> Told:
    """Of `execution.*:<id>` and `order.unknown:<client order id>`; nothing of any other source."""
    execution = _execution(*incident.source.split(":", 1)) if ":" in incident.source else None
    if execution is None:
        return Told()
    ids = (execution.pk, execution.plan_id, execution.approval_id)
    moves = execution.transitions.order_by("pk")
    lines = tuple(line(m.at, f"{m.before} → {m.after}", m.detail, execution=str(execution.pk)) for m in moves)
    return Told(frozenset(str(key) for key in ids if key), lines)


def _execution(code: str, thing: str) -> Execution | None:
    if code == "order.unknown":
        order = OrderIntent.objects.filter(client_order_id=thing).select_related("leg__execution").first()
        return order.leg.execution if order else None
    if not code.startswith("execution."):
        return None
    try:
        return Execution.objects.filter(pk=UUID(thing)).first()
    except ValueError:
        return None
