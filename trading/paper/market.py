"""Where the synthetic liquidity and the reference prices come from: a seeded generator.

Latent prices are floats (a random process has no cents); what leaves here is Decimal on the venue's grid.
Figures and their recordings: docs/paper-venues.md.
"""

import math
import random
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from trading.paper.instruments import Instrument
from trading.paper.noise import Noise, brownian, gaussian

STEP_MS = 200
FUNDING_MS = 8 * 3_600_000  # 00, 08 and 16 UTC

Levels = tuple[tuple[Decimal, Decimal], ...]


@dataclass(frozen=True, slots=True)
class Ladder:
    """Synthetic depth of one instrument, best first: (price, quantity in base coin)."""

    bids: Levels
    asks: Levels
    mark: Decimal
    index: Decimal


class Market(Protocol):
    def bases(self) -> Sequence[str]: ...

    def ladder(self, venue: str, instrument: Instrument, now_ms: int) -> Ladder:
        """The same object again while nothing has changed: callers cache by identity."""
        ...

    def funding_rate(self, venue: str, base: str, at_ms: int) -> Decimal:
        """Rate charged at the funding instant `at_ms` (fraction of notional, positive: longs pay)."""
        ...


@dataclass(frozen=True, slots=True)
class Beside:
    """`first` for its own coins, `rest` for the others: a recording of BTC must leave a desk that also has
    ETH pairs able to run."""

    first: Market
    rest: Market

    def bases(self) -> Sequence[str]:
        return tuple(dict.fromkeys((*self.first.bases(), *self.rest.bases())))

    def ladder(self, venue: str, instrument: Instrument, now_ms: int) -> Ladder:
        return self._of(instrument.base).ladder(venue, instrument, now_ms)

    def funding_rate(self, venue: str, base: str, at_ms: int) -> Decimal:
        return self._of(base).funding_rate(venue, base, at_ms)

    def _of(self, base: str) -> Market:
        return self.first if base in self.first.bases() else self.rest


@dataclass(frozen=True, slots=True)
class Coin:
    """Price in USDT around which a coin moves, its share in the common factor, the touch it quotes."""

    price: float
    beta: float
    idiosyncratic: float  # of the common factor's volatility
    spread_bps: float
    level_usdt: float  # typical size of one level


COINS: Mapping[str, Coin] = {
    "BTC": Coin(61_800, 1.0, 0.0, 0.016, 280_000),
    "ETH": Coin(2_680, 1.1, 0.5, 0.04, 140_000),
    "SOL": Coin(155, 1.3, 0.7, 0.5, 40_000),
    "XRP": Coin(0.61, 1.0, 0.8, 1.6, 35_000),
}
VENUE_DEPTH = {"binanceusdm": 1.0, "okx": 0.6, "bybit": 0.7}

LEVELS = 25
GAP_BPS = 0.5
SHAPES = 64
SHAPE_MS = 1_000
WALK = brownian(sd_1s=1.4, exponent=0.37, longest_ms=2**29)  # bps; the longest octave is six days
# bps per venue; the difference of two venues has √2 of it. (period in ms, amplitude)
BASIS = ((1_000, 0.45), (8_000, 0.4), (60_000, 0.5), (480_000, 1.6), (1_920_000, 2.2), (7_680_000, 2.4))
FUNDING_MEAN, FUNDING_SD, FUNDING_CAP = 0.00005, 0.00012, 0.00075


class Generator:
    """Same seed, same prices, whatever was asked before."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._common = Noise(f"{seed}:common", WALK)
        self._own = {base: Noise(f"{seed}:{base}", WALK) for base in COINS}
        self._basis: dict[tuple[str, str], Noise] = {}
        self._shapes: dict[tuple[str, str], list[_Shape]] = {}
        self._ladders: OrderedDict[tuple[str, str], tuple[int, Ladder]] = OrderedDict()

    def bases(self) -> Sequence[str]:
        return tuple(COINS)

    def index_price(self, base: str, now_ms: int) -> float:
        coin = COINS[base]
        bps = coin.beta * self._common.at(now_ms) + coin.idiosyncratic * self._own[base].at(now_ms)
        return coin.price * math.exp(bps / 1e4)

    def basis_bps(self, venue: str, base: str, now_ms: int) -> float:
        key = (venue, base)
        if key not in self._basis:
            self._basis[key] = Noise(f"{self._seed}:basis:{venue}:{base}", BASIS)
        return self._basis[key].at(now_ms)

    def ladder(self, venue: str, instrument: Instrument, now_ms: int) -> Ladder:
        step = now_ms // STEP_MS
        key = (venue, instrument.base)
        known = self._ladders.get(key)
        if known is None or known[0] != step:
            known = (step, self._build(venue, instrument, step * STEP_MS))
            self._ladders[key] = known
        return known[1]

    def _build(self, venue: str, instrument: Instrument, at_ms: int) -> Ladder:
        index = self.index_price(instrument.base, at_ms)
        mid = index * math.exp(self.basis_bps(venue, instrument.base, at_ms) / 1e4)
        shape = self._shape(venue, instrument, at_ms // SHAPE_MS)
        tick = instrument.tick
        bid = math.floor(mid / float(tick) - shape.spread_ticks / 2)
        ask = bid + shape.spread_ticks
        return Ladder(
            bids=tuple((tick * (bid - gap), qty) for gap, qty in shape.bids),
            asks=tuple((tick * (ask + gap), qty) for gap, qty in shape.asks),
            mark=round(Decimal(mid), instrument.price_decimals + 2),
            index=round(Decimal(index), instrument.price_decimals + 2),
        )

    def _shape(self, venue: str, instrument: Instrument, number: int) -> "_Shape":
        key = (venue, instrument.base)
        if key not in self._shapes:
            draw = random.Random(f"{self._seed}:shape:{venue}:{instrument.base}")  # noqa: S311
            self._shapes[key] = [_draw_shape(draw, venue, instrument) for _ in range(SHAPES)]
        return self._shapes[key][hash((number, self._seed)) % SHAPES]

    def funding_rate(self, venue: str, base: str, at_ms: int) -> Decimal:
        drawn = gaussian(f"{self._seed}:funding:{venue}:{base}", at_ms // FUNDING_MS)
        rate = FUNDING_MEAN + FUNDING_SD * drawn
        return round(Decimal(max(-FUNDING_CAP, min(FUNDING_CAP, rate))), 8)


@dataclass(frozen=True, slots=True)
class _Shape:
    """Distances from the touch in ticks, and sizes: what a book looks like apart from its price."""

    spread_ticks: int
    bids: tuple[tuple[int, Decimal], ...]
    asks: tuple[tuple[int, Decimal], ...]


def _draw_shape(draw: random.Random, venue: str, instrument: Instrument) -> _Shape:
    coin = COINS[instrument.base]
    bps_in_ticks = coin.price / 1e4 / float(instrument.tick)
    widest = coin.spread_bps * bps_in_ticks
    return _Shape(
        spread_ticks=max(1, round(widest * draw.uniform(0.5, 1.5))),
        bids=_draw_side(draw, venue, instrument, bps_in_ticks),
        asks=_draw_side(draw, venue, instrument, bps_in_ticks),
    )


def _draw_side(
    draw: random.Random, venue: str, instrument: Instrument, bps_in_ticks: float
) -> tuple[tuple[int, Decimal], ...]:
    coin = COINS[instrument.base]
    lots = coin.level_usdt * VENUE_DEPTH.get(venue, 1.0) / coin.price / float(instrument.lot)
    levels, gap = [], 0
    for number in range(LEVELS):
        share = 0.5 if number == 0 else 1.0  # the recorded touch holds half of what a later level does
        size = max(1, round(lots * share * draw.lognormvariate(-0.3, 0.8)))
        levels.append((gap, instrument.lot * size))
        gap += max(1, round(draw.expovariate(1.0) * GAP_BPS * bps_in_ticks))
    return tuple(levels)
