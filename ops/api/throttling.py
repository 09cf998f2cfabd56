"""How often one may ask. Stops are never throttled, and a broker that is gone throttles nobody."""

from typing import Any

from django.conf import settings
from redis.exceptions import RedisError
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from ops.actions import registry


class _Throttle(SimpleRateThrottle):
    scope: str

    def get_rate(self) -> str:
        return settings.THROTTLE_RATES[self.scope]

    def allow_request(self, request: Request, view: Any) -> bool:
        try:
            return super().allow_request(request, view)
        except RedisError:
            return True  # counting is a courtesy; the desk must be stoppable without it

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        who = request.user.pk if request.user and request.user.is_authenticated else self.get_ident(request)
        return f"throttle:{self.scope}:{who}"


class LoginThrottle(_Throttle):
    """Per address: axes counts per name and address, this slows a walk through names."""

    scope = "login"

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        return f"throttle:{self.scope}:{self.get_ident(request)}"


class WriteThrottle(_Throttle):
    """Per person, what changes state."""

    scope = "write"

    def allow_request(self, request: Request, view: Any) -> bool:
        if request.method in SAFE_METHODS or _stops(request, view):
            return True
        return super().allow_request(request, view)


def _stops(request: Request, view: Any) -> bool:
    name = getattr(view, "action", "") or view.kwargs.get("name", "")
    return registry.knows(name) and registry.get(name).stops
