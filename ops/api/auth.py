"""Coming in and going out over REST, and what belongs to oneself."""

from typing import Any
from uuid import UUID

from django.contrib.auth import login, logout, update_session_auth_hash
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ops import logins, second_factor, secrets_for
from ops.actions import registry
from ops.actions.base import Refusal, Source
from ops.api.authentication import actor_of
from ops.api.schema import action_body
from ops.api.throttling import LoginThrottle
from ops.api.views import object_of, submit
from ops.models import SealedSecret, User

ANY = OpenApiTypes.OBJECT
_TEXT = {"type": "string", "minLength": 1, "maxLength": logins.MAX_CREDENTIAL}
LOGIN = {
    "type": "object",
    "properties": {"username": _TEXT, "password": _TEXT, "totp": {"type": "string", "maxLength": 6}},
    "required": ["username", "password"],
    "additionalProperties": False,
}


def _me(user: User) -> dict[str, Any]:
    waiting = SealedSecret.objects.filter(reader=user, opened_at=None)
    return {
        "username": user.get_username(),
        "roles": sorted(user.groups.values_list("name", flat=True)),
        "permissions": sorted(p for p in user.get_all_permissions() if "view_" not in p),
        "must_change_password": user.must_change_password,
        "second_factor": second_factor.enrolled(user),
        "no_vote_until": user.no_vote_until,
        "secrets": [{"id": str(row.pk), "title": row.title} for row in waiting],
    }


class LoginView(APIView):
    """Wrong name and wrong password look the same, and both are on record."""

    permission_classes = (AllowAny,)
    authentication_classes = ()
    throttle_classes = (LoginThrottle,)

    def request_schema(self) -> dict[str, Any]:
        return LOGIN

    @extend_schema(responses=ANY)
    def post(self, request: Request) -> Response:
        data = {"totp": "", **object_of(request)}
        fits = all(isinstance(text, str) and len(text) <= logins.MAX_CREDENTIAL for text in data.values())
        if not fits or set(data) != {"username", "password", "totp"} or not data["username"]:
            # Says nothing of what was found: it may be half a password.
            accepted = f"username, password and totp, strings of at most {logins.MAX_CREDENTIAL} characters"
            raise Refusal("input.invalid", f"accepted: {accepted}", status=422)
        user = logins.come_in(
            request._request,
            name=data["username"],
            password=data["password"],
            totp=data["totp"],
            source=Source.REST,
        )
        login(request._request, user)
        return Response(_me(user))


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


class PasswordView(APIView):
    """One's own password. Every other session of that person ends with it."""

    def request_schema(self) -> dict[str, Any]:
        return action_body(registry.get("ops.change_own_password"))

    @extend_schema(responses=ANY)
    def post(self, request: Request) -> Response:
        answer = submit("ops.change_own_password", request)
        user = User.objects.get(pk=actor_of(request).user.pk)
        if request.auth is None:
            update_session_auth_hash(request._request, user)
        return answer


class SecondFactorView(APIView):
    @extend_schema(responses=ANY)
    def get(self, request: Request) -> Response:
        """`uri` while an enrolment waits for its first code: only a logged-in person sees their own."""
        user = actor_of(request).user
        uri = None if request.auth is not None else second_factor.pending_uri(user)
        return Response({"enrolled": second_factor.enrolled(user), "uri": uri})


class SecretView(APIView):
    @extend_schema(request=None, responses=ANY)
    def post(self, request: Request, secret_id: UUID) -> Response:
        """The text of a secret that waits for this person: once."""
        if request.auth is not None:
            raise Refusal("secret.token", "a token opens no secrets: log in as a person", status=403)
        text = secrets_for.open_for(actor_of(request).user, secret_id, source=Source.REST)
        return Response({"secret": text}, headers={"Cache-Control": "no-store"})
