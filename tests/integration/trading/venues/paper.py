"""One adapter at one paper venue in the same loop, and orders that cross or rest as the book is now."""

import asyncio
import itertools
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from tests.integration.trading.venues.scripted import SYMBOL, Adapter
from trading.domain.market import Side, TimeInForce
from trading.domain.money import ZERO
from trading.paper.faults import Fault
from trading.paper.server import PaperVenues
from trading.paper.venue import Venue as PaperVenue
from trading.venues.binanceusdm import BinanceUsdm
from trading.venues.bybit import Bybit
from trading.venues.endpoints import load_endpoints
from trading.venues.interface import NewOrder
from trading.venues.okx import Okx

T = TypeVar("T")
Kind = type[Adapter]
KINDS: tuple[Kind, ...] = (BinanceUsdm, Okx, Bybit)


@dataclass
class Desk:
    venue: Adapter
    paper: PaperVenue
    venues: PaperVenues
    _ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def crossing(self, side: Side, qty: Decimal, **fields: Any) -> NewOrder:
        """Marketable: 1 % through the other side's best."""
        book = await self.venue.book(SYMBOL)
        return await self._order(
            side, qty, book.opposite(side)[0].price * (1 + side.sign * Decimal("0.01")), fields
        )

    async def resting(self, side: Side, qty: Decimal, *, nudge: Decimal = ZERO, **fields: Any) -> NewOrder:
        """1 % behind the best of its own side: it takes nothing, and the market is not there at once."""
        book = await self.venue.book(SYMBOL)
        price = book.opposite(side.opposite)[0].price * (1 - side.sign * Decimal("0.01"))
        return await self._order(side, qty, price, {"time_in_force": TimeInForce.GTC} | fields, nudge)

    async def _order(
        self, side: Side, qty: Decimal, price: Decimal, fields: dict[str, Any], nudge: Decimal = ZERO
    ) -> NewOrder:
        instrument = (await self.venue.load())[SYMBOL]
        collar = instrument.collar_price(price, side) + nudge
        return NewOrder(SYMBOL, side, qty, collar, f"cbtest{next(self._ids):04d}", **fields)

    def fault(self, **rule: Any) -> None:
        self.paper.faults.add(Fault(**rule))

    def heal(self) -> None:
        self.paper.faults.clear()


def trade(kind: Kind, story: Callable[[Desk], Awaitable[T]], *, virtual: bool = False) -> T:
    """Tell `story` to a fresh adapter at a fresh paper venue and return what it returns.

    `virtual`: the venue's time stands still until `desk.venues.move_clock`, and the adapter signs with it.
    """

    async def go(data_dir: Path) -> T:
        async with PaperVenues(data_dir, seed=1, virtual=virtual) as venues:
            endpoint = load_endpoints("paper", data_dir, {})[kind.name]
            venue = kind(endpoint)
            if virtual:
                venue.orders.milliseconds = venue.data.milliseconds = venues.clock.now_ms
            try:
                return await story(Desk(venue, venues[kind.name], venues))
            finally:
                await venue.close()

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(go(Path(folder)))
