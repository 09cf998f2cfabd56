"""The desk's ASGI application, with a raw echo before Django and, when asked, the parts of a request."""

import os
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.bench.settings"

from cryptobot.asgi import application as desk
from tests.bench import parts

ASK = b"x-bench-parts"

parts.install()


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http" and scope["path"] == "/bench/echo":
        await _echo(receive, send)
    elif scope["type"] == "http" and any(name == ASK for name, _ in scope["headers"]):
        await _watched(scope, receive, send)
    else:
        await desk(scope, receive, send)


async def _echo(receive: Any, send: Any) -> None:
    await receive()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})


async def _watched(scope: Any, receive: Any, send: Any) -> None:
    """Django's headers wait for its body, so that the watch covers the whole answer."""
    watch = parts.start()

    async def told(message: Any) -> None:
        if message["type"] == "http.response.start":
            ours = [row for row in message["headers"] if row[0].lower() != b"server-timing"]
            message = message | {"headers": [*ours, (b"server-timing", watch.header())]}
        await send(message)

    await desk(scope, receive, told)
