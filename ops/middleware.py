"""Every request has an id: the caller's where it is sane, else ours. It is on the answer, in audit and
logs."""

import re
from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse

from ops import context

_SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")


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
