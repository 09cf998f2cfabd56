"""Visits to a venue about one order. Network only: no rows, no decisions. They run on the hub's loop.

A visit never raises: whatever happened is in the `Heard` it returns, so that it can be written down.
"""

import time
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import TypeVar

from trading.execution.fills import Heard, Said
from trading.models import Attempt
from trading.venues.interface import FillReport, NewOrder, OrderReport, Venue, VenueError, Verdict

T = TypeVar("T")


async def _ask(kind: Attempt.Kind, call: Awaitable[T], venue: str) -> tuple[Said, T | None]:
    at, started = datetime.now(UTC), time.monotonic()
    answer, error = None, None
    try:
        answer = await call
    except VenueError as refused:
        error = refused
    except Exception as unexpected:  # at the edge: anything unforeseen about an order is ambiguous
        error = VenueError(
            Verdict.AMBIGUOUS, venue=venue, code=type(unexpected).__name__, detail=str(unexpected)
        )
    return Said(kind, at, round((time.monotonic() - started) * 1000), error), answer


async def place(venue: Venue, order: NewOrder) -> Heard:
    """Send once. Where the acknowledgement carries ids only (OKX), or fills are due, read at once."""
    said, report = await _ask(Attempt.Kind.SUBMIT, venue.place(order), venue.name)
    if report is None:
        return Heard((said,))
    if report.status is not None and not report.filled:
        return Heard((said,), report)
    read = await look(venue, order.symbol, order.client_order_id, cancel=False)
    return Heard((said, *read.said), read.report or report, read.fills)


async def look(venue: Venue, symbol: str, client_order_id: str, *, cancel: bool) -> Heard:
    """Ask for the order by our id, and for its fills when it has any; `cancel` asks to cancel first."""
    said: list[Said] = []
    if cancel:
        word, _ = await _ask(Attempt.Kind.CANCEL, venue.cancel(symbol, client_order_id), venue.name)
        said.append(word)
    word, report = await _ask(Attempt.Kind.QUERY, venue.order(symbol, client_order_id), venue.name)
    said.append(word)
    if report is None or not report.filled:
        return Heard(tuple(said), report)
    return Heard(tuple(said), report, await _fills(venue, report))


async def _fills(venue: Venue, report: OrderReport) -> tuple[FillReport, ...]:
    """Fills that cannot be read now are read at the next look: until then the order stays open for us."""
    try:
        return await venue.fills(report.symbol, venue_order_id=report.venue_order_id)
    except VenueError:
        return ()
