"""Each fault of a paper venue as an adapter meets it: its verdict, and what the venue really did."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.integration.trading.venues.paper import KINDS, Desk, Kind, trade
from tests.integration.trading.venues.scripted import SYMBOL
from trading.domain.market import Side
from trading.venues.interface import NewOrder, OrderReport, VenueError, Verdict

EACH = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
QTY = Decimal("0.4")
AMBIGUOUS, LIMITED = Verdict.AMBIGUOUS, Verdict.RATE_LIMITED
GIVE_UP_SEC = 20.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients give up after 0.4 s: what hangs must end in a test, too."""
    monkeypatch.setattr("trading.venues.base.CLIENT_TIMEOUT_MS", 400)


def filled(desk: Desk) -> Decimal:
    return desk.paper.engine.account.position("BTC").net


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(GIVE_UP_SEC):
        while not true():
            await asyncio.sleep(0.01)


async def refused(what: Awaitable[Any]) -> VenueError:
    with pytest.raises(VenueError) as error:
        await what
    return error.value


PLACED: dict[str, tuple[dict[str, Any], Verdict, bool]] = {
    "a gateway's page": ({"effect": "html"}, AMBIGUOUS, False),
    "a gateway's page, executed": ({"effect": "html", "status": 504, "after": True}, AMBIGUOUS, True),
    "may have been executed, was not": ({"effect": "unknown"}, AMBIGUOUS, False),
    "may have been executed, was": ({"effect": "unknown", "after": True}, AMBIGUOUS, True),
    "too many requests": ({"effect": "throttle"}, LIMITED, False),
    "banned": ({"effect": "throttle", "status": 418, "retry_after": 120}, LIMITED, False),
    "half-open before": ({"effect": "half_open"}, AMBIGUOUS, False),
    "half-open after": ({"effect": "half_open", "after": True}, AMBIGUOUS, True),
    "no answer": ({"effect": "drop_answer_after_accept"}, AMBIGUOUS, True),
    "cut off": ({"effect": "disconnect"}, AMBIGUOUS, True),
    "half a JSON": ({"effect": "truncated"}, AMBIGUOUS, True),
    "drop by drop": ({"effect": "slow", "ms": 4_000}, AMBIGUOUS, True),
    "answered too late": ({"effect": "delay", "ms": 1_500, "after": True}, AMBIGUOUS, True),
    "accepted too late": ({"effect": "delay", "ms": 1_500}, AMBIGUOUS, True),
}


@EACH
@pytest.mark.parametrize("name", PLACED)
def test_an_order_meets_a_fault(kind: Kind, name: str) -> None:
    rule, verdict, executed = PLACED[name]

    async def go(desk: Desk) -> None:
        order = await desk.crossing(Side.BUY, QTY)
        desk.fault(kind="place", **rule)
        error = await refused(desk.venue.place(order))
        assert error.verdict is verdict, error
        if executed:
            await until(lambda: filled(desk) == QTY)
        desk.heal()
        if verdict is AMBIGUOUS:  # the book is asked for after the venue has gone on
            await desk.venue.book(SYMBOL)
        assert filled(desk) == (QTY if executed else 0)

    trade(kind, go)


@EACH
def test_an_accepted_order_is_not_found_for_a_while(kind: Kind) -> None:
    """ "No such order" right after a time-out proves nothing."""

    async def go(desk: Desk) -> None:
        order = await desk.crossing(Side.BUY, QTY)
        desk.fault(effect="drop_answer_after_accept", kind="place")
        desk.fault(effect="invisible", kind="place", ms=600)
        assert (await refused(desk.venue.place(order))).verdict is AMBIGUOUS
        assert (await refused(desk.venue.order(SYMBOL, order.client_order_id))).verdict is Verdict.NOT_FOUND
        report = await _found(desk, order)
        fills = await desk.venue.fills(SYMBOL, venue_order_id=report.venue_order_id)
        assert sum(fill.qty for fill in fills) == QTY

    trade(kind, go)


async def _found(desk: Desk, order: NewOrder) -> OrderReport:
    async with asyncio.timeout(GIVE_UP_SEC):
        while True:
            try:
                return await desk.venue.order(SYMBOL, order.client_order_id)
            except VenueError as error:
                if error.verdict is not Verdict.NOT_FOUND:
                    raise
                await asyncio.sleep(0.05)


@EACH
def test_the_nth_request(kind: Kind) -> None:
    async def go(desk: Desk) -> None:
        desk.fault(effect="html", kind="book", skip=1)
        await desk.venue.book(SYMBOL)
        assert (await refused(desk.venue.book(SYMBOL))).verdict is AMBIGUOUS
        await desk.venue.book(SYMBOL)

    trade(kind, go)


# --- conditions --------------------------------------------------------------------


@EACH
@pytest.mark.parametrize("ms", [-1_270, 900])
def test_a_skewed_clock_is_measured(kind: Kind, ms: int) -> None:
    async def go(desk: Desk) -> None:
        desk.fault(effect="clock_skew", ms=ms)
        sample = await desk.venue.clock()
        assert abs(sample.offset_ms - ms) <= sample.round_trip_ms + 5

    trade(kind, go)


@EACH
def test_a_clock_far_off_refuses_orders_for_certain(kind: Kind) -> None:
    async def go(desk: Desk) -> None:
        order = await desk.crossing(Side.BUY, QTY)
        desk.fault(effect="clock_skew", ms=60_000)
        assert (await refused(desk.venue.place(order))).verdict.definite
        assert filled(desk) == 0

    trade(kind, go)


@EACH
def test_a_stale_book_is_the_same_again(kind: Kind) -> None:
    async def go(desk: Desk) -> None:
        desk.fault(effect="stale_book")
        first = await desk.venue.book(SYMBOL)
        desk.venues.move_clock(desk.venues.clock.now_ms() + 60_000)
        second = await desk.venue.book(SYMBOL)
        assert (second.bids, second.venue_at) == (first.bids, first.venue_at)
        desk.heal()
        assert (await desk.venue.book(SYMBOL)).venue_at != first.venue_at

    trade(kind, go, virtual=True)


@EACH
def test_a_price_gap_and_a_flipped_funding_rate(kind: Kind) -> None:
    async def go(desk: Desk) -> None:
        before = await desk.venue.funding(SYMBOL)
        desk.fault(effect="price_gap", bps="-300")
        desk.fault(effect="funding_flip")
        during = await desk.venue.funding(SYMBOL)
        assert during.mark_price / before.mark_price == pytest.approx(Decimal("0.97"), rel=Decimal("0.0001"))
        assert during.rate == -before.rate
        desk.heal()
        after = await desk.venue.funding(SYMBOL)
        assert (after.mark_price, after.rate) == (before.mark_price, before.rate)

    trade(kind, go, virtual=True)


@EACH
def test_what_hangs_is_let_go_when_the_fault_is_lifted(kind: Kind) -> None:
    async def go(desk: Desk) -> None:
        desk.fault(effect="half_open", kind="any", count=None)
        asking = asyncio.create_task(desk.venue.clock())
        await asyncio.sleep(0)
        assert (await refused(asking)).verdict is AMBIGUOUS
        desk.heal()
        await desk.venue.clock()

    trade(kind, go)
