"""The gate's snapshot from rows: sums of every level, in one pass over what is held and what works."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from risk import exposure
from risk.domain.gate import DESK, ZERO, Exposure, InstrumentState, Key, Snapshot
from risk.figures import Figures
from risk.models import Reservation

UNPRICED = Decimal("Infinity")


@dataclass(slots=True)
class _Sum:
    positions: Decimal = ZERO
    reserved: Decimal = ZERO
    held: set[Key] = field(default_factory=set)
    working: set[Key] = field(default_factory=set)
    deltas: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))


def own_levels(venue: str, symbol: str) -> tuple[str, str, str]:
    return DESK, f"venue:{venue}", f"instrument:{venue}:{symbol}"


def snapshot(marks: Mapping[Key, Decimal], figures: Figures) -> Snapshot:
    """Sums of now. A held instrument without a mark makes its levels' notional infinite: nothing opens there.

    Reservations are read before positions: a fill that moves from one to the other meanwhile (it takes no
    gate lock) is then seen twice, never not at all.
    """
    working = list(_working())
    sums: defaultdict[str, _Sum] = defaultdict(_Sum)
    states: dict[Key, InstrumentState] = {
        key: InstrumentState(mark_price=mark) for key, mark in marks.items()
    }
    for held in exposure.holdings():
        key = held.venue, held.symbol
        mark = marks.get(key)
        if not held.level:
            states[key] = InstrumentState(net=held.net, mark_price=mark)
        for level in (held.level,) if held.level else own_levels(*key):
            total = sums[level]
            total.positions += abs(held.net) * mark if mark else UNPRICED
            total.deltas[held.symbol] += held.net * mark if mark else ZERO
            total.held.add(key)
    for venue, symbol, side, remaining, price, levels in working:
        key = venue, symbol
        before = states.get(key, InstrumentState(mark_price=marks.get(key)))
        buy = before.working_buy + (remaining if side == "buy" else ZERO)
        sell = before.working_sell + (remaining if side == "sell" else ZERO)
        states[key] = InstrumentState(before.net, buy, sell, before.mark_price)
        for level in (*own_levels(venue, symbol), *levels):
            total = sums[level]
            total.reserved += remaining * price
            total.deltas[symbol] += remaining * price * (1 if side == "buy" else -1)
            total.working.add(key)
    return Snapshot(_exposures(sums, figures), states)


def _exposures(sums: Mapping[str, _Sum], figures: Figures) -> Mapping[str, Exposure]:
    """A level of which nothing is held or working has all its room: it is known, and it is zero."""
    flow = exposure.flow()

    class Known(dict[str, Exposure]):
        def __missing__(self, level: str) -> Exposure:
            return _exposure(level, sums.get(level, _Sum()), flow, figures)

        def get(self, level: str, default: Any = None) -> Exposure:
            return self[level]

    return Known()


def _exposure(level: str, total: _Sum, flow: exposure.Flow, figures: Figures) -> Exposure:
    desk = level == DESK
    return Exposure(
        position_notional=total.positions,
        reserved_notional=total.reserved,
        open_positions=len(total.held),
        reserved_positions=len(total.working - total.held),
        deltas=total.deltas,
        equity=figures.equity if desk else None,
        daily_loss=figures.daily_loss if desk else None,
        orders=flow.orders.get(level, 0),
        cancels=flow.cancels.get(level, 0),
        collar_bps=flow.collar_bps.get(level, ZERO),
        gap_bps=figures.gap_bps,
    )


def _working() -> Any:
    """What remains of the open reservations: two a live execution, so few that the sums are made here."""
    rows = Reservation.objects.filter(released_at=None, remaining__gt=0)
    return rows.values_list("venue", "symbol", "side", "remaining", "price", "levels")
