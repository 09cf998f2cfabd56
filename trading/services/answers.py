"""The shape of a preflight's answer (spec 4.5)."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from risk.domain.gate import worst_notional
from risk.services import risk_snapshot
from trading import desk_config
from trading.domain.canonical import encode
from trading.domain.plan import Intent, Plan
from trading.services.plan_id import seal
from trading.services.preview import PreviewRequest, Priced, gate_intent, preview, terms_of

# --- the answer --------------------------------------------------------------


def preview_json(priced: Priced) -> dict[str, Any]:
    """Spec 4.5's answer. `plan` is null when none could be made, and then `viable` is false."""
    body = _plan_json(priced) if isinstance(priced.plan, Plan) else None
    return {
        "viable": priced.verdict.viable,
        "executable": priced.verdict.executable,
        "blocked_by": list(priced.verdict.blocked_by),
        "checks": [
            {"name": c.name, "class": c.cls.value, "ok": c.ok, "detail": c.detail, "age_ms": c.age_ms}
            for c in priced.verdict.checks
        ],
        "plan": body,
        "risk": _headroom(priced),
    }


def _plan_json(priced: Priced) -> dict[str, Any]:
    plan = priced.plan
    assert isinstance(plan, Plan)
    encoded = encode(plan)
    terms = terms_of(priced)
    ttl = timedelta(milliseconds=desk_config.active().trading.preflight.plan_ttl_ms)
    return {
        "id": seal(terms) if plan.intent is Intent.OPEN else None,
        "digest": terms.digest,
        "expires_at": plan.priced_at + ttl,
        "pair": priced.pair.name,
        "symbol": plan.pair,
        "intent": plan.intent.value,
        "direction": {"long": plan.long_venue, "short": plan.short_venue},
        "bounds": encoded["bounds"] or encoded["close_bounds"],
        "legs": encoded["legs"],
        "edge": encoded["edge"] and encoded["edge"] | {"net_bps": encode(plan.edge.net_bps)},  # type: ignore[union-attr]
        "exit_estimate": encoded["exit_estimate"],
        "close": encoded["close"],
        "policy": plan.policy.value,
        "limited_by": plan.limited_by.value,
        "steps": encoded["steps"],
        "rescue": encoded["rescue"],
    }


def _headroom(priced: Priced) -> Mapping[str, Any]:
    """Shown beside the checks; it never makes a plan unviable: the gate answers at execution."""
    adds = Decimal(0)
    if isinstance(priced.plan, Plan) and priced.plan.intent is Intent.OPEN:
        intent = gate_intent(priced.plan, "preview")
        adds = sum((worst_notional(leg, priced.marks.get(leg.key)) for leg in intent.legs), Decimal(0))
    return risk_snapshot(priced.marks) | {"plan_notional_usdt": adds}


def edges_json() -> dict[str, Any]:
    """Every configured pair both ways, with the parts (spec 4.4). A direction without a plan says why."""
    rows = []
    for pair in desk_config.active().trading.pairs:
        for long, short in (pair.venues, pair.venues[::-1]):
            priced = preview(PreviewRequest(symbol=pair.symbol, long_venue=long, short_venue=short))
            plan = priced.plan
            row: dict[str, Any] = {"pair": pair.name, "symbol": pair.symbol, "long": long, "short": short}
            if isinstance(plan, Plan) and plan.edge is not None:
                net, gross = encode(plan.edge.net_bps), encode(plan.edge.gross_bps)
                row |= {"edge": encode(plan.edge) | {"net_bps": net, "gross_bps": gross}, "error": None}
            else:
                row |= {"edge": None, "error": getattr(plan, "detail", "no plan")}
            rows.append(row)
    return {"edges": rows}
