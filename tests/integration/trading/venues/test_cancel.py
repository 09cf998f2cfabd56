"""Our open orders are cancelled at both venues, and nobody else's."""

from decimal import Decimal
from typing import Any

import pytest

from tests.integration.trading.venues.paper import Desk, Kind, trade
from tests.integration.trading.venues.scripted import SYMBOL
from trading.domain.market import Side
from trading.paper import orders as paper
from trading.venues.binanceusdm import BinanceUsdm
from trading.venues.cancel import cancel_ours
from trading.venues.interface import VenueError, Verdict
from trading.venues.okx import Okx

KINDS: tuple[Kind, ...] = (BinanceUsdm, Okx)
BOTH = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
QTY = Decimal("0.4")
OURS, THEIRS = "cbtest", "theirs"


async def rest(desk: Desk, count: int) -> list[str]:
    """Client ids of `count` new orders of ours."""
    orders = [await desk.resting(Side.BUY, QTY) for _ in range(count)]
    for order in orders:
        await desk.venue.place(order)
    return [order.client_order_id for order in orders]


def rest_foreign(desk: Desk, key: str, base: str = "BTC") -> None:
    """An order straight into the venue, far below the market."""
    engine = desk.paper.engine
    instrument = engine.instruments[base]
    price = engine.mark(base) * Decimal("0.97") // instrument.tick * instrument.tick
    engine.place(paper.NewOrder(base, paper.Side.BUY, QTY, price, paper.TimeInForce.GTC, False, key))


async def open_ids(desk: Desk) -> set[str]:
    return {order.client_order_id for order in await desk.venue.open_orders()}


@BOTH
def test_ours_go_and_others_stay(kind: Kind) -> None:
    async def go(desk: Desk) -> Any:
        ours = await rest(desk, 3)
        for key in (THEIRS, f"{THEIRS}{OURS}", OURS.upper()):
            rest_foreign(desk, key)
        return ours, await cancel_ours(desk.venue, OURS), await open_ids(desk)

    ours, (cancelled, failures), left = trade(kind, go, virtual=True)
    assert (sorted(cancelled), failures) == (ours, ())
    assert left == {THEIRS, f"{THEIRS}{OURS}", OURS.upper()}


@BOTH
def test_of_one_instrument_only(kind: Kind) -> None:
    async def go(desk: Desk) -> Any:
        ours = await rest(desk, 1)
        rest_foreign(desk, f"{OURS}eth", "ETH")
        return ours, await cancel_ours(desk.venue, OURS, SYMBOL), await open_ids(desk)

    ours, (cancelled, failures), left = trade(kind, go, virtual=True)
    assert (list(cancelled), failures, left) == (ours, (), {f"{OURS}eth"})


@BOTH
def test_one_failure_stops_nothing_and_is_told(kind: Kind) -> None:
    async def go(desk: Desk) -> Any:
        ours = await rest(desk, 3)
        code = "-1008" if kind is BinanceUsdm else "50013"  # overloaded
        desk.fault(effect="reject", kind="cancel", code=code, status=503, count=1)
        return ours, await cancel_ours(desk.venue, OURS), await open_ids(desk)

    ours, (cancelled, failures), left = trade(kind, go, virtual=True)
    assert len(cancelled) == 2
    assert set(cancelled) < set(ours)
    assert [error.verdict for error in failures] == [Verdict.AMBIGUOUS]
    assert left == set(ours) - set(cancelled)


@BOTH
def test_an_order_that_ends_meanwhile_is_no_failure(kind: Kind) -> None:
    async def go(desk: Desk) -> Any:
        ours = await rest(desk, 2)
        listed = await desk.venue.open_orders()
        await desk.venue.cancel(SYMBOL, ours[0])

        async def as_listed(_: str | None = None) -> Any:
            return listed

        desk.venue.open_orders = as_listed  # type: ignore[assignment, method-assign]
        return ours, await cancel_ours(desk.venue, OURS)

    ours, outcome = trade(kind, go, virtual=True)
    assert outcome == ((ours[1],), ())


@BOTH
def test_a_silent_venue_is_the_one_failure(kind: Kind) -> None:
    async def go(desk: Desk) -> Any:
        await rest(desk, 1)
        desk.fault(effect="venue_down")
        return await cancel_ours(desk.venue, OURS)

    cancelled, failures = trade(kind, go, virtual=True)
    assert cancelled == ()
    assert [(type(error), error.verdict) for error in failures] == [(VenueError, Verdict.AMBIGUOUS)]


def test_an_empty_prefix_would_be_everybody() -> None:
    async def go(desk: Desk) -> None:
        await rest(desk, 1)
        with pytest.raises(ValueError, match="prefix"):
            await cancel_ours(desk.venue, "")
        assert len(await open_ids(desk)) == 1

    trade(Okx, go, virtual=True)
