"""REST faces of the frame. They translate; every rule is in the runner."""

from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ops import envelopes
from ops.actions import approvals, registry, runner
from ops.actions.base import Outcome, Refusal, Source
from ops.actions.inputs import InvalidInput, arg, json_schema, parse, without_secrets
from ops.api.authentication import actor_of
from ops.api.pages import filters, page
from ops.api.schema import SUBMISSION, action_body
from ops.models import ApprovalRequest, Envelope

ANY = OpenApiTypes.OBJECT
OUTCOME = {200: {"$ref": "#/components/schemas/Outcome"}, 202: {"$ref": "#/components/schemas/Outcome"}}
CURSOR = [OpenApiParameter("cursor", str), OpenApiParameter("limit", int)]


def answer(outcome: Outcome) -> Response:
    body = outcome.as_dict()
    headers = {"Location": str(body["location"])} if "location" in body else {}
    if outcome.repeated:
        headers["Idempotent-Replayed"] = "true"
    return Response(body, status=outcome.http_status, headers=headers)


def object_of(request: Request) -> dict[str, Any]:
    if not isinstance(request.data, dict):
        found = type(request.data).__name__
        raise Refusal("body.not_object", f"the body is a {found}; accepted: a JSON object", status=400)
    return dict(request.data)


def key_of(request: Request) -> str:
    """The caller's promise to repeat itself: see `ops.actions.once`."""
    return str(request.headers.get("Idempotency-Key", ""))


def submit(name: str, request: Request, **of_path: Any) -> Response:
    """The body is the action's input plus `reason`. `?dry_run=true`: what it would do, and nothing else.

    of_path: what the path says of the input already; the body may not say it too.
    """
    data = object_of(request)
    if twice := sorted(of_path.keys() & data.keys()):
        raise InvalidInput([{"field": field, "detail": "the path says it already"} for field in twice])
    data |= of_path
    reason = data.pop("reason", "")
    asked = {"actor": actor_of(request), "data": data, "reason": reason, "source": Source.REST}
    if request.query_params.get("dry_run", "").lower() in {"1", "true"}:
        return Response(runner.rehearse(name, **asked).as_dict())
    return answer(runner.submit(name, **asked, idempotency_key=key_of(request)))


class ActionView(APIView):
    """One action at a path of its own, e.g. `ActionView.as_view(action="ops.hold")`."""

    action: ClassVar[str] = ""

    def request_schema(self) -> dict[str, Any]:
        return action_body(registry.get(self.action))

    @extend_schema(responses=OUTCOME)
    def post(self, request: Request) -> Response:
        return submit(self.action, request)


class AnyActionView(APIView):
    """Any action by its name; the body is that action's input plus `reason`."""

    def schema_parameters(self) -> list[OpenApiParameter]:
        names = [action.name for action in registry.all_actions()]
        return [OpenApiParameter("name", str, OpenApiParameter.PATH, enum=names)]

    def request_schema(self) -> dict[str, Any]:
        return {"anyOf": [{"title": a.name, **action_body(a)} for a in registry.all_actions()]}

    @extend_schema(responses=OUTCOME)
    def post(self, request: Request, name: str) -> Response:
        return submit(name, request)


class ActionsView(APIView):
    """What there is to do, and with which inputs."""

    @extend_schema(responses=ANY)
    def get(self, request: Request) -> Response:
        rows = [
            {
                "name": a.name,
                "title": a.title,
                "help": a.help,
                "danger": a.danger.value,
                "input": json_schema(a.Input),
            }
            for a in registry.all_actions()
        ]
        return Response({"results": rows})


class ApprovalsView(APIView):
    names_action: ClassVar[bool] = True  # in the body

    @extend_schema(
        responses=ANY,
        parameters=[OpenApiParameter("state", str, enum=ApprovalRequest.State.values), *CURSOR],
    )
    def get(self, request: Request) -> Response:
        rows: QuerySet[ApprovalRequest] = ApprovalRequest.objects.select_related(
            "requested_by"
        ).prefetch_related("votes__approver")
        rows = rows.filter(**filters(request, "state", states=ApprovalRequest.State.values))
        return page(request, rows, approvals.as_dict, order=("-created_at", "-id"))

    def request_schema(self) -> dict[str, Any]:
        return SUBMISSION

    @extend_schema(responses=OUTCOME)
    def post(self, request: Request) -> Response:
        """Ask for any action: the long form of `/api/v1/actions/{name}`."""
        data = object_of(request)
        name = data.get("action")
        unknown = sorted(set(data) - {"action", "input", "reason"})
        if unknown or not isinstance(name, str):
            wrong = f"unknown: {', '.join(unknown)[:120]}" if unknown else "action must be a string"
            raise Refusal("input.invalid", f"{wrong}; accepted: action, input, reason", status=422)
        outcome = runner.submit(
            name,
            actor=actor_of(request),
            data=data.get("input", {}),
            reason=data.get("reason", ""),
            source=Source.REST,
            idempotency_key=key_of(request),
        )
        return answer(outcome)


class ApprovalView(APIView):
    @extend_schema(responses=ANY)
    def get(self, request: Request, request_id: UUID) -> Response:
        return Response(approvals.as_dict(approvals.find(request_id)))


@dataclass(frozen=True, kw_only=True)
class VoteInput:
    digest: str = arg(help="The digest of the request that was displayed to the voter")
    comment: str = arg(help="Why; required to reject", default="")
    totp: str = arg(help="A fresh code of your second factor, where you have one", default="", secret=True)


class VoteView(APIView):
    verdict: ClassVar[str] = ""

    def request_schema(self) -> dict[str, Any]:
        return json_schema(VoteInput)

    @extend_schema(responses=OUTCOME)
    def post(self, request: Request, request_id: UUID) -> Response:
        """One person's word on the digest that was displayed."""
        actor, data = actor_of(request), object_of(request)
        try:
            word: VoteInput = parse(VoteInput, data)
        except Refusal as refusal:
            name, target = f"approval.{self.verdict}", str(request_id)
            said = without_secrets(VoteInput, data)
            runner.audit_refusal(name, actor, refusal, source=Source.REST, data=said, target=target)
            raise
        outcome = approvals.vote(
            request_id,
            actor=actor,
            verdict=self.verdict,
            digest=word.digest,
            comment=word.comment,
            totp=word.totp,
            source=Source.REST,
            idempotency_key=key_of(request),
        )
        return answer(outcome)


class RequestVerbView(APIView):
    """`apply`: run an approved request whose execution was refused, now. `cancel`: its requester takes it
    back. `withdraw`: a voter takes the vote back while the request is pending."""

    verb: ClassVar[str] = ""

    @extend_schema(request=None, responses=OUTCOME)
    def post(self, request: Request, request_id: UUID) -> Response:
        do = {"apply": approvals.apply, "cancel": approvals.cancel, "withdraw": approvals.withdraw}[self.verb]
        actor = actor_of(request)
        return answer(do(request_id, actor=actor, source=Source.REST, idempotency_key=key_of(request)))


class EnvelopesView(APIView):
    """One approval for several executions: what is left of each."""

    @extend_schema(responses=ANY, parameters=CURSOR)
    def get(self, request: Request) -> Response:
        return page(request, Envelope.objects.all(), envelopes.as_dict, order=("-created_at", "-id"))


class ChecklistView(APIView):
    """Why can't I resume? The server's own list, line by line."""

    @extend_schema(responses=ANY)
    def get(self, request: Request) -> Response:
        from ops import checklist

        lines = checklist.evaluate(checklist.prepare())
        return Response({"ready": all(line["ok"] for line in lines), "lines": lines})
