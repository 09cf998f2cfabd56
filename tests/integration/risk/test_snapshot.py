"""The sums that the gate decides on, from rows."""

from collections.abc import Iterator
from decimal import Decimal
from uuid import uuid4

import pytest

from ops.config import versions
from risk import exposure, reservations
from risk.domain.gate import DESK
from risk.exposure import Holding
from risk.reservations import LegReservation
from risk.services import snapshot
from tests import factories

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"


@pytest.fixture(autouse=True)
def held(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One position: 0.5 ETH short on okx."""
    factories.make_desk()
    monkeypatch.setattr(exposure, "_sources", [lambda: [Holding("okx", ETH, Decimal("-0.5"))]])
    yield
    versions.forget()


def leg(number: int, venue: str, side: str, qty: str, price: str) -> LegReservation:
    return LegReservation(number, venue, BTC, side, Decimal(qty), Decimal(price))


def test_open_reservations_and_positions_are_summed() -> None:
    first, second, gone = uuid4(), uuid4(), uuid4()
    reservations.reserve(
        first, [leg(0, "okx", "buy", "0.3", "100"), leg(1, "binanceusdm", "sell", "0.3", "101")]
    )
    reservations.reserve(second, [leg(0, "okx", "buy", "0.2", "99")])
    reservations.reserve(gone, [leg(0, "okx", "buy", "7", "100")])
    reservations.consume(first, 0, Decimal("0.1"))  # filled: it is in the position now
    reservations.release(gone)

    found = snapshot({("okx", ETH): Decimal(2000), ("okx", BTC): Decimal(100)})

    desk = found.exposures[DESK]
    assert desk.reserved_notional == Decimal("0.2") * 100 + Decimal("0.3") * 101 + Decimal("0.2") * 99
    assert desk.position_notional == 1000
    assert (desk.open_positions, desk.reserved_positions) == (1, 2)
    working = found.instruments["okx", BTC]
    assert working.working_buy == Decimal("0.4")
    assert working.working_sell == working.net == 0
    assert found.instruments["binanceusdm", BTC].working_sell == Decimal("0.3")


def test_a_position_without_a_mark_is_worth_any_amount() -> None:
    assert snapshot({}).exposures[DESK].position_notional == Decimal("Infinity")
