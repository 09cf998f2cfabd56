"""REST face of incidents. Reading, an export to take along, and the actions at paths of their own."""

from typing import Any, ClassVar
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ops.actions import registry
from ops.actions.base import Refusal
from ops.api.pages import filters, page
from ops.api.schema import action_body
from ops.api.status import OneFormat
from ops.api.views import ANY, CURSOR, OUTCOME, submit
from ops.incidents import export, service
from ops.incidents.catalogue import LANGUAGES
from ops.incidents.timeline import timeline
from ops.models import Incident

#: Verbs of a path, and the actions they are.
VERBS = {
    "acknowledge": "ops.acknowledge_incident",
    "assign": "ops.assign_incident",
    "comment": "ops.comment_incident",
    "mitigate": "ops.mitigate_incident",
    "resolve": "ops.resolve_incident",
    "root_cause": "ops.acknowledge_root_cause",
    "close": "ops.close_incident",
    "shelve": "ops.shelve_incident",
    "unshelve": "ops.unshelve_incident",
}
FORMATS = ("json", "md")


class IncidentsView(APIView):
    @extend_schema(
        responses=ANY,
        parameters=[
            OpenApiParameter("state", str, enum=Incident.State.values),
            OpenApiParameter("severity", str, enum=Incident.Severity.values),
            *CURSOR,
        ],
    )
    def get(self, request: Request) -> Response:
        wanted = filters(request, "state", "severity", states=Incident.State.values)
        _require_one_of("severity", wanted.get("severity", "P0"), Incident.Severity.values)
        rows = Incident.objects.select_related("owner", "opened_by", "root_cause_by").filter(**wanted)
        return page(request, rows, service.as_dict, order=("-opened_at", "-id"))


class IncidentView(APIView):
    @extend_schema(responses=ANY)
    def get(self, request: Request, incident_id: UUID) -> Response:
        """With its timeline."""
        row = _find(incident_id)
        return Response({**service.as_dict(row), "timeline": timeline(row)})


class IncidentExportView(APIView):
    content_negotiation_class = OneFormat  # or DRF takes `format` for the name of a renderer

    @extend_schema(
        responses={200: ANY, (200, "text/markdown"): OpenApiTypes.STR},
        parameters=[
            OpenApiParameter("format", str, enum=FORMATS),
            OpenApiParameter("lang", str, enum=LANGUAGES),
        ],
    )
    def get(self, request: Request, incident_id: UUID) -> HttpResponse:
        """The whole incident with the audit log verified. `lang` is of the Markdown; JSON has both."""
        form, language = request.query_params.get("format", "json"), request.query_params.get("lang", "en")
        _require_one_of("format", form, FORMATS)
        _require_one_of("lang", language, LANGUAGES)
        row = _find(incident_id)
        if form == "json":
            text, kind = export.as_json(row), "application/json"
        else:
            text, kind = export.as_markdown(row, "ru" if language == "ru" else "en"), "text/markdown"
        name = f'attachment; filename="incident-{row.pk}.{form}"'
        return HttpResponse(text, f"{kind}; charset=utf-8", headers={"Content-Disposition": name})


class IncidentActionView(APIView):
    """One of `VERBS`; the body is the action's input without `incident_id`, plus `reason`."""

    verb: ClassVar[str] = ""

    def request_schema(self) -> dict[str, Any]:
        body = action_body(registry.get(VERBS[self.verb]))
        properties = {name: shape for name, shape in body["properties"].items() if name != "incident_id"}
        required = [name for name in body["required"] if name != "incident_id"]
        rest = {name: value for name, value in body.items() if name != "required"}
        return {**rest, "properties": properties} | ({"required": required} if required else {})

    @extend_schema(responses=OUTCOME)
    def post(self, request: Request, incident_id: UUID) -> Response:
        return submit(VERBS[self.verb], request, incident_id=str(incident_id))


def _find(incident_id: UUID) -> Incident:
    row = Incident.objects.filter(pk=incident_id).first()
    if row is None:
        raise Refusal("incident.unknown", f"no incident {incident_id}", status=404)
    return row


def _require_one_of(name: str, found: str, accepted: Any) -> None:
    if found not in accepted:
        wrong = f"{name} {found[:40]!r}; accepted: {', '.join(accepted)}"
        raise Refusal("filter.invalid", wrong, status=422)
