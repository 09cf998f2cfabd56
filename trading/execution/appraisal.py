"""Pricing the two ways out of a naked leg from rows and fresh books, for the pure core to choose."""

from collections.abc import Mapping
from decimal import Decimal

from trading.config import ExecutionConfig
from trading.domain.execution_state import Snapshot
from trading.domain.market import Book, Level, Side
from trading.domain.money import BPS, ZERO, ceil_to, floor_to
from trading.domain.rescue import Filled, Missing, Ways, ways_out
from trading.models import Execution, Leg

Quotes = Mapping[tuple[str, str], Book]


def ways(
    execution: Execution, snap: Snapshot, legs: Mapping[int, Leg], quotes: Quotes, config: ExecutionConfig
) -> Ways | None:
    """None while the legs are equal, or nothing is missing that could be traded."""
    longer = max(snap.legs, key=lambda leg: leg.open_qty)
    shorter = snap.legs[1 - longer.index]
    short_by = longer.open_qty - shorter.open_qty
    missing = floor_to(short_by, shorter.lot)
    if not missing:
        return None
    entry = _entry(legs[longer.index])
    budget = execution.ordered_max_loss
    return ways_out(
        Filled(
            side=longer.side,
            entry=entry,
            qty=min(ceil_to(short_by, longer.lot), longer.open_qty),
            levels=_levels(quotes, legs[longer.index], longer.side.opposite),
            taker=taker(execution, longer.index),
        ),
        Missing(
            side=shorter.side,
            qty=missing,
            levels=_levels(quotes, legs[shorter.index], shorter.side),
            taker=taker(execution, shorter.index),
        ),
        exit_bps=Decimal(execution.plan["exit_estimate"]["bps"]),
        budget=missing * entry * config.rescue_max_loss_bps / BPS if budget is None else budget,
    )


def _levels(quotes: Quotes, leg: Leg, side: Side) -> tuple[Level, ...]:
    """What an order of `side` would take; nothing where the venue is silent."""
    book = quotes.get((leg.venue, leg.symbol))
    return book.opposite(side) if book else ()


def _entry(leg: Leg) -> Decimal:
    """Average price of what this leg opened."""
    orders = [o for o in leg.orders.all() if o.side == leg.side]
    filled = sum((o.filled for o in orders), ZERO)
    return sum((o.quote_filled for o in orders), ZERO) / filled


def taker(execution: Execution, index: int) -> Decimal:
    """The fee rate that the plan reckoned with: the account's own tier."""
    leg = execution.plan["legs"][index]
    return Decimal(leg["est_fee"]) / (Decimal(leg["est_price"]) * Decimal(leg["qty"]))
