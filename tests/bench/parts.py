"""Where the time of one request goes: wrappers around the seams, silent unless a request asks for them.

Time is exclusive: a part that enters another stops its own watch. The database inside of a login is the
login's. A silent wrapper costs a look at a context variable.
"""

import contextvars
import functools
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any


class Watch:
    """One request's time by part, in ms."""

    def __init__(self) -> None:
        self.ms: defaultdict[str, float] = defaultdict(float)
        self.queries = 0
        self._stack = ["framework"]
        self._since = time.perf_counter()

    def _turn(self) -> None:
        now = time.perf_counter()
        self.ms[self._stack[-1]] += (now - self._since) * 1000
        self._since = now

    def enter(self, part: str) -> None:
        self._turn()
        self._stack.append("auth" if part == "database" and self._stack[-1] == "auth" else part)

    def leave(self) -> None:
        self._turn()
        self._stack.pop()

    def header(self) -> bytes:
        self._turn()
        rows = [f"{name};dur={ms:.4f}" for name, ms in self.ms.items()]
        return ", ".join([*rows, f"queries;dur={self.queries}"]).encode()


_watch: contextvars.ContextVar[Watch | None] = contextvars.ContextVar("bench_watch", default=None)


def start() -> Watch:
    """Watch the request that runs in this context from here on."""
    watch = Watch()
    _watch.set(watch)
    return watch


def _timed(owner: Any, name: str, part: str, *, query: bool = False) -> None:
    inner: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(inner)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        watch = _watch.get()
        if watch is None:
            return inner(*args, **kwargs)
        watch.queries += query
        watch.enter(part)
        try:
            return inner(*args, **kwargs)
        finally:
            watch.leave()

    setattr(owner, name, wrapper)


def install() -> None:
    """After django.setup(), before the first request."""
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.query import QuerySet
    from django.db.models.sql.compiler import SQLCompiler
    from rest_framework.request import Request

    from ops.api.json import OrjsonRenderer
    from trading.services import answers, preview
    from trading.venues.hub import VenueHub

    _timed(Request, "_authenticate", "auth")
    _timed(BaseDatabaseWrapper, "ensure_connection", "database")
    _timed(BaseDatabaseWrapper, "close_if_unusable_or_obsolete", "database")
    _timed(SQLCompiler, "execute_sql", "database", query=True)
    _timed(QuerySet, "_fetch_all", "database")
    _timed(VenueHub, "call", "venues")
    _timed(preview, "_desk_state", "database")
    _timed(answers, "risk_snapshot", "database")
    _timed(preview, "_plan", "pricing")
    _timed(preview, "judge", "pricing")
    _timed(answers, "_plan_json", "serialisation")
    _timed(OrjsonRenderer, "render", "serialisation")
