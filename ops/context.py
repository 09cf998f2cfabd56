"""What this piece of work belongs to: the request id that came in, or one of our own."""

from contextvars import ContextVar
from uuid import uuid4

_request_id: ContextVar[str] = ContextVar("request_id", default="")


def request_id() -> str:
    return _request_id.get()


def begin(request_id: str = "") -> str:
    """Start a piece of work; returns its id."""
    value = request_id or uuid4().hex
    _request_id.set(value)
    return value
