"""Small markets to reason about by hand, and hypothesis strategies of larger ones."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from trading.domain.edge import Assumptions, LegMarket
from trading.domain.market import Book, FeeTier, Funding, Instrument, Level

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
SYMBOL = "BTC/USDT:USDT"
LOT = Decimal("0.001")
QUIET = Assumptions(latency_allowance_bps=Decimal("0.5"), expected_hold=timedelta(hours=1))


def D(text: str) -> Decimal:  # noqa: N802 - reads as the literal it stands for
    return Decimal(text)


def levels(*rows: tuple[str, str]) -> tuple[Level, ...]:
    return tuple(Level(D(price), D(qty)) for price, qty in rows)


def book(
    venue: str, *, bids: tuple[Level, ...], asks: tuple[Level, ...], received_at: datetime = NOW
) -> Book:
    return Book(venue=venue, symbol=SYMBOL, bids=bids, asks=asks, received_at=received_at)


def instrument(venue: str, **changes: Decimal) -> Instrument:
    filters: dict[str, Decimal] = {
        "contract_size": D("1"),
        "tick": D("0.1"),
        "lot": LOT,
        "min_qty": LOT,
        "max_qty": D("100"),
        "min_notional": D("5"),
    }
    return Instrument(
        venue=venue, symbol=SYMBOL, base="BTC", quote="USDT", settle="USDT", **(filters | changes)
    )


def funding(venue: str, rate: str = "0", *, hours: int = 8, next_at: datetime | None = None) -> Funding:
    return Funding(
        venue=venue,
        symbol=SYMBOL,
        rate=D(rate),
        next_at=next_at or NOW + timedelta(hours=4),
        interval_hours=hours,
        mark_price=D("100"),
    )


def market(
    order_book: Book, *, taker: str = "0.0005", maker: str = "0.0002", rate: str = "0", **filters: Decimal
) -> LegMarket:
    return LegMarket(
        instrument=instrument(order_book.venue, **filters),
        book=order_book,
        fees=FeeTier(maker=D(maker), taker=D(taker)),
        funding=funding(order_book.venue, rate),
    )


CHEAP = book(
    "okx",
    bids=levels(("99.9", "1"), ("99.8", "5")),
    asks=levels(("100", "1"), ("100.1", "5"), ("100.4", "50")),
)
DEAR = book("bybit", bids=levels(("101", "1"), ("100.9", "5")), asks=levels(("101.1", "1"), ("101.2", "5")))


def decimals(low: str, high: str, places: int) -> st.SearchStrategy[Decimal]:
    return st.decimals(D(low), D(high), places=places, allow_nan=False, allow_infinity=False)


@st.composite
def books(draw: st.DrawFn, venue: str) -> Book:
    """Eight levels a side around 90-110, never crossed, each deep enough that eight coins always fill."""
    mid, tick = draw(decimals("90", "110", 1)), D("0.1")

    def side(direction: int) -> tuple[Level, ...]:
        price, rows = mid, []
        for _ in range(8):
            price += direction * tick * draw(st.integers(1, 20))
            rows.append(Level(price, draw(decimals("1", "9", 3))))
        return tuple(rows)

    return book(venue, bids=side(-1), asks=side(1))


@st.composite
def leg_markets(draw: st.DrawFn, venue: str) -> LegMarket:
    return LegMarket(
        instrument=instrument(venue),
        book=draw(books(venue)),
        fees=FeeTier(maker=draw(decimals("-0.0005", "0.001", 5)), taker=draw(decimals("-0.0002", "0.01", 5))),
        funding=Funding(
            venue=venue,
            symbol=SYMBOL,
            rate=draw(decimals("-0.03", "0.03", 6)),
            next_at=NOW + timedelta(minutes=draw(st.integers(-60, 480))),
            interval_hours=draw(st.sampled_from([1, 4, 8])),
            mark_price=draw(decimals("90", "110", 2)),
        ),
    )


quantities = st.integers(1, 8000).map(lambda lots: lots * LOT)
holds = st.integers(0, 2000).map(lambda minutes: timedelta(minutes=minutes))
