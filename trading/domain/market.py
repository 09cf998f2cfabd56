"""What the house knows of an instrument and its market. Quantities are in base coin, never in contracts:
the venue adapter alone converts (OKX's contracts are not coins)."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from trading.domain.money import ceil_to, floor_to


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"

    @property
    def opposite(self) -> "Side":
        return Side.SELL if self is Side.BUY else Side.BUY

    @property
    def sign(self) -> int:
        """+1 for a buy, −1 for a sell: signed quantity = sign · qty."""
        return 1 if self is Side.BUY else -1


class TimeInForce(StrEnum):
    IOC = "IOC"
    FOK = "FOK"
    GTC = "GTC"


@dataclass(frozen=True, slots=True)
class Instrument:
    """One perpetual swap on one venue, as the venue's own filters state it.

    lot, min_qty, max_qty: base coin. tick, min_notional: quote currency (min_notional 0: none).
    contract_size: base coin per contract.
    """

    venue: str
    symbol: str
    base: str
    quote: str
    settle: str
    contract_size: Decimal
    tick: Decimal
    lot: Decimal
    min_qty: Decimal
    max_qty: Decimal
    min_notional: Decimal

    def collar_price(self, price: Decimal, side: Side) -> Decimal:
        """`price` on the tick grid, never worse for us than asked: a buy rounds down, a sell up."""
        return floor_to(price, self.tick) if side is Side.BUY else ceil_to(price, self.tick)


@dataclass(frozen=True, slots=True)
class Level:
    price: Decimal
    qty: Decimal


@dataclass(frozen=True, slots=True)
class Book:
    """Best first on both sides. `received_at` is our clock when the answer arrived: age counts from it."""

    venue: str
    symbol: str
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    received_at: datetime
    venue_at: datetime | None = None

    def opposite(self, side: Side) -> tuple[Level, ...]:
        """The levels that an aggressive order of `side` would take."""
        return self.asks if side is Side.BUY else self.bids


@dataclass(frozen=True, slots=True)
class Funding:
    """rate: fraction of mark notional paid by longs to shorts at `next_at` (negative: shorts pay)."""

    venue: str
    symbol: str
    rate: Decimal
    next_at: datetime
    interval_hours: int
    mark_price: Decimal


@dataclass(frozen=True, slots=True)
class FeeTier:
    """Fractions of notional (0.0005 = 5 bps); a negative maker fee is a rebate."""

    maker: Decimal
    taker: Decimal
