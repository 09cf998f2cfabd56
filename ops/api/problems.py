"""Errors under /api: RFC 9457 `application/problem+json` with a stable `code` and the request id."""

from typing import Any

import structlog
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework import exceptions
from rest_framework.response import Response

from ops import context
from ops.actions.base import Refusal
from ops.api.authentication import CsrfRefused
from ops.api.json import BodyTooLarge, dumps

log = structlog.get_logger()
CONTENT_TYPE = "application/problem+json"
_TITLES = {
    400: "Bad request",
    401: "Not logged in",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "Conflict",
    413: "Body too large",
    415: "Unsupported media type",
    422: "Invalid input",
    423: "On HOLD",
    429: "Too many requests",
    500: "Internal error",
}
_HINTS = {
    401: "Log in at /api/auth/login, or send `Authorization: Token <token>`.",
    405: "Accepted: {methods}.",
    406: "Accepted: application/json.",
    415: "Accepted: application/json.",
}
_CODES = {  # the first that fits: subclasses before their parents
    CsrfRefused: "auth.csrf",
    BodyTooLarge: "body.too_large",
    exceptions.ParseError: "body.not_json",
    exceptions.NotAuthenticated: "auth.required",
    exceptions.AuthenticationFailed: "auth.failed",
    exceptions.PermissionDenied: "permission.denied",
    exceptions.MethodNotAllowed: "method.not_allowed",
    exceptions.UnsupportedMediaType: "media.unsupported",
    exceptions.NotAcceptable: "media.not_acceptable",
    exceptions.Throttled: "throttled",
    Http404: "not_found",
    PermissionDenied: "permission.denied",
}


def body(status: int, code: str, detail: str, errors: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    problem: dict[str, Any] = {
        "type": "about:blank",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": context.request_id(),
    }
    return problem | ({"errors": errors} if errors else {})


def problem(status: int, code: str, detail: str, errors: list[dict[str, Any]] | None = None) -> HttpResponse:
    """For the places where there is no DRF view: unknown URLs, CSRF, crashes."""
    return HttpResponse(dumps(body(status, code, detail, errors)), status=status, content_type=CONTENT_TYPE)


class Problem(Response):
    """JSON whatever was negotiated: a refusal of the Accept header itself must be readable too."""

    @property
    def rendered_content(self) -> bytes:  # type: ignore[override]  # as DRF's own, whose stub says str
        self["Content-Type"] = CONTENT_TYPE
        return dumps(self.data)


def exception_handler(error: Exception, about: dict[str, Any]) -> Response | None:
    """DRF's hook. An exception that is nobody's is left to Django: logged with its trace, answered as 500."""
    if isinstance(error, Refusal):
        return _response(error.status, error.code, error.detail, error.errors)
    code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), None)
    if isinstance(error, exceptions.APIException):
        hint = _HINTS.get(error.status_code, "").format(methods=", ".join(about["view"].allowed_methods))
        detail = f"{_text(error.detail)} {hint}".strip()
        return _response(error.status_code, code or "request.refused", detail, headers=_headers(error))
    if isinstance(error, Http404):
        return _response(404, "not_found", str(error) or "nothing is here")
    if isinstance(error, PermissionDenied):
        return _response(403, "permission.denied", str(error) or "not allowed")
    return None


def _text(detail: Any) -> str:
    return "; ".join(map(str, detail)) if isinstance(detail, list) else str(detail)


def _headers(error: exceptions.APIException) -> dict[str, str]:
    found = {}
    if getattr(error, "auth_header", None):
        found["WWW-Authenticate"] = str(error.auth_header)  # type: ignore[attr-defined]
    if getattr(error, "wait", None):
        found["Retry-After"] = str(int(error.wait))  # type: ignore[attr-defined]
    return found


def _response(
    status: int,
    code: str,
    detail: str,
    errors: list[dict[str, Any]] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    return Problem(body(status, code, detail, errors), status=status, headers=headers)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    if _is_api(request):
        return problem(403, "auth.csrf", f"{reason} Send the csrftoken cookie back in X-CSRFToken.")
    from django.views.csrf import csrf_failure as page

    return page(request, reason)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_api(request):
        return problem(404, "not_found", f"no such path: {request.path}")
    from django.views.defaults import page_not_found

    return page_not_found(request, exception)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """What Django itself finds suspicious before a view is asked: a foreign Host, an endless form."""
    if _is_api(request):
        return problem(400, "request.suspicious", str(exception) or "the request cannot be read")
    from django.views.defaults import bad_request as page

    return page(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    if _is_api(request):
        return problem(500, "internal", "an error of ours; quote the request id")
    from django.views.defaults import server_error as page

    return page(request)


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")
