"""Who may read without being logged in: somebody at the machine itself, outside live (runbook §1–2)."""

import ipaddress
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

_FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA", "HTTP_X_FORWARDED_HOST")


def from_loopback(request: HttpRequest | Request) -> bool:
    """The peer is on this machine, and no proxy speaks for somebody else."""
    if any(name in request.META for name in _FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


class LoopbackReadOrAuthenticated(BasePermission):
    def has_permission(self, request: Request, view: Any) -> bool:
        if request.user and request.user.is_authenticated:
            return True
        if request.method not in SAFE_METHODS or settings.ENV.exchange_profile == "live":
            return False
        return from_loopback(request)
