"""Reports over REST: what the ledger says was earned."""

from datetime import date, datetime
from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ops import access
from ops.actions.base import Refusal
from ops.api.authentication import actor_of
from ops.api.status import OneFormat
from trading.ledger import reports

FORMATS = ("json", "csv")


class PnlReportView(APIView):
    """Booked profit by day, pair, strategy and venue. Without dates: today, in the zone asked for."""

    content_negotiation_class = OneFormat  # or DRF takes `format` for the name of a renderer

    @extend_schema(
        responses={200: OpenApiTypes.OBJECT, (200, "text/csv"): OpenApiTypes.STR},
        parameters=[
            OpenApiParameter("from", OpenApiTypes.DATE),
            OpenApiParameter("to", OpenApiTypes.DATE),
            OpenApiParameter("zone", str, enum=reports.ZONES),
            OpenApiParameter("by", str, description="Some of day,pair,strategy,venue"),
            OpenApiParameter("format", str, enum=FORMATS),
        ],
    )
    def get(self, request: Request) -> HttpResponse:
        actor = actor_of(request)
        if not access.may(actor.user, "trading.view_ledgerentry"):
            raise Refusal("permission.denied", f"{actor.name} may not read the ledger", status=403)
        form = _one_of("format", request, FORMATS)
        report = _report(request)
        if form == "json":
            return Response(reports.as_dict(report))
        name = f'attachment; filename="pnl-{report.since}-{report.until}.csv"'
        text = reports.as_csv(report)
        return HttpResponse(text, "text/csv; charset=utf-8", headers={"Content-Disposition": name})


def _report(request: Request) -> reports.Report:
    zone = reports.zone_named(_one_of("zone", request, reports.ZONES))
    today = datetime.now(zone).date()
    until = _day(request, "to") or _day(request, "from") or today
    asked = request.query_params.get("by")
    by = [name.strip() for name in asked.split(",")] if asked else reports.BY
    try:
        return reports.pnl(since=_day(request, "from") or until, until=until, zone=zone, by=by)
    except (ValueError, OverflowError) as error:
        raise Refusal("filter.invalid", str(error), status=422) from None


def _one_of(name: str, request: Request, accepted: tuple[str, ...]) -> str:
    """The first of them is the default."""
    found: str = request.query_params.get(name) or accepted[0]
    if found not in accepted:
        detail = f"{name} {found[:20]!r}; accepted: {', '.join(accepted)}"
        raise Refusal("filter.invalid", detail, status=422)
    return found


def _day(request: Request, name: str) -> date | None:
    text: Any = request.query_params.get(name)
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        detail = f"{name} {text[:20]!r}; accepted: a day, 2026-11-23"
        raise Refusal("filter.invalid", detail, status=422) from None
