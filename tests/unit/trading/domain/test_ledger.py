"""Lines add up to zero, whatever happened; balances do not ask in which order it did."""

import random
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.trading.domain.markets import D, decimals
from trading.domain import ledger, pnl
from trading.domain.ledger import Account, Entry, EntryKind, Line, UnbalancedError
from trading.domain.market import Side

AT = datetime(2026, 11, 23, tzinfo=UTC)
BTC = "BTC/USDT:USDT"
money = decimals("-1000", "1000", 8).filter(bool)
moves = st.tuples(
    st.sampled_from(Side),
    decimals("0.00001", "1000", 5),
    decimals("0.01", "200000", 2),
    decimals("-5", "50", 8),
    st.sampled_from(["USDT", "BNB"]),
)


def traded(found: list[tuple[Side, Decimal, Decimal, Decimal, str]]) -> tuple[list[Entry], pnl.Position]:
    position, entries = pnl.FLAT, []
    for number, (side, qty, price, fee, currency) in enumerate(found):
        after = pnl.apply_fill(position, side=side, qty=qty, price=price, fee=fee)
        trade = ledger.Trade(
            venue="okx",
            symbol=BTC,
            trade_id=str(number),
            side=side,
            qty=qty,
            fee=fee,
            fee_currency=currency,
            at=AT,
            before=position,
            after=after,
        )
        entries.append(ledger.of_fill(trade))
        position = after
    return entries, position


def billed(number: int, kind: EntryKind, amount: Decimal, fee: Decimal) -> Entry:
    return ledger.of_bill(
        kind, venue="okx", bill_id=str(number), symbol="", currency="USDT", amount=amount, fee=fee, at=AT
    )


@st.composite
def histories(draw: st.DrawFn) -> list[Entry]:
    entries, _ = traded(draw(st.lists(moves, max_size=8)))
    kinds = st.sampled_from(list(ledger.CONTRA))
    bills = draw(st.lists(st.tuples(kinds, money, decimals("0", "1", 8)), max_size=5))
    entries += [billed(n, *bill) for n, bill in enumerate(bills)]
    for number, amount in enumerate(draw(st.lists(money, max_size=3))):
        named: dict[str, Any] = {"venue": "okx", "currency": "USDT", "at": AT}
        entries.append(ledger.of_adjustment(f"adjustment:{number}", amount=amount, **named))
        entries.append(ledger.of_departure(f"transfer:{number}", amount=abs(amount), **named))
        entries.append(ledger.of_rounding(f"rounding:{number}", symbol=BTC, amount=amount, **named))
    return entries


@given(histories())
def test_everything_adds_up_to_zero(entries: list[Entry]) -> None:
    totals = ledger.sums(line for entry in entries for line in entry.lines)
    assert set(totals.values()) <= {D("0")}


@given(histories(), st.randoms(use_true_random=False))
def test_balances_do_not_depend_on_the_order(entries: list[Entry], draw: random.Random) -> None:
    shuffled = list(entries)
    draw.shuffle(shuffled)
    assert ledger.balances(entries) == ledger.balances(shuffled)


@given(st.lists(moves, min_size=1, max_size=12))
def test_a_position_derives_from_its_lines(found: list[tuple[Side, Decimal, Decimal, Decimal, str]]) -> None:
    entries, position = traded(found)
    told = ledger.balances(entries)
    assert told.get(("okx", Account.POSITION, BTC), D("0")) == position.net
    assert told.get(("okx", Account.POSITION, "USDT"), D("0")) == position.cost
    assert -told.get(("okx", Account.REALISED, "USDT"), D("0")) == position.realised
    for currency in ("USDT", "BNB"):
        paid = sum((fee for *_, fee, paid_in in found if paid_in == currency), D("0"))
        assert told.get(("okx", Account.FEES, currency), D("0")) == paid


def test_a_fee_in_another_currency_leaves_another_wallet() -> None:
    entries, _ = traded([(Side.BUY, D("1"), D("100"), D("0.01"), "BNB")])
    told = ledger.balances(entries)
    assert told["okx", Account.WALLET, "BNB"] == D("-0.01")
    assert ("okx", Account.WALLET, "USDT") not in told


def test_the_fee_of_a_bill_is_part_of_its_amount() -> None:
    told = ledger.balances([billed(1, EntryKind.TRANSFER, D("-101"), D("1"))])
    assert told["okx", Account.WALLET, "USDT"] == D("-101")
    assert (told["okx", Account.TRANSIT, "USDT"], told["okx", Account.FEES, "USDT"]) == (D("100"), D("1"))


@pytest.mark.parametrize("amounts", [[], ["1"], ["1", "-0.999"]])
def test_an_entry_that_does_not_balance_is_no_entry(amounts: list[str]) -> None:
    lines = tuple(Line("okx", Account.WALLET, "USDT", D(amount)) for amount in amounts)
    with pytest.raises(UnbalancedError):
        Entry("x", EntryKind.OTHER, AT, lines)


def test_currencies_do_not_balance_each_other() -> None:
    lines = (Line("okx", Account.WALLET, "USDT", D("1")), Line("okx", Account.OTHER, "BNB", D("-1")))
    with pytest.raises(UnbalancedError):
        Entry("x", EntryKind.OTHER, AT, lines)


def test_a_symbol_without_settlement_is_named() -> None:
    with pytest.raises(ValueError, match="BTC/USDT"):
        ledger.settlement("BTC/USDT")


@given(money, st.lists(decimals("-5", "5", 5), min_size=1, max_size=6))
def test_shares_of_funding_add_up(amount: Decimal, held: list[Decimal]) -> None:
    shares = ledger.shares(amount, {str(n): qty for n, qty in enumerate(held)})
    if sum(held):
        assert sum(shares.values()) == amount
    else:
        assert shares == {}


def test_shares_follow_signed_quantity() -> None:
    assert ledger.shares(D("-9"), {"a": D("4"), "b": D("-1")}) == {"a": D("-12"), "b": D("3")}
