"""The generated market: a function of seed and time, with the recordings' figures; what is laid over it."""

import itertools
import math
import statistics
from decimal import Decimal

import pytest

from trading.paper.instruments import BINANCE, INSTRUMENTS, OKX
from trading.paper.market import COINS, FUNDING_MS, STEP_MS, Generator
from trading.paper.overlay import NOTHING, OverlaidMarket, Overlay

D = Decimal
START_MS = 1_735_689_600_000
MINUTE_MS = 60_000


def test_the_past_reads_the_same_whatever_was_asked_before() -> None:
    walked, fresh = Generator(7), Generator(7)
    for step in range(50):
        walked.ladder("okx", OKX[0], START_MS + step * STEP_MS)
        walked.ladder("binanceusdm", BINANCE[1], START_MS - step * MINUTE_MS)
    at_ms = START_MS + 10 * STEP_MS
    assert walked.ladder("okx", OKX[0], at_ms) == fresh.ladder("okx", OKX[0], at_ms)
    assert Generator(8).ladder("okx", OKX[0], at_ms) != fresh.ladder("okx", OKX[0], at_ms)


def test_nothing_is_built_again_within_a_step() -> None:
    market = Generator(1)
    first = market.ladder("okx", OKX[0], START_MS)
    assert market.ladder("okx", OKX[0], START_MS + STEP_MS - 1) is first
    assert market.ladder("okx", OKX[0], START_MS + STEP_MS) is not first


@pytest.mark.parametrize("venue", list(INSTRUMENTS))
@pytest.mark.parametrize("number", range(len(COINS)))
def test_ladders_are_on_the_grid_sorted_and_uncrossed(venue: str, number: int) -> None:
    instrument, market = INSTRUMENTS[venue][number], Generator(3)
    for step in range(40):
        ladder = market.ladder(venue, instrument, START_MS + step * 7_000)
        for price, qty in (*ladder.bids, *ladder.asks):
            assert price % instrument.tick == 0
            assert qty % instrument.lot == 0 < qty
        prices = [price for price, _ in (*reversed(ladder.bids), *ladder.asks)]
        assert prices == sorted(set(prices))


@pytest.mark.parametrize(("one", "other"), itertools.combinations(INSTRUMENTS, 2))
def test_volatility_and_basis_are_the_recorded_ones(one: str, other: str) -> None:
    """Recorded: 1.4 bps a second, 6 to 9 a minute; basis rms 4.7, edges up to 9.7 (14.8 linear)."""
    market = Generator(5)
    for step_ms, low, high in ((1_000, 1.1, 1.8), (MINUTE_MS, 5.0, 8.0)):
        mids = [market.index_price("BTC", START_MS + n * step_ms) for n in range(2_000)]
        returns = [1e4 * math.log(b / a) for a, b in itertools.pairwise(mids)]
        assert low < statistics.pstdev(returns) < high
    times = [START_MS + n * MINUTE_MS for n in range(3_000)]
    basis = [market.basis_bps(one, "BTC", t) - market.basis_bps(other, "BTC", t) for t in times]
    assert 3 < math.sqrt(statistics.mean(b * b for b in basis)) < 7
    assert max(basis) > 10
    assert min(basis) < -10


def test_funding_rates_differ_by_venue_and_instant_and_stay_in_bounds() -> None:
    market = Generator(1)
    rates = {market.funding_rate(venue, "BTC", n * FUNDING_MS) for venue in INSTRUMENTS for n in range(100)}
    assert len(rates) > 150
    assert all(abs(rate) <= D("0.00075") for rate in rates)


def test_an_overlay_moves_the_whole_book_and_lifts_again() -> None:
    market = OverlaidMarket(Generator(1))
    plain = market.ladder("okx", OKX[0], START_MS)
    market.change("okx", "BTC", Overlay(shift_bps=D(30)))
    moved = market.ladder("okx", OKX[0], START_MS)
    assert moved is market.ladder("okx", OKX[0], START_MS)
    assert abs(moved.bids[0][0] / plain.bids[0][0] - 1 - D("0.003")) < D("0.00001")
    assert moved.mark - plain.mark == moved.bids[0][0] - plain.bids[0][0]
    assert moved.asks[0][0] - moved.bids[0][0] == plain.asks[0][0] - plain.bids[0][0]
    assert market.ladder("binanceusdm", BINANCE[0], START_MS).mark != moved.mark
    market.change("okx", "BTC", NOTHING)
    assert market.ladder("okx", OKX[0], START_MS) is plain


def test_an_overlay_sets_price_funding_and_takes_liquidity_away() -> None:
    market = OverlaidMarket(Generator(1))
    overlay = Overlay(mid=D(50_000), withdrawn=frozenset({"asks"}), funding_rate=D("-0.001"))
    market.change("okx", "BTC", overlay)
    ladder = market.ladder("okx", OKX[0], START_MS)
    assert abs(ladder.bids[0][0] - 50_000) < 1
    assert ladder.asks == ()
    assert market.funding_rate("okx", "BTC", START_MS) == D("-0.001")
