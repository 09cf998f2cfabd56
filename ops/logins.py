"""Coming in: one way for every face. A wrong name and a wrong password look the same; all is on record.

Lock-out after five failures of one name from one address, for a quarter of an hour, is django-axes'.
"""

import ipaddress
from typing import Any

from django.conf import settings
from django.contrib.auth import authenticate
from django.http import HttpRequest

from ops import audit, second_factor
from ops.actions.base import Refusal, Source
from ops.models import User

MAX_CREDENTIAL = 1_000


def come_in(request: HttpRequest, *, name: str, password: str, totp: str | None = "", source: Source) -> User:
    """The person, proven by password and, where one is enrolled, a fresh code.

    totp: None where what follows asks for a fresh code itself.

    Raises:
        Refusal: `auth.failed` (401), `auth.locked` (429), `totp.*` (403).
    """
    try:
        user = _proven(request, name, password)
        if totp is not None:
            second_factor.at_login(user, totp)
    except Refusal as no:
        record(name, user=None, source=source, code=no.code)
        raise
    record(name, user=user, source=source)
    return user


def _proven(request: HttpRequest, name: str, password: str) -> User:
    user = None
    if len(name) <= MAX_CREDENTIAL and len(password) <= MAX_CREDENTIAL and "\x00" not in name:
        user = authenticate(request, username=name, password=password)
    if getattr(request, "axes_locked_out", False):
        raise Refusal("auth.locked", "too many failures: try again in 15 minutes", status=429)
    if not isinstance(user, User):
        raise Refusal("auth.failed", "wrong name or password", status=401)
    return user


def address_of(request: Any) -> str:
    """The peer's address, as our own proxies saw it. What stands further left in the header anybody may have
    written: it is not read."""
    peer = str(request.META.get("REMOTE_ADDR", ""))
    if not settings.TRUSTED_PROXIES:
        return peer
    seen = [text.strip() for text in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    found = seen[-min(settings.TRUSTED_PROXIES, len(seen))]
    try:
        return str(ipaddress.ip_address(found))
    except ValueError:
        return peer


def at_the_machine() -> HttpRequest:
    """A request for whoever sits at a terminal of this host."""
    request = HttpRequest()
    request.META["REMOTE_ADDR"] = "127.0.0.1"
    request.path = "/"
    return request


def record(name: str, *, user: User | None, source: Source, code: str = "auth.failed") -> None:
    """One audit entry. user None: refused."""
    more: dict[str, Any] = {} if user else {"code": code}
    with audit.recorded():
        audit.append(
            action="auth.login",
            target=name.replace("\x00", "\ufffd").encode(errors="replace").decode(),
            verdict="executed" if user else "refused",
            source=source.value,
            actor=user,
            **more,
        )
