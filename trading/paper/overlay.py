"""What the control endpoint does to the market: move a price, take the liquidity away, set a funding rate."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from trading.paper.instruments import Instrument
from trading.paper.market import Ladder, Levels, Market


@dataclass(frozen=True, slots=True)
class Overlay:
    """Of one instrument on one venue. `mid` (USDT) replaces the price, `shift_bps` and `gap_bps` move it.

    `gap_bps` and `flipped` belong to faults, the others to the market verb.
    """

    mid: Decimal | None = None
    shift_bps: Decimal = Decimal(0)
    withdrawn: frozenset[str] = frozenset()  # of "bids", "asks"
    funding_rate: Decimal | None = None
    gap_bps: Decimal = Decimal(0)
    flipped: bool = False  # the funding rate's sign


NOTHING = Overlay()


class OverlaidMarket:
    def __init__(self, market: Market) -> None:
        self.market = market
        self._overlays: dict[tuple[str, str], Overlay] = {}
        self._known: dict[tuple[str, str], tuple[Ladder, Overlay, Ladder]] = {}

    def bases(self) -> Sequence[str]:
        return self.market.bases()

    def overlay(self, venue: str, base: str) -> Overlay:
        return self._overlays.get((venue, base), NOTHING)

    def change(self, venue: str, base: str, overlay: Overlay) -> None:
        """`NOTHING` lifts it."""
        self._overlays[venue, base] = overlay
        if overlay == NOTHING:
            del self._overlays[venue, base]

    def ladder(self, venue: str, instrument: Instrument, now_ms: int) -> Ladder:
        plain = self.market.ladder(venue, instrument, now_ms)
        overlay = self.overlay(venue, instrument.base)
        if overlay is NOTHING:
            return plain
        known = self._known.get((venue, instrument.base))
        if known is None or known[0] is not plain or known[1] is not overlay:
            known = (plain, overlay, laid_over(plain, overlay, instrument.tick))
            self._known[venue, instrument.base] = known
        return known[2]

    def funding_rate(self, venue: str, base: str, at_ms: int) -> Decimal:
        overlay = self.overlay(venue, base)
        overlaid = overlay.funding_rate
        rate = overlaid if overlaid is not None else self.market.funding_rate(venue, base, at_ms)
        return -rate if overlay.flipped else rate


def laid_over(ladder: Ladder, overlay: Overlay, tick: Decimal) -> Ladder:
    """The whole book moved by one number of ticks, so that spread and depth stay as they were."""
    mid = overlay.mid if overlay.mid is not None else ladder.mark
    target = mid * (1 + (overlay.shift_bps + overlay.gap_bps) / 10_000)
    by = round((target - ladder.mark) / tick) * tick
    gone = overlay.withdrawn
    return replace(
        ladder,
        bids=() if "bids" in gone else _moved(ladder.bids, by),
        asks=() if "asks" in gone else _moved(ladder.asks, by),
        mark=ladder.mark + by,
    )


def _moved(levels: Levels, by: Decimal) -> Levels:
    return tuple((price + by, qty) for price, qty in levels)
