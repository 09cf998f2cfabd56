"""A book as one listener knows it, and what has changed in it since."""

from dataclasses import dataclass
from decimal import Decimal

from trading.paper.market import Levels

ZERO = Decimal(0)


@dataclass(slots=True)
class Shown:
    """The levels last sent to one listener and their number in the venue's sequence."""

    base: str
    depth: int
    bids: Levels = ()
    asks: Levels = ()
    sequence: int = 0
    frames: int = 0  # told so far

    def changed(self, bids: Levels, asks: Levels, sequence: int) -> tuple[Levels, Levels] | None:
        """What to send, quantity 0 for a level that is gone; None when nothing moved."""
        bids, asks = bids[: self.depth], asks[: self.depth]
        if sequence <= self.sequence or (bids == self.bids and asks == self.asks):
            return None
        found = difference(self.bids, bids), difference(self.asks, asks)
        self.bids, self.asks, self.sequence = bids, asks, sequence
        self.frames += 1
        return found


def difference(before: Levels, after: Levels) -> Levels:
    old, new = dict(before), dict(after)
    gone = tuple((price, ZERO) for price in old if price not in new)
    return gone + tuple((price, qty) for price, qty in after if old.get(price) != qty)
