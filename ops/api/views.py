"""REST faces of the frame. They translate; every rule is in the runner."""

from typing import Any, ClassVar
from uuid import UUID

from django.contrib.auth import authenticate, login, logout
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ops import audit
from ops.actions import approvals, registry, runner
from ops.actions.base import Outcome, Refusal, Source
from ops.api.authentication import actor_of
from ops.api.pages import page
from ops.models import ApprovalRequest, AuditEntry, User

ANY = OpenApiTypes.OBJECT


def answer(outcome: Outcome) -> Response:
    body = outcome.as_dict()
    headers = {"Location": str(body["location"])} if "location" in body else {}
    return Response(body, status=outcome.http_status, headers=headers)


def object_of(request: Request) -> dict[str, Any]:
    if not isinstance(request.data, dict):
        raise Refusal("body.not_object", "the body must be a JSON object", status=400)
    return dict(request.data)


def submit(name: str, request: Request) -> Response:
    """The body is the action's input plus `reason`."""
    data = object_of(request)
    reason = data.pop("reason", "")
    if not isinstance(reason, str):
        raise Refusal("reason.invalid", "reason must be a string", status=422)
    return answer(runner.submit(name, actor=actor_of(request), data=data, reason=reason, source=Source.REST))


class ActionView(APIView):
    """One action at a path of its own, e.g. `ActionView.as_view(action="ops.hold")`."""

    action: ClassVar[str] = ""

    @extend_schema(request=ANY, responses={200: ANY, 202: ANY})
    def post(self, request: Request) -> Response:
        return submit(self.action, request)


class AnyActionView(APIView):
    @extend_schema(request=ANY, responses={200: ANY, 202: ANY})
    def post(self, request: Request, name: str) -> Response:
        return submit(name, request)


class ActionsView(APIView):
    """What there is to do, and with which inputs."""

    @extend_schema(responses=ANY)
    def get(self, request: Request) -> Response:
        from ops.actions.inputs import json_schema

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
    @extend_schema(
        responses=ANY, parameters=[OpenApiParameter("state", str), OpenApiParameter("cursor", str)]
    )
    def get(self, request: Request) -> Response:
        rows: QuerySet[ApprovalRequest] = ApprovalRequest.objects.select_related("requested_by")
        if state := request.query_params.get("state"):
            rows = rows.filter(state=state)
        return page(request, rows, approvals.as_dict, order=("-created_at", "-id"))

    @extend_schema(request=ANY, responses={200: ANY, 202: ANY})
    def post(self, request: Request) -> Response:
        """`{action, input, reason}`"""
        data = object_of(request)
        unknown = sorted(set(data) - {"action", "input", "reason"})
        if unknown or not isinstance(data.get("action"), str):
            raise Refusal("input.invalid", "accepted: action, input, reason", status=422)
        outcome = runner.submit(
            data["action"],
            actor=actor_of(request),
            data=data.get("input", {}),
            reason=str(data.get("reason", "")),
            source=Source.REST,
        )
        return answer(outcome)


class ApprovalView(APIView):
    @extend_schema(responses=ANY)
    def get(self, request: Request, request_id: UUID) -> Response:
        return Response(approvals.as_dict(approvals.find(request_id)))


class VoteView(APIView):
    verdict: ClassVar[str] = ""

    @extend_schema(request=ANY, responses={200: ANY, 202: ANY})
    def post(self, request: Request, request_id: UUID) -> Response:
        """`{digest, comment}`: the digest that was displayed."""
        data = object_of(request)
        outcome = approvals.vote(
            request_id,
            actor=actor_of(request),
            verdict=self.verdict,
            digest=str(data.get("digest", "")),
            comment=str(data.get("comment", "")),
            source=Source.REST,
        )
        return answer(outcome)


class ApplyView(APIView):
    @extend_schema(request=None, responses={200: ANY, 202: ANY})
    def post(self, request: Request, request_id: UUID) -> Response:
        return answer(approvals.apply(request_id, actor=actor_of(request), source=Source.REST))


class CancelView(APIView):
    @extend_schema(request=None, responses=ANY)
    def post(self, request: Request, request_id: UUID) -> Response:
        row = approvals.cancel(request_id, actor=actor_of(request), source=Source.REST)
        return Response({"status": "executed", "approval": approvals.as_dict(row)})


class ChecklistView(APIView):
    """Why can't I resume? The server's own list, line by line."""

    @extend_schema(responses=ANY)
    def get(self, request: Request) -> Response:
        from ops import checklist

        lines = checklist.evaluate(checklist.prepare())
        return Response({"ready": all(line["ok"] for line in lines), "lines": lines})


class AuditView(APIView):
    @extend_schema(
        responses=ANY,
        parameters=[OpenApiParameter(n, str) for n in ("action", "actor", "verdict", "cursor")],
    )
    def get(self, request: Request) -> Response:
        rows: QuerySet[AuditEntry] = AuditEntry.objects.all()
        for name, column in (("action", "action"), ("actor", "actor_name"), ("verdict", "verdict")):
            if value := request.query_params.get(name):
                rows = rows.filter(**{column: value})
        return page(request, rows, _entry, order=("-seq",))


def _entry(row: AuditEntry) -> dict[str, Any]:
    names = (
        "seq",
        "at",
        "actor_name",
        "source",
        "action",
        "target",
        "reason",
        "before",
        "after",
        "verdict",
        "code",
        "request_id",
        "correlation_id",
        "hash",
    )
    return {name: getattr(row, name) for name in names}


def _me(user: User) -> dict[str, Any]:
    return {
        "username": user.get_username(),
        "roles": sorted(user.groups.values_list("name", flat=True)),
        "permissions": sorted(p for p in user.get_all_permissions() if "view_" not in p),
    }


class LoginView(APIView):
    """Wrong name and wrong password look the same, and both are on record."""

    permission_classes = (AllowAny,)
    authentication_classes = ()

    @extend_schema(request=ANY, responses=ANY)
    def post(self, request: Request) -> Response:
        data = object_of(request)
        name, password = data.get("username"), data.get("password")
        if not isinstance(name, str) or not isinstance(password, str):
            raise Refusal("input.invalid", "accepted: username and password, both strings", status=422)
        user = authenticate(request._request, username=name, password=password)
        if user is None:
            _record_login(None, name, "refused", "auth.failed")
            raise Refusal("auth.failed", "wrong name or password", status=401)
        login(request._request, user)
        assert isinstance(user, User)
        _record_login(user, name, "executed", "")
        return Response(_me(user))


def _record_login(user: User | None, name: str, verdict: str, code: str) -> None:
    from django.db import transaction

    with transaction.atomic(durable=True):
        audit.append(
            action="auth.login",
            target=name[:120].replace("\x00", ""),
            verdict=verdict,
            source="rest",
            actor=user,
            code=code,
        )


class LogoutView(APIView):
    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request) -> Response:
        logout(request._request)
        return Response(status=204)


class MeView(APIView):
    permission_classes = (IsAuthenticated,)

    @extend_schema(responses=ANY)
    def get(self, request: Request) -> Response:
        return Response(_me(actor_of(request).user))
