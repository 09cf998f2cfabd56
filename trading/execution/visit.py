"""Visits to a venue about one order. Network only: no rows, no decisions. They run on the hub's loop.

A visit never raises: whatever happened is in the `Heard` it returns, so that it can be written down.
"""

import time
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TypeVar

from leadership.clock import boottime
from trading import failpoints
from trading.execution import dead_man
from trading.execution.fills import Heard, Said
from trading.models import Attempt
from trading.venues.hub import VenueHub
from trading.venues.interface import FillReport, NewOrder, OrderReport, Venue, VenueError, Verdict

T = TypeVar("T")
_leaves_by: ContextVar[float | None] = ContextVar("leaves_by", default=None)  # CLOCK_BOOTTIME, seconds


class TooLateError(Exception):
    """Whoever claimed this order was held up; by now others may have called it absent."""


def last_look(_method: str, _url: str) -> None:
    """The hub's `before_send`: asked when the order is signed, in the context of its own visit. By the clock
    that no step of the wall clock moves and that a suspended host does not stop."""
    failpoints.reach(failpoints.AFTER_SIGN)
    by, now = _leaves_by.get(), boottime()
    if by is not None and now > by:
        raise TooLateError(f"{now - by:.1f} s too late to be sent")


async def _ask(
    kind: Attempt.Kind, hub: VenueHub, venue: str, call: Callable[[Venue], Coroutine[Any, Any, T]]
) -> tuple[Said, T | None]:
    at, started = datetime.now(UTC), time.monotonic()
    answer, error = None, None
    try:
        answer = await call(hub.venue(venue))
    except VenueError as refused:
        error = refused
    except Exception as unexpected:  # at the edge: anything unforeseen about an order is ambiguous
        error = VenueError(
            Verdict.AMBIGUOUS, venue=venue, code=type(unexpected).__name__, detail=str(unexpected)
        )
    return Said(kind, at, round((time.monotonic() - started) * 1000), error), answer


async def place(hub: VenueHub, venue: str, order: NewOrder, *, leaves_by: float, dead_man_sec: int) -> Heard:
    """Send once, by `leaves_by` (CLOCK_BOOTTIME, seconds) or not at all. Where the acknowledgement carries
    ids only (OKX), or fills are due, read at once. What may rest
    is sent only behind a dead-man switch of `dead_man_sec`."""
    _leaves_by.set(leaves_by)

    async def send(there: Venue) -> OrderReport:
        await dead_man.arm_for(there, order, dead_man_sec)
        return await there.place(order)

    said, report = await _ask(Attempt.Kind.SUBMIT, hub, venue, send)
    if report is None:
        return Heard((said,))
    if report.status is not None and not report.filled:
        return Heard((said,), report)
    read = await look(hub, venue, order.symbol, order.client_order_id, cancel=False)
    return Heard((said, *read.said), read.report or report, read.fills)


async def look(hub: VenueHub, venue: str, symbol: str, client_order_id: str, *, cancel: bool) -> Heard:
    """Ask for the order by our id, and for its fills when it has any; `cancel` asks to cancel first."""
    said: list[Said] = []
    if cancel:
        word, _ = await _ask(Attempt.Kind.CANCEL, hub, venue, lambda v: v.cancel(symbol, client_order_id))
        said.append(word)
    word, report = await _ask(Attempt.Kind.QUERY, hub, venue, lambda v: v.order(symbol, client_order_id))
    said.append(word)
    if report is None or not report.filled:
        return Heard(tuple(said), report)
    return Heard(tuple(said), report, await _fills(hub, report))


async def _fills(hub: VenueHub, report: OrderReport) -> tuple[FillReport, ...]:
    """Fills that cannot be read now are read at the next look: until then the order stays open for us."""
    try:
        return await hub.venue(report.venue).fills(report.symbol, venue_order_id=report.venue_order_id)
    except VenueError:
        return ()
