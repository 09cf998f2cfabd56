"""Where the profit of one execution came from: named parts that add up to the ledger, exactly.

Everything is quote currency, signed as profit: a fee paid is negative. The parts are worked out from fills
and what was held against the prices of the plan; nothing is a difference that hides what it cannot explain.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import TypeVar

from trading.domain.execution_state import Purpose
from trading.domain.market import Side
from trading.domain.money import BPS, ZERO

Instrument = tuple[str, str]  # venue, symbol
KeyT = TypeVar("KeyT")


@dataclass(frozen=True, slots=True, kw_only=True)
class LegFill:
    """side: of the fill. leg_side: the leg's opening side. plan_price: what the plan expected to open at."""

    venue: str
    symbol: str
    purpose: Purpose
    leg_side: Side
    plan_price: Decimal
    side: Side
    qty: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str

    @property
    def signed(self) -> Decimal:
        return self.side.sign * self.qty


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """None: a mark or a rate is not known, and what is not known is not 0.

    entry_basis: what opening was to bring at the plan's prices, short leg sold less long leg bought.
    slippage: by how much its fills were better than that. exit_basis: what closing brought. rescue: what
    getting out of a naked leg brought beyond undoing that leg's entry. residual: what is open, at its marks.
    """

    entry_basis: Decimal
    slippage: Decimal
    exit_basis: Decimal
    rescue: Decimal
    residual: Decimal | None
    fees: Decimal | None
    funding: Decimal
    rounding: Decimal

    @property
    def net(self) -> Decimal | None:
        """The sum of all of them."""
        found = [getattr(self, f.name) for f in fields(self)]
        return None if None in found else sum(found, ZERO)


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeStory:
    """bps of the long leg's entry. seen: when it was asked for; at_send: when the intents were written;
    captured: what the opening fills really gave, before fees. None: not known, or nothing was opened."""

    seen: Decimal | None
    at_send: Decimal | None
    captured: Decimal | None


def parts(
    fills: Iterable[LegFill],
    *,
    marks: Mapping[Instrument, Decimal],
    quote: str,
    rates: Mapping[str, Decimal],
    funding: Decimal,
    rounding: Decimal,
) -> Parts:
    """Parts of one execution, finished or not.

    marks: quote per coin. rates: quote per unit of another currency in which fees were charged. funding > 0:
    received. rounding: the venues' of its fills, signed as profit.
    """
    entry = slippage = closed = rescue = ZERO
    net: dict[Instrument, Decimal] = {}
    fees: dict[str, Decimal] = {}
    for fill in fills:
        cash, planned = -fill.signed * fill.price, -fill.signed * fill.plan_price
        if fill.purpose is Purpose.OPEN:
            entry, slippage = entry + planned, slippage + cash - planned
        elif fill.purpose is Purpose.REVERSE:
            entry, rescue = entry + planned, rescue + cash - planned
        else:
            closed += cash
        key = fill.venue, fill.symbol
        net[key] = net.get(key, ZERO) + fill.signed
        fees[fill.fee_currency] = fees.get(fill.fee_currency, ZERO) - fill.fee
    return Parts(
        entry_basis=entry,
        slippage=slippage,
        exit_basis=closed,
        rescue=rescue,
        residual=_valued(net, marks),
        fees=_valued(fees, {**rates, quote: Decimal(1)}),
        funding=funding,
        rounding=rounding,
    )


def _valued(held: Mapping[KeyT, Decimal], prices: Mapping[KeyT, Decimal]) -> Decimal | None:
    """None as soon as one price is missing of something that is there."""
    there = {what: qty for what, qty in held.items() if qty}
    if not there.keys() <= prices.keys():
        return None
    return sum((qty * prices[what] for what, qty in there.items()), ZERO)


def captured_bps(fills: Iterable[LegFill]) -> Decimal | None:
    """Short leg's average opening price above the long leg's, in bps of the latter; rounded for show."""
    qty, cost = dict.fromkeys(Side, ZERO), dict.fromkeys(Side, ZERO)
    for fill in fills:
        if fill.purpose is Purpose.OPEN:
            qty[fill.leg_side] += fill.qty
            cost[fill.leg_side] += fill.qty * fill.price
    if not all(qty.values()):
        return None
    long, short = cost[Side.BUY] / qty[Side.BUY], cost[Side.SELL] / qty[Side.SELL]
    return ((short - long) * BPS / long).quantize(Decimal("1e-8"))
