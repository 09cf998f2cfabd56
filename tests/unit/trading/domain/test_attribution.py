"""The parts of a profit add up to the profit; what is not known is not 0."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.trading.domain.markets import D, decimals
from trading.domain.attribution import LegFill, Parts, captured_bps, parts
from trading.domain.execution_state import Purpose
from trading.domain.market import Side

BTC = "BTC/USDT:USDT"
NOTHING = D("0")
VENUE = {Side.BUY: "binanceusdm", Side.SELL: "okx"}
MARKS = {("binanceusdm", BTC): D("61000.5"), ("okx", BTC): D("61007.1")}


def fill(
    leg: Side,
    qty: Decimal,
    price: Decimal,
    *,
    purpose: Purpose = Purpose.OPEN,
    fee: Decimal = NOTHING,
    currency: str = "USDT",
) -> LegFill:
    return LegFill(
        venue=VENUE[leg],
        symbol=BTC,
        purpose=purpose,
        leg_side=leg,
        plan_price=D("60000") if leg is Side.BUY else D("60240"),
        side=leg if purpose is Purpose.OPEN else leg.opposite,
        qty=qty,
        price=price,
        fee=fee,
        fee_currency=currency,
    )


def split(
    *fills: LegFill, marks: dict[tuple[str, str], Decimal] = MARKS, rates: dict[str, Decimal] | None = None
) -> Parts:
    return parts(
        fills, marks=marks, quote="USDT", rates=rates or {}, funding=D("1.5"), rounding=D("-0.00000001")
    )


fills = st.builds(
    fill,
    st.sampled_from(Side),
    decimals("0.001", "5", 3),
    decimals("50000", "70000", 1),
    purpose=st.sampled_from(Purpose),
    fee=decimals("-1", "10", 8),
)


@given(st.lists(fills, max_size=12))
def test_the_parts_add_up(found: list[LegFill]) -> None:
    cash = sum((-f.signed * f.price - f.fee for f in found), D("0"))
    held = sum((f.signed * MARKS[f.venue, f.symbol] for f in found), D("0"))
    assert split(*found).net == cash + held + D("1.5") - D("0.00000001")


def test_each_part_is_what_its_name_says() -> None:
    one = D("1")
    told = split(
        fill(Side.BUY, one, D("60001"), fee=D("30")),
        fill(Side.SELL, one, D("60239")),
        fill(Side.BUY, one, D("60100"), purpose=Purpose.CLOSE),
        fill(Side.SELL, one, D("60090"), purpose=Purpose.CLOSE),
    )
    assert (told.entry_basis, told.slippage) == (D("240"), D("-2"))
    assert (told.exit_basis, told.rescue, told.residual, told.fees) == (D("10"), D("0"), D("0"), D("-30"))


def test_a_leg_that_had_to_be_reversed_is_rescue_and_no_basis() -> None:
    one = D("1")
    told = split(fill(Side.BUY, one, D("60000")), fill(Side.BUY, one, D("59900"), purpose=Purpose.REVERSE))
    assert (told.entry_basis, told.exit_basis, told.rescue) == (D("0"), D("0"), D("-100"))


def test_without_a_mark_nothing_is_claimed() -> None:
    told = split(fill(Side.BUY, D("1"), D("60000")), marks={})
    assert (told.residual, told.net, told.entry_basis) == (None, None, D("-60000"))


def test_a_fee_in_another_currency_needs_its_rate() -> None:
    paid = fill(Side.BUY, D("1"), D("60000"), fee=D("0.01"), currency="BNB")
    assert (split(paid).fees, split(paid).net) == (None, None)
    assert split(paid, rates={"BNB": D("600")}).fees == D("-6")


def test_captured_is_the_spread_of_the_opening_fills() -> None:
    long, short = fill(Side.BUY, D("2"), D("60000")), fill(Side.SELL, D("2"), D("60060"))
    assert captured_bps([long, short]) == D("10")
    assert captured_bps([long, short, replace(short, purpose=Purpose.CLOSE, price=D("1"))]) == D("10")
    assert captured_bps([long]) is None
