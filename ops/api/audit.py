"""The audit log over REST: searched, and exported as a stream."""

from collections.abc import AsyncIterator, Iterator
from itertools import islice

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ops import access, audit_export
from ops.actions.base import Refusal, Source
from ops.api.authentication import actor_of
from ops.api.pages import filters, page
from ops.api.views import ANY, CURSOR

ASKED = [OpenApiParameter(name, str) for name in audit_export.FILTERS]


class AuditView(APIView):
    @extend_schema(responses=ANY, parameters=[*ASKED, *CURSOR])
    def get(self, request: Request) -> Response:
        rows = audit_export.search(filters(request, *audit_export.FILTERS))
        return page(request, rows, audit_export.as_dict, order=("-seq",))


class AuditExportView(APIView):
    """The log as it is now, oldest first, ending with a trailer. A POST: it leaves an entry."""

    @extend_schema(
        request=None,
        responses={(200, "application/jsonl"): OpenApiTypes.STR},
        parameters=[*ASKED, OpenApiParameter("format", str, enum=audit_export.FORMATS)],
    )
    def post(self, request: Request) -> StreamingHttpResponse:
        actor, form = actor_of(request), request.query_params.get("format", "jsonl")
        if form not in audit_export.FORMATS:
            accepted = ", ".join(audit_export.FORMATS)
            raise Refusal("filter.invalid", f"format {form[:20]!r}; accepted: {accepted}", status=422)
        if not access.may(actor.user, "ops.view_auditentry"):
            raise Refusal("permission.denied", f"{actor.name} may not read the audit log", status=403)
        asked = filters(request, *audit_export.FILTERS)
        rows = audit_export.search(asked)
        audit_export.record(asked, form=form, source=Source.REST, actor=actor)
        lines = audit_export.lines(rows, form)
        answer = StreamingHttpResponse(_stream(lines), content_type="application/octet-stream")
        answer["Content-Disposition"] = f'attachment; filename="audit.{form}"'
        return answer


async def _stream(lines: Iterator[str]) -> AsyncIterator[str]:
    """Some lines at a time: Django would make a list of a synchronous iterator first."""
    while chunk := await sync_to_async(_some)(lines):
        yield chunk


def _some(lines: Iterator[str]) -> str:
    return "".join(islice(lines, 500))
