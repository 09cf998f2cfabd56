"""The way of a request through `cryptobot.asgi`: one thread for all of it, used again, alone."""

import asyncio
import json
import threading
from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from asgiref.testing import ApplicationCommunicator
from django.http import HttpRequest, JsonResponse
from django.test import override_settings
from django.urls import path

from cryptobot.asgi import OneThreadHandler
from cryptobot.urls import handler500

__all__ = ["handler500"]

HEADERS = [(b"host", b"127.0.0.1")]
meeting = threading.Barrier(2)


def where(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"thread": threading.get_native_id()})


def together(request: HttpRequest) -> JsonResponse:
    """Two of these must be under way at once."""
    meeting.wait(timeout=20)
    return where(request)


async def awaited(request: HttpRequest) -> JsonResponse:
    await asyncio.sleep(0)
    return JsonResponse({"awaited": True})


def broken(request: HttpRequest) -> JsonResponse:
    raise RuntimeError("a bug")


urlpatterns = [
    path("where", where),
    path("together", together),
    path("awaited", awaited),
    path("api/broken", broken),
]


async def get(handler: OneThreadHandler, url: str) -> tuple[int, dict[str, Any]]:
    scope = {"type": "http", "method": "GET", "path": url, "query_string": b"", "headers": HEADERS}
    asked: Any = ApplicationCommunicator(handler, scope)  # type: ignore[no-untyped-call]
    await asked.send_input({"type": "http.request", "body": b""})
    start = await asked.receive_output(20)
    body = await asked.receive_output(20)
    await asked.wait(20)
    return start["status"], json.loads(body["body"])


def run(*paths: str, at_once: bool = False) -> list[tuple[int, dict[str, Any]]]:
    async def story() -> list[tuple[int, dict[str, Any]]]:
        handler = OneThreadHandler()
        if at_once:
            return await asyncio.gather(*(get(handler, p) for p in paths))
        return [await get(handler, p) for p in paths]

    with override_settings(ROOT_URLCONF=__name__):
        return asyncio.run(story())


def test_a_thread_serves_again_when_its_request_has_ended() -> None:
    (_, first), (_, second) = run("/where", "/where")
    assert first["thread"] == second["thread"] != threading.get_native_id()


def test_requests_at_once_have_a_thread_each() -> None:
    (_, first), (_, second) = run("/together", "/together", at_once=True)
    assert first["thread"] != second["thread"]


def test_the_thread_is_visited_once_for_middleware_and_view(monkeypatch: pytest.MonkeyPatch) -> None:
    visits = 0
    visit: Any = SyncToAsync.thread_handler

    def counted(*args: Any) -> Any:
        nonlocal visits
        visits += 1
        return visit(*args)

    monkeypatch.setattr(SyncToAsync, "thread_handler", counted)
    run("/where")
    assert visits == 3  # with Django's signals of the request's start and end


def test_an_async_view_still_works() -> None:
    assert run("/awaited") == [(200, {"awaited": True})]


def test_a_crash_is_a_problem_and_the_thread_goes_on() -> None:
    (status, problem), (after, _) = run("/api/broken", "/where")
    assert (status, problem["code"], after) == (500, "internal", 200)
