"""Positions and profit from fills, average cost, conserved to the last digit.

A position keeps the signed *cost* of what is open, not its average price: a division would be rounded and the
error would stay. Whatever is released on a close is taken from one side and put on the other, so that
realised + unrealised(mark) == sum over fills of sign x qty x (mark - price), exactly. Fees are beside it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from trading.domain.market import Side
from trading.domain.money import ZERO

#: Digits of a released cost: coarser than any product of prices and quantities would need, fine enough for
#: money, and short enough for later sums to stay within 28 digits.
COST_QUANTUM = Decimal("1e-12")


@dataclass(frozen=True, slots=True)
class Position:
    """net: base coin, negative short. cost, realised, fees: quote currency; cost has the sign of net.

    fees > 0: we paid. realised is before fees.
    """

    net: Decimal = ZERO
    cost: Decimal = ZERO
    realised: Decimal = ZERO
    fees: Decimal = ZERO

    @property
    def avg_entry(self) -> Decimal | None:
        """Quote per coin, for show; None when flat."""
        return self.cost / self.net if self.net else None

    def unrealised(self, mark: Decimal) -> Decimal:
        return self.net * mark - self.cost


FLAT = Position()


def released_cost(position: Position, qty: Decimal) -> Decimal:
    """Signed cost of `qty` of the open quantity, at average; all of it when nothing is left."""
    if not 0 <= qty <= abs(position.net):
        raise ValueError(f"{qty} cannot be taken out of a position of {position.net}")
    if qty == abs(position.net):
        return position.cost
    return (position.cost * qty / abs(position.net)).quantize(COST_QUANTUM)


def apply_fill(position: Position, *, side: Side, qty: Decimal, price: Decimal, fee: Decimal) -> Position:
    """The position after one fill of ours. A fill larger than an opposite position closes it, then opens
    the rest at `price`. qty > 0 base coin, price and fee quote currency."""
    if qty <= 0:
        raise ValueError(f"a fill has a positive quantity, not {qty}")
    closing = min(qty, abs(position.net)) if position.net * side.sign < 0 else ZERO
    released = released_cost(position, closing)
    opening = qty - closing
    return Position(
        net=position.net + side.sign * qty,
        cost=position.cost - released + side.sign * opening * price,
        realised=position.realised - side.sign * closing * price - released,
        fees=position.fees + fee,
    )


@dataclass(frozen=True, slots=True)
class LegResult:
    """mark: quote per coin, None when no fresh one is known. funding > 0: received."""

    position: Position
    mark: Decimal | None
    funding: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class ExecutionPnl:
    """Quote currency. unrealised and net are None while an open leg has no mark: unknown is not 0."""

    realised: Decimal
    unrealised: Decimal | None
    fees: Decimal
    funding: Decimal

    @property
    def net(self) -> Decimal | None:
        if self.unrealised is None:
            return None
        return self.realised + self.unrealised - self.fees + self.funding


def execution_pnl(legs: Iterable[LegResult]) -> ExecutionPnl:
    """Result of an execution from its legs, finished or not: closed quantity at its fills, open quantity
    at each leg's own mark, so that an open spread is counted once."""
    total = ExecutionPnl(realised=ZERO, unrealised=ZERO, fees=ZERO, funding=ZERO)
    for leg in legs:
        total = replace(
            total,
            realised=total.realised + leg.position.realised,
            unrealised=_add_unrealised(total.unrealised, leg),
            fees=total.fees + leg.position.fees,
            funding=total.funding + leg.funding,
        )
    return total


def _add_unrealised(so_far: Decimal | None, leg: LegResult) -> Decimal | None:
    if not leg.position.net:
        return so_far
    if so_far is None or leg.mark is None:
        return None
    return so_far + leg.position.unrealised(leg.mark)
