"""What daphne serves in a desk: the application, and beside it the heartbeat of this process."""

import itertools
from typing import Any

from cryptobot.asgi import application as served  # first: it sets Django up

from daphne.server import twisted_loop  # type: ignore[import-untyped]  # isort: skip
from ops.heartbeat import Progress, beat_forever  # isort: skip

TICK_SEC = 1.0
progress = Progress()
_numbers = itertools.count()


def _tick() -> None:
    """From the loop that serves every request: when it hangs, so does this."""
    progress.tick()
    twisted_loop.call_later(TICK_SEC, _tick)


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The application, remembering which requests are under way."""
    if scope["type"] != "http":
        await served(scope, receive, send)
        return
    key = str(next(_numbers))
    progress.begin(key, f"{scope['method']} {scope['path'][:80]}")
    try:
        await served(scope, receive, send)
    finally:
        progress.end(key)


twisted_loop.call_soon(_tick)
beat_forever("web", progress)
