"""People come with a session and a CSRF token, programs with a personal token that expires."""

from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from knox.auth import TokenAuthentication as KnoxAuthentication
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from ops.actions.base import Actor, Credential
from ops.models import Token, User


class SessionAuthentication(authentication.SessionAuthentication):
    """Names a scheme, so that "not logged in" is 401 and not 403."""

    def authenticate_header(self, request: Request) -> str:
        return "Session"

    def enforce_csrf(self, request: Request) -> None:
        try:
            super().enforce_csrf(request)
        except exceptions.PermissionDenied as refused:
            raise CsrfRefused(f"{refused.detail} Send the csrftoken cookie back in X-CSRFToken.") from None


class CsrfRefused(exceptions.PermissionDenied):
    """A session without the token that proves that our own page sent the request."""


class TokenAuthentication(KnoxAuthentication):  # type: ignore[misc]
    """`Authorization: Token …`; hashed in the database, expiring, and never good for a vote."""

    def _cleanup_token(self, token: Token) -> bool:
        """Whether it has expired. Knox would also delete it, and a person's others with it: they stay on
        record."""
        return token.expiry is not None and token.expiry < timezone.now()

    def authenticate_credentials(self, token: bytes) -> Any:
        if not token.isalnum():  # knox would decode it first, and bytes need not be text
            raise exceptions.AuthenticationFailed("Invalid token.")
        return super().authenticate_credentials(token)


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "ops.api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "header", "name": "Authorization", "description": "Token <token>"}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "ops.api.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        # Not the setting: the committed schema must not depend on the PORT of who wrote it.
        other = "sessionid_<PORT> where PORT is not 8000"
        return {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": other}


def actor_of(request: Request) -> Actor:
    """Who acts, and how it was proven. Only behind a permission that demands a login."""
    user = request.user
    if isinstance(user, AnonymousUser) or not isinstance(user, User):
        raise exceptions.NotAuthenticated
    if isinstance(request.auth, Token):
        return Actor(user, Credential.TOKEN, tuple(request.auth.scopes))
    return Actor(user, Credential.SESSION)
