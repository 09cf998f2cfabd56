"""How often one may ask. Stops are never throttled, and a broker that is gone throttles nobody."""

from typing import Any

from django.conf import settings
from redis.exceptions import RedisError
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from ops.actions import registry
from ops.logins import address_of


class _Throttle(SimpleRateThrottle):
    scope: str

    def get_rate(self) -> str:
        return settings.THROTTLE_RATES[self.scope]

    def allow_request(self, request: Any, view: Any) -> bool:
        try:
            return super().allow_request(request, view)
        except RedisError:
            return True  # counting is a courtesy; the desk must be stoppable without it

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        known = request.user and request.user.is_authenticated
        return f"throttle:{self.scope}:{request.user.pk if known else address_of(request)}"


class LoginThrottle(_Throttle):
    """Per address: axes counts per name and address, this slows a walk through names."""

    scope = "login"

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        return f"throttle:{self.scope}:{address_of(request)}"


class WriteThrottle(_Throttle):
    """Per person, what changes state."""

    scope = "write"

    def allow_request(self, request: Request, view: Any) -> bool:
        if request.method in SAFE_METHODS or _stops(request, view):
            return True
        return super().allow_request(request, view)


def _stops(request: Request, view: Any) -> bool:
    """By whatever path: also a request that is taken back, or voted down."""
    if getattr(view, "verb", "") == "cancel" or getattr(view, "verdict", "") == "reject":
        return True
    name = getattr(view, "action", "") or view.kwargs.get("name", "") or _named_in(request, view)
    return isinstance(name, str) and registry.knows(name) and registry.get(name).stops


def _named_in(request: Request, view: Any) -> Any:
    """`POST /api/ui/approvals {"action": ...}`. A body that does not parse is refused right here: DRF parses
    once, and would hand the view an empty one."""
    if not getattr(view, "names_action", False):
        return ""
    return request.data.get("action") if isinstance(request.data, dict) else ""
