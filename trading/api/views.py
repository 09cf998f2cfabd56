"""REST faces of trading: reads here, every will through `ops.api.views.submit`."""

from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ops.actions.inputs import InvalidInput, arg, json_schema, parse
from ops.api.authentication import actor_of
from ops.api.pages import filters, page
from ops.api.permissions import LoopbackReadOrAuthenticated
from ops.api.views import CURSOR, object_of
from ops.canonical import plain
from trading import selectors
from trading.domain.execution_state import ExecutionState
from trading.domain.order_state import OrderState
from trading.ledger import attribution
from trading.models import Execution, Fill, FlattenJob, OrderIntent, Preflight
from trading.services import venue_reads
from trading.services.answers import edges_json, preview_json
from trading.services.preview import PreviewRequest, preview

ANY = OpenApiTypes.OBJECT
STATES = tuple(state.value for state in ExecutionState)
ORDER_STATES = tuple(state.value for state in OrderState)
_WHERE = [OpenApiParameter(n, str) for n in ("venue", "symbol")]


@dataclass(frozen=True, kw_only=True)
class PreviewInput:
    """What POST preview takes; everything left out is the configured default."""

    symbol: str | None = arg(help="Pair: BTCUSDT or BTC/USDT:USDT", default=None)
    pair: str | None = arg(help="The same as symbol", default=None)
    notional: Decimal | None = arg(help="USDT per leg, at most", default=None)
    max_slippage_bps: Decimal | None = arg(help="Furthest fill from the touch, in bps", default=None)
    min_edge_bps: Decimal | None = arg(help="Least net edge, in bps", default=None)
    long_venue: str | None = arg(help="Where to buy", default=None)
    short_venue: str | None = arg(help="Where to sell", default=None)
    tif: str | None = arg(help="IOC or FOK", default=None, choices=("IOC", "FOK"))
    post_only: bool = arg(help="Rest as a maker instead of taking", default=False)
    intent: str = arg(
        help="open a pair, or close all that is held of it", default="open", choices=("open", "close")
    )

    def request(self) -> PreviewRequest:
        if self.symbol and self.pair and self.symbol != self.pair:
            raise InvalidInput([{"field": "pair", "detail": "symbol and pair name different things"}])
        values = {f.name: getattr(self, f.name) for f in fields(PreviewRequest)}
        return PreviewRequest(**values | {"symbol": self.symbol or self.pair})


class PreviewView(APIView):
    """GET prices the default pair and stores nothing; POST prices what it is asked and records the
    preflight."""

    permission_classes = (LoopbackReadOrAuthenticated,)

    def request_schema(self) -> dict[str, Any]:
        return json_schema(PreviewInput)

    @extend_schema(responses=ANY)
    def get(self, request: Request) -> Response:
        return _timed(preview(PreviewRequest()))

    @extend_schema(responses=ANY)
    def post(self, request: Request) -> Response:
        data = object_of(request)
        priced = preview(parse(PreviewInput, data).request())
        body = preview_json(priced)
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


class ReconciliationView(APIView):
    @extend_schema(responses=ANY)
    def get(self, request: Request) -> Response:
        return Response(selectors.reconciliation())


class PositionsView(APIView):
    @extend_schema(responses=ANY)
    def get(self, request: Request) -> Response:
        return Response(venue_reads.positions())


class ExecutionsView(APIView):
    @extend_schema(responses=ANY, parameters=[OpenApiParameter("state", str, enum=STATES), *CURSOR])
    def get(self, request: Request) -> Response:
        rows = _executions().filter(**filters(request, "state", states=STATES))
        marks = venue_reads.marks()
        return page(
            request, rows, lambda row: selectors.execution(row, marks=marks), order=("-created_at", "-id")
        )


class ExecutionView(APIView):
    """One execution, with its profit by parts and its edge as asked, sent and captured."""

    @extend_schema(responses=ANY)
    def get(self, request: Request, execution_id: UUID) -> Response:
        row = _executions().filter(pk=execution_id).first()
        if row is None:
            raise Http404(f"no execution {execution_id}")
        marks = venue_reads.marks()
        body = selectors.execution(row, marks=marks)
        return Response({**body, **attribution.as_dict(row, marks=marks)})


def _executions() -> Any:
    return Execution.objects.select_related("requested_by").prefetch_related("legs__orders", "transitions")


class OrdersView(APIView):
    @extend_schema(
        responses=ANY, parameters=[OpenApiParameter("state", str, enum=ORDER_STATES), *_WHERE, *CURSOR]
    )
    def get(self, request: Request) -> Response:
        wanted = filters(request, "state", "venue", "symbol", states=ORDER_STATES)
        rows = OrderIntent.objects.filter(**wanted)
        return page(request, rows, selectors.order, order=("-id",))


class FillsView(APIView):
    @extend_schema(responses=ANY, parameters=[*_WHERE, *CURSOR])
    def get(self, request: Request) -> Response:
        rows = Fill.objects.select_related("order__leg").filter(**filters(request, "venue", "symbol"))
        return page(request, rows, selectors.fill, order=("-id",))


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
