from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.trading.domain.markets import (
    CHEAP,
    DEAR,
    LOT,
    NOW,
    QUIET,
    D,
    books,
    decimals,
    funding,
    holds,
    leg_markets,
    levels,
    market,
    quantities,
)
from trading.domain.edge import (
    Assumptions,
    Edge,
    InsufficientDepthError,
    LegMarket,
    exit_basis_bps,
    funding_amount,
    funding_times,
    gross,
    pair_edge,
    take,
    walk,
)
from trading.domain.market import Book, FeeTier, Side


def edge(long: LegMarket, short: LegMarket, qty: Decimal, hold: timedelta = timedelta(hours=1)) -> Edge:
    assumptions = Assumptions(latency_allowance_bps=D("0.5"), expected_hold=hold)
    return pair_edge(long, short, qty=qty, exit_spread_bps=D("20"), assumptions=assumptions, now=NOW)


def test_walk_takes_the_best_levels_first() -> None:
    result = walk(CHEAP.asks, D("3"))
    assert (result.filled, result.cost, result.worst_price) == (D("3"), D("300.2"), D("100.1"))
    assert result.avg_price * 3 == pytest.approx(D("300.2"))


def test_walk_of_a_thin_book_says_how_much_there_was() -> None:
    assert walk(CHEAP.bids, D("100")).filled == D("6")
    assert walk((), D("1")).filled == 0


@pytest.mark.parametrize("qty", ["6.001", "0", "-1"])
def test_no_price_is_given_for_what_cannot_be_filled(qty: str) -> None:
    with pytest.raises(InsufficientDepthError):
        take(CHEAP, Side.SELL, D(qty))


def test_edge_by_hand() -> None:
    """Buy 2 at 100 and 100.1, sell 2 at 101 and 100.9; out at 99.9/99.8 and 101.1/101.2; notional 200."""
    result = edge(market(CHEAP), market(DEAR), D("2"))
    assert result.notional == D("200")
    assert result.parts() == {
        "entry_spread_bps": D("100"),
        "exit_spread_bps": D("-20"),
        "fees_bps": D("-20.10"),  # 5 bps x (200.1 + 201.9 + 199.7 + 202.3) / 200
        "slippage_in_bps": D("-10"),
        "slippage_out_bps": D("-10"),
        "latency_bps": D("-0.5"),
        "funding_bps": D("0"),
    }
    assert result.net_bps == D("39.4")
    assert result.net_quote == D("0.788")


def test_post_only_entry_pays_the_maker_fee_in_and_the_taker_fee_out() -> None:
    long, short = market(CHEAP), market(DEAR)
    taker, maker = (
        pair_edge(long, short, qty=D("1"), exit_spread_bps=D("20"), assumptions=QUIET, now=NOW, makers=makers)
        for makers in ((), (Side.BUY, Side.SELL))
    )
    assert maker.net_quote - taker.net_quote == D("0.0003") * (D("100") + D("101"))


def test_the_exit_side_must_have_depth_too() -> None:
    with pytest.raises(InsufficientDepthError, match=r"okx .* sell"):
        edge(market(CHEAP), market(replace(DEAR, bids=levels(("101", "50")))), D("7"))


def test_an_empty_book_has_no_touch() -> None:
    with pytest.raises(InsufficientDepthError):
        gross(replace(CHEAP, asks=()), DEAR)


@pytest.mark.parametrize(
    ("hold", "times"),
    [
        (timedelta(0), 0),
        (timedelta(hours=3, minutes=59), 0),
        (timedelta(hours=4), 1),
        (timedelta(hours=11, minutes=59), 1),
        (timedelta(hours=12), 2),
    ],
)
def test_funding_counts_each_instant_up_to_the_exit(hold: timedelta, times: int) -> None:
    assert funding_times(funding("okx"), now=NOW, until=NOW + hold) == times


def test_a_funding_time_already_gone_is_not_paid_again() -> None:
    stale = funding("okx", next_at=NOW - timedelta(hours=1))
    assert funding_times(stale, now=NOW, until=NOW + timedelta(hours=6)) == 0
    assert funding_times(stale, now=NOW, until=NOW + timedelta(hours=7)) == 1


def test_each_venue_pays_at_its_own_times() -> None:
    long, short = market(CHEAP), replace(market(DEAR), funding=funding("bybit", "0.0001", hours=1))
    result = edge(long, short, D("1"), timedelta(hours=6))
    assert result.funding_bps == D("3")  # the short receives 1 bp at hours 4, 5 and 6; the long's rate is 0


def test_a_long_pays_a_positive_rate() -> None:
    until = NOW + timedelta(hours=4)
    assert funding_amount(funding("okx", "0.0001"), Side.BUY, D("2"), now=NOW, until=until) == D("-0.02")


@given(books("a"), books("b"))
def test_going_round_pays_both_spreads(a: Book, b: Book) -> None:
    spreads = (a.asks[0].price - a.bids[0].price) + (b.asks[0].price - b.bids[0].price)
    assert gross(a, b) + gross(b, a) == -spreads


@given(books("a"), books("b"))
def test_in_and_straight_out_at_the_touch_pays_both_spreads(a: Book, b: Book) -> None:
    spreads = (a.asks[0].price - a.bids[0].price) + (b.asks[0].price - b.bids[0].price)
    out = exit_basis_bps(a, b) * a.asks[0].price / 10_000
    assert gross(a, b) - out == pytest.approx(-spreads, abs=D("1e-9"))


@given(leg_markets("a"), leg_markets("b"), quantities, holds)
def test_parts_add_up_to_the_net_to_the_last_digit(
    long: LegMarket, short: LegMarket, qty: Decimal, hold: timedelta
) -> None:
    result = edge(long, short, qty, hold)
    assert sum(result.parts().values()) == result.net_bps
    below = result.net_quote * 10_000 / result.notional - result.net_bps
    assert 0 <= below < D("1.0001e-8")
    exact = (short.book.bids[0].price - long.book.asks[0].price) * 10_000 / long.book.asks[0].price
    assert 0 <= exact - result.gross_bps < D("1.0001e-8")


@given(leg_markets("a"), quantities, holds)
def test_funding_is_antisymmetric(leg: LegMarket, qty: Decimal, hold: timedelta) -> None:
    until = NOW + hold
    bought = funding_amount(leg.funding, Side.BUY, qty, now=NOW, until=until)
    assert bought + funding_amount(leg.funding, Side.SELL, qty, now=NOW, until=until) == 0


@given(leg_markets("a"), leg_markets("b"), quantities, decimals("0", "0.01", 5), st.booleans())
def test_a_higher_fee_never_pays(
    long: LegMarket, short: LegMarket, qty: Decimal, more: Decimal, on_long: bool
) -> None:
    def dearer(leg: LegMarket) -> LegMarket:
        return replace(leg, fees=FeeTier(maker=leg.fees.maker + more, taker=leg.fees.taker + more))

    after = edge(dearer(long), short, qty) if on_long else edge(long, dearer(short), qty)
    before = edge(long, short, qty)
    assert after.net_bps <= before.net_bps
    assert (after.net_quote < before.net_quote) == (more > 0)


@given(leg_markets("a"), leg_markets("b"), st.integers(1, 7999), st.integers(1, 7999), holds)
def test_size_never_improves_the_net(
    long: LegMarket, short: LegMarket, lots: int, more: int, hold: timedelta
) -> None:
    small, large = lots * LOT, min(lots + more, 8000) * LOT
    assert edge(long, short, large, hold).net_bps <= edge(long, short, small, hold).net_bps
