"""REST faces of trading: reads here, every will through `ops.api.views.submit`."""

from typing import Any
from uuid import UUID

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ops.actions.inputs import parse
from ops.api.authentication import actor_of
from ops.api.pages import page
from ops.api.permissions import LoopbackReadOrAuthenticated
from ops.api.views import object_of
from trading import selectors
from trading.models import Execution, Fill, FlattenJob, OrderIntent, Preflight
from trading.services import venue_reads
from trading.services.answers import edges_json, preview_json
from trading.services.preview import PreviewRequest, preview

ANY = OpenApiTypes.OBJECT
_FILTERS = [OpenApiParameter(n, str) for n in ("venue", "symbol", "state", "cursor", "limit")]


class PreviewView(APIView):
    """GET prices the default pair and stores nothing; POST prices what it is asked and records the
    preflight."""

    permission_classes = (LoopbackReadOrAuthenticated,)

    @extend_schema(responses=ANY)
    def get(self, request: Request) -> Response:
        return _timed(preview(PreviewRequest()))

    @extend_schema(request=ANY, responses=ANY)
    def post(self, request: Request) -> Response:
        data = object_of(request)
        data["symbol"] = data.pop("pair", None) or data.get("symbol")
        priced = preview(parse(PreviewRequest, data))
        body = preview_json(priced)
        from ops.canonical import plain

        Preflight.objects.create(
            requested_by=actor_of(request).user,
            request={k: str(v) for k, v in data.items() if v is not None},
            result=plain(body),
            viable=priced.verdict.viable,
            executable=priced.verdict.executable,
        )
        return _timed(priced, body)


def _timed(priced: Any, body: dict[str, Any] | None = None) -> Response:
    """Where the time of a preview goes, as the browser's own tools show it."""
    timing = f"venues;dur={priced.gathered.took_ms:.2f}, pricing;dur={priced.price_ms:.2f}"
    return Response(body or preview_json(priced), headers={"Server-Timing": timing})


class EdgeView(APIView):
    @extend_schema(responses=ANY)
    def get(self, request: Request) -> Response:
        return Response(edges_json())


class DerivStatusView(APIView):
    permission_classes = (LoopbackReadOrAuthenticated,)

    @extend_schema(responses=ANY)
    def get(self, request: Request) -> Response:
        return Response(venue_reads.deriv_status())


class PositionsView(APIView):
    @extend_schema(responses=ANY)
    def get(self, request: Request) -> Response:
        return Response(venue_reads.positions())


class ExecutionsView(APIView):
    @extend_schema(responses=ANY, parameters=_FILTERS)
    def get(self, request: Request) -> Response:
        rows = _executions()
        if state := request.query_params.get("state"):
            rows = rows.filter(state=state)
        marks = venue_reads.marks()
        return page(
            request, rows, lambda row: selectors.execution(row, marks=marks), order=("-created_at", "-id")
        )


class ExecutionView(APIView):
    @extend_schema(responses=ANY)
    def get(self, request: Request, execution_id: UUID) -> Response:
        row = _executions().filter(pk=execution_id).first()
        if row is None:
            raise Http404(f"no execution {execution_id}")
        return Response(selectors.execution(row, marks=venue_reads.marks()))


def _executions() -> Any:
    return Execution.objects.select_related("requested_by").prefetch_related("legs__orders", "transitions")


class OrdersView(APIView):
    @extend_schema(responses=ANY, parameters=_FILTERS)
    def get(self, request: Request) -> Response:
        rows = OrderIntent.objects.filter(**_where(request, "state", "venue", "symbol"))
        return page(request, rows, selectors.order, order=("-id",))


class FillsView(APIView):
    @extend_schema(responses=ANY, parameters=_FILTERS)
    def get(self, request: Request) -> Response:
        rows = Fill.objects.select_related("order__leg").filter(**_where(request, "venue", "symbol"))
        return page(request, rows, selectors.fill, order=("-id",))


def _where(request: Request, *names: str) -> dict[str, str]:
    return {name: value for name in names if (value := request.query_params.get(name))}


class FlattenJobView(APIView):
    @extend_schema(responses=ANY)
    def get(self, request: Request, job_id: UUID) -> Response:
        job = FlattenJob.objects.filter(pk=job_id).first()
        if job is None:
            raise Http404(f"no flatten job {job_id}")
        return Response(
            {
                "id": str(job.pk),
                "state": job.state,
                "venue": job.venue or None,
                "symbol": job.symbol or None,
                "reason": job.reason,
                "created_at": job.created_at,
                "finished_at": job.finished_at,
                "result": job.result,
            }
        )
