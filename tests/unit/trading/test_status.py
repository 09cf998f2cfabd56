"""What a venue's last words make of its components."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from ops.status import Status
from trading.config import TradingConfig
from trading.domain.market import Book, Level
from trading.status import _book_fault, _connected
from trading.venues.hub import FactKey
from trading.venues.interface import ClockSample, VenueError, Verdict
from trading.watch import Word

NOW = datetime(2026, 1, 2, tzinfo=UTC)
CLOCK = FactKey("clock", "okx")


class _Limits:
    class preflight:  # noqa: N801
        max_clock_skew_ms = 1000


LIMITS: TradingConfig = _Limits  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (0, Status.OK),
        (-500, Status.OK),
        (501, Status.WARN),
        (-1000, Status.WARN),
        (1001, Status.ERROR),
        (-2500, Status.ERROR),
    ],
)
def test_a_clock_is_judged_by_the_configured_skew(offset: int, expected: Status) -> None:
    word = Word(ClockSample("okx", offset, 12), None, NOW)
    found = _connected("okx", LIMITS, lambda: {CLOCK: word})
    assert found.status is expected
    assert found.metrics == {"clock_offset_ms": offset, "round_trip_ms": 12}
    assert found.observed_at == NOW


def test_a_refusal_is_red_in_its_own_words() -> None:
    refusal = VenueError(Verdict.MAINTENANCE, venue="okx", code="50001", detail="closed")
    found = _connected("okx", LIMITS, lambda: {CLOCK: Word(None, refusal, NOW)})
    assert (found.status, found.summary) == (Status.ERROR, "maintenance 50001: closed")


def test_silence_has_no_age() -> None:
    assert _connected("okx", LIMITS, dict).observed_at is None


def book(bids: list[str], asks: list[str]) -> Word:
    sides = [tuple(Level(Decimal(p), Decimal(1)) for p in side) for side in (bids, asks)]
    return Word(Book("okx", "BTC/USDT:USDT", sides[0], sides[1], received_at=NOW), None, NOW)


@pytest.mark.parametrize(
    ("word", "fault"),
    [
        (book(["99"], ["100"]), ""),
        (book(["100"], ["100"]), "crossed"),
        (book([], ["100"]), "a side is empty"),
        (book(["99"], []), "a side is empty"),
        (None, "never read"),
    ],
)
def test_a_book_that_no_price_can_rest_on(word: Word | None, fault: str) -> None:
    assert _book_fault(word) == fault
