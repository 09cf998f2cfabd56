"""Every request has an id: the caller's where it is sane, else ours. It is on the answer, in audit and
logs."""

import re
import time
from collections.abc import Callable

import structlog
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.http import HttpRequest, HttpResponse
from django.middleware.locale import LocaleMiddleware
from django.utils import translation

from ops import context

_SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")


class IdleMiddleware:
    """Ends a session in which nothing was asked for too long, and any session after its time: Django's own
    cookie age begins anew whenever something is noted. Noted once a minute, not at every request."""

    NOTE_EVERY_SEC = 60

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if SESSION_KEY in request.session:
            now, seen = int(time.time()), int(request.session.get("seen", 0))
            since = int(request.session.setdefault("since", now))
            if (seen and now - seen > settings.SESSION_IDLE_SEC) or now - since > settings.SESSION_COOKIE_AGE:
                request.session.flush()
            elif now - seen > self.NOTE_EVERY_SEC:
                request.session["seen"] = now
        return self.get_response(request)


class PageLocaleMiddleware(LocaleMiddleware):
    """Pages speak their reader's language. Programs are answered in one, whatever they accept."""

    PAGES = ("/admin/", "/i18n/")

    def process_request(self, request: HttpRequest) -> None:
        if request.path.startswith(self.PAGES):
            super().process_request(request)
        else:
            translation.activate(settings.LANGUAGE_CODE)
            request.LANGUAGE_CODE = settings.LANGUAGE_CODE


class RequestIdMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        asked = request.headers.get("X-Request-ID", "")
        request_id = context.begin(asked if _SANE.fullmatch(asked) else "")
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        response = self.get_response(request)
        response["X-Request-ID"] = request_id
        return response
