"""Cancel what is ours at a venue and nothing else: an account may hold orders of others, and of people."""

import asyncio

from trading.venues.interface import OrderReport, Venue, VenueError, Verdict

#: Requests under way at a venue: it has a limit of its own.
AT_ONCE = 10
#: Of a cancel that the venue had no time for: refused for certain, so asked again.
TRIES, TRY_AGAIN_SEC = 10, 1.0


async def cancel_ours(
    venue: Venue, prefix: str, symbol: str | None = None, *, everybody: bool = False
) -> tuple[tuple[str, ...], tuple[VenueError, ...]]:
    """Ask to cancel, some at a time, the open orders whose client id begins with `prefix`; on `symbol`, or on
    all instruments. Returns the client ids that the venue took the cancellation of, and the failures; an
    order that was gone already (NOT_FOUND) is neither.

    A failure stops nothing: the others are still asked for, and the caller reads the open orders again. When
    these cannot be read at all, that is the only failure. Runs on the hub's loop (`hub.call(...)`).

    everybody: orders of others on the account too; somebody said so.

    Raises:
        ValueError: `prefix` is empty and it was not `everybody` that was meant.
    """
    if not prefix and not everybody:
        raise ValueError("prefix: the beginning of our client order ids, not empty")
    try:
        orders = await venue.open_orders(symbol)
    except VenueError as error:
        return (), (error,)
    cancelled: list[str] = []
    failures: list[VenueError] = []
    turns = asyncio.Semaphore(AT_ONCE)
    wanted = [order for order in orders if everybody or order.client_order_id.startswith(prefix)]
    await asyncio.gather(*(_cancel(venue, order, cancelled, failures, turns) for order in wanted))
    return tuple(cancelled), tuple(failures)


async def _cancel(
    venue: Venue,
    order: OrderReport,
    cancelled: list[str],
    failures: list[VenueError],
    turns: asyncio.Semaphore,
) -> None:
    for _ in range(TRIES):
        try:
            async with turns:
                await venue.cancel(order.symbol, order.client_order_id)
        except VenueError as error:
            if error.verdict is Verdict.RATE_LIMITED:
                refused = error
                await asyncio.sleep(TRY_AGAIN_SEC)
                continue
            if error.verdict is not Verdict.NOT_FOUND:
                failures.append(error)
            return
        cancelled.append(order.client_order_id)
        return
    failures.append(refused)
