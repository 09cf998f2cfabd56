"""Health, state, status and metrics: GETs that change nothing. What they say is made in `ops.overview`."""

from typing import Any

from django.conf import settings
from django.urls import path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from prometheus_client import CONTENT_TYPE_LATEST
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ops import hooks, metrics, overview, ping, status
from ops.api.json import dumps
from ops.api.permissions import LoopbackReadOrAuthenticated, from_loopback

ANY = OpenApiTypes.OBJECT
_FRESH = {"Cache-Control": "no-store"}


def _answer(body: dict[str, Any], *, ok: bool = True) -> Response:
    return Response(body, status=200 if ok else 503, headers=_FRESH)


class _Open(APIView):
    """Asked by machines that have no login: load balancers, supervisors, the other instance."""

    authentication_classes = ()
    permission_classes = (AllowAny,)


class HealthView(_Open):
    """This process answers and reaches its database; whether the desk is well is the overview's question."""

    @extend_schema(responses={200: ANY, 503: ANY})
    def get(self, request: Request) -> Response:
        ok = ping.answers()
        body = {"ok": ok, "database": ok, "build": hooks.build(), "env": settings.ENV.exchange_profile}
        return _answer(body, ok=ok)


class HealthzView(_Open):
    @extend_schema(responses={200: ANY, 503: ANY})
    def get(self, request: Request) -> Response:
        body = overview.healthz()
        return _answer(body, ok=body["ok"])


class ReadinessView(_Open):
    """Whether this instance may lead the desk and could trade. It looks; it never takes a lock."""

    @extend_schema(responses={200: ANY, 503: ANY})
    def get(self, request: Request) -> Response:
        body = overview.readiness()
        return _answer(body, ok=body["ready"])


class StateView(APIView):
    permission_classes = (LoopbackReadOrAuthenticated,)

    @extend_schema(responses=ANY)
    def get(self, request: Request) -> Response:
        return _answer(overview.state())


class OverviewView(APIView):
    permission_classes = (LoopbackReadOrAuthenticated,)

    @extend_schema(responses=ANY)
    def get(self, request: Request) -> Response:
        return _answer(overview.overview())


class ComponentsView(APIView):
    permission_classes = (LoopbackReadOrAuthenticated,)

    @extend_schema(responses=ANY)
    def get(self, request: Request) -> Response:
        snapshot = status.snapshot()
        body = {
            "ts": snapshot.taken_at,
            "age_sec": round(snapshot.age_sec, 3),
            "took_ms": snapshot.took_ms,
            "components": [row.as_dict() for row in snapshot.rows],
        }
        return _answer(body)


# --- metrics -----------------------------------------------------------------


class LoopbackOrAuthenticated(BasePermission):
    """In every profile: Prometheus runs beside the desk or brings a token."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return bool(request.user and request.user.is_authenticated) or from_loopback(request)


class TextRenderer(BaseRenderer):
    """Passes the exposition through; a refusal is JSON as everywhere."""

    media_type = CONTENT_TYPE_LATEST
    format = "prometheus"
    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None
    ) -> bytes:
        return data if isinstance(data, bytes) else dumps(data)


class OneFormat(BaseContentNegotiation):
    """Prometheus asks for formats that it would like; there is one."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class MetricsView(APIView):
    permission_classes = (LoopbackOrAuthenticated,)
    renderer_classes = (TextRenderer,)
    content_negotiation_class = OneFormat

    @extend_schema(responses={(200, "text/plain"): str})
    def get(self, request: Request) -> Response:
        return Response(metrics.exposition(), headers=_FRESH)


STATUS_URLS = [
    path("api/health", HealthView.as_view()),
    path("healthz", HealthzView.as_view()),
    path("live-readiness", ReadinessView.as_view()),
    path("api/ui/state", StateView.as_view()),
    path("api/ui/status/overview", OverviewView.as_view()),
    path("api/ui/status/components", ComponentsView.as_view()),
    path("metrics", MetricsView.as_view()),
]
