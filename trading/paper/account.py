"""Positions at average cost, wallet, cross margin by leverage. One-way mode. Pure arithmetic."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from trading.paper.orders import ZERO

START_WALLET = Decimal(100_000)
DEFAULT_LEVERAGE = 10


@dataclass(frozen=True, slots=True)
class Position:
    """`net` in base coin, long positive; `entry` is the average cost in USDT, 0 when flat."""

    net: Decimal = ZERO
    entry: Decimal = ZERO
    updated_ms: int = 0

    def unrealised(self, mark: Decimal) -> Decimal:
        return self.net * (mark - self.entry)


FLAT = Position()


def after_fill(
    position: Position, signed_qty: Decimal, price: Decimal, *, now_ms: int
) -> tuple[Position, Decimal]:
    """The position after buying (+) or selling (−) `signed_qty` at `price`, and the PnL realised by it."""
    net = position.net + signed_qty
    closed = min(abs(signed_qty), abs(position.net)) if position.net * signed_qty < 0 else ZERO
    direction = 1 if position.net > 0 else -1
    realised = closed * (price - position.entry) * direction
    if net == ZERO:
        entry = ZERO
    elif closed == ZERO:
        entry = (position.net * position.entry + signed_qty * price) / net
    else:  # reduced: same cost; turned over: what is left was opened at this price
        entry = position.entry if closed == abs(signed_qty) else price
    return Position(net, entry, now_ms), realised


@dataclass(slots=True)
class Account:
    wallet: Decimal = START_WALLET
    positions: dict[str, Position] = field(default_factory=dict)
    leverage: dict[str, int] = field(default_factory=dict)
    fees_paid: Decimal = ZERO
    realised: Decimal = ZERO
    funding: Decimal = ZERO

    def position(self, base: str) -> Position:
        return self.positions.get(base, FLAT)

    def leverage_of(self, base: str) -> int:
        return self.leverage.get(base, DEFAULT_LEVERAGE)

    def unrealised(self, marks: Mapping[str, Decimal]) -> Decimal:
        """USDT over all open positions; `marks` holds at least their bases."""
        return sum((p.unrealised(marks[b]) for b, p in self.positions.items() if p.net), ZERO)

    def margin(self, base: str, exposure: Decimal, mark: Decimal) -> Decimal:
        """Initial margin in USDT for the larger of the two sides an instrument could end on."""
        return exposure * mark / self.leverage_of(base)
