"""The last metres of an answer: how a reply, or the lack of one, leaves on the connection."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterable

from aiohttp import web

from trading.paper.clock import Clock
from trading.paper.dialects.base import Reply
from trading.paper.faults import SILENT, Fault

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST, as a host that went away
PIECES = 10
LOOK_SEC = 1.0  # how soon it is noticed that the client of a silent connection has gone


async def deliver(
    request: web.BaseRequest, reply: Reply, met: Iterable[Fault], *, clock: Clock, lifted: asyncio.Event
) -> web.StreamResponse:
    """Answer as the first of `met` that concerns the connection wants it. `lifted` ends a silence."""
    for fault in met:
        if fault.effect == SILENT:
            return await _silence(request, lifted)
        if fault.effect == "drop_answer_after_accept":
            return reset(request)
        if fault.effect == "disconnect":
            return await _cut(request, reply, fault)
        if fault.effect == "truncated":
            return respond(Reply(_part(reply, fault), reply.status, reply.headers))
        if fault.effect == "slow":
            return await _drip(request, reply, fault.ms, clock)
    return respond(reply)


def respond(reply: Reply) -> web.Response:
    return web.Response(body=reply.body.encode(), status=reply.status, headers=_headers(reply))


def reset(request: web.BaseRequest) -> web.Response:
    """Close with RST; what is returned is never sent."""
    transport = request.transport
    if isinstance(transport, asyncio.Transport):
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        transport.abort()
    return web.Response()


async def _silence(request: web.BaseRequest, lifted: asyncio.Event) -> web.Response:
    """Neither an answer nor a FIN, until the client goes or the fault is lifted."""
    while request.transport is not None and not lifted.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(lifted.wait(), LOOK_SEC)
    return reset(request)


async def _cut(request: web.BaseRequest, reply: Reply, fault: Fault) -> web.StreamResponse:
    response = await _begun(request, reply)
    await response.write(_part(reply, fault).encode())
    if request.transport is not None:
        request.transport.close()
    return response


async def _drip(request: web.BaseRequest, reply: Reply, ms: int, clock: Clock) -> web.StreamResponse:
    response, body = await _begun(request, reply), reply.body.encode()
    size = -(-len(body) // PIECES) or 1
    for start in range(0, len(body), size):
        await clock.sleep(ms // PIECES)
        if request.transport is None:  # the client has had enough
            break
        await response.write(body[start : start + size])
    return response


async def _begun(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    """Headers are sent, and promise the whole body."""
    response = web.StreamResponse(status=reply.status, headers=_headers(reply))
    response.content_length = len(reply.body.encode())
    await response.prepare(request)
    return response


def _part(reply: Reply, fault: Fault) -> str:
    return reply.body[: int(len(reply.body) * fault.fraction)]


def _headers(reply: Reply) -> dict[str, str]:
    return {"Content-Type": "application/json", **reply.headers}
