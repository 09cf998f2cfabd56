"""REST reads of the risk room: limits in force and guards."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from risk import guards
from risk.domain.gate import CAPS
from risk.models import GuardState, RiskLimit, RiskOverride
from risk.services import governor


class LimitsView(APIView):
    """The caps there are, the limits in force at each level, the rows among them, overrides not used yet."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        rules = governor()
        in_force: dict[str, dict[str, Any]] = {}
        for level in sorted(rules.levels):
            for limit in rules.at(level):
                known = in_force.setdefault(level, {}).get(limit.cap.name)
                if limit.value is not None:
                    value = limit.value if known is None else min(known, limit.value)
                    in_force[level][limit.cap.name] = value
        rows = RiskLimit.objects.select_related("set_by")
        return Response(
            {
                "enabled": rules.enabled,
                "caps": {cap.name: cap.reason for cap in CAPS.values()},
                "in_force": in_force,
                "rows": [_limit(row) for row in rows],
                "overrides": [_override(row) for row in RiskOverride.objects.filter(used_at=None)],
            }
        )


def _limit(row: RiskLimit) -> dict[str, Any]:
    who = row.set_by.get_username() if row.set_by else None
    return {
        "level": row.level,
        "cap": row.cap,
        "value": row.value,
        "set_by": who,
        "set_at": row.set_at,
        "reason": row.reason,
    }


def _override(row: RiskOverride) -> dict[str, Any]:
    names = ("symbol", "level", "cap", "value", "expires_at")
    return {"id": str(row.pk), **{name: getattr(row, name) for name in names}}


class GuardsView(APIView):
    """Every guard at every scope: what is latched, what was last seen, since when."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        level, says = guards.worst()
        rows = GuardState.objects.select_related("cleared_by")
        return Response(
            {
                "worst": level,
                "summary": says,
                "stale": guards.stale() or None,
                "guards": [_guard(r) for r in rows],
            }
        )


def _guard(row: GuardState) -> dict[str, Any]:
    known = guards.get(row.name)
    names = (
        "name",
        "level",
        "seen",
        "summary",
        "metrics",
        "since",
        "source_at",
        "evaluated_at",
        "clear_reason",
    )
    return {
        **{name: getattr(row, name) for name in names},
        "title": known.title if known else row.name,
        "scope": row.scope or None,
        "cleared_by": row.cleared_by.get_username() if row.cleared_by else None,
    }
