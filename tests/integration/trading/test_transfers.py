"""Money between venues: in transit from the operator's word to the other venue's statement, booked once."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from ops.actions.base import Refusal
from ops.models import AuditEntry
from tests import factories
from trading.domain.ledger import Account
from trading.ledger import bills, transfers
from trading.ledger.posting import balance
from trading.models import LedgerEntry, Transfer, Venue
from trading.venues.interface import BillKind, BillReport

A, B, OUTSIDE = "binanceusdm", "okx", transfers.OUTSIDE
D = Decimal
AT = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def desk(db: None) -> None:
    factories.make_desk()
    for name in (A, B):
        Venue.objects.get_or_create(name=name)


def send(amount: str = "1000", **changes: Any) -> Any:
    data = {"from_venue": A, "to_venue": B, "currency": "USDT", "amount": amount, "txid": "0x1"}
    return factories.submit("alice", "trading.record_transfer", **data | changes)


def arrives(venue: str, amount: str, *, fee: str = "0", number: int = 1, minutes: int = 1) -> None:
    bill = BillReport(
        venue=venue,
        bill_id=f"{venue}-{number}",
        kind=BillKind.TRANSFER,
        symbol="",
        currency="USDT",
        amount=D(amount),
        fee=D(fee),
        trade_id="",
        at=AT + timedelta(minutes=minutes),
    )
    assert bills.book(venue, [bill]) == 1
    assert bills.book(venue, [bill]) == 0


def wallets() -> tuple[Decimal, Decimal, Decimal]:
    """A's, B's, and what is in transit."""
    transit = sum((balance(v, Account.TRANSIT, "USDT") for v in (A, B, OUTSIDE)), D(0))
    return balance(A, Account.WALLET, "USDT"), balance(B, Account.WALLET, "USDT"), transit


def test_in_transit_until_it_arrives() -> None:
    body = send().body
    assert body["state"] == "in transit"
    assert wallets() == (D(-1000), D(0), D(1000))
    arrives(A, "-1000")
    assert wallets() == (D(-1000), D(0), D(1000))
    arrives(B, "1000")
    assert wallets() == (D(-1000), D(1000), D(0))
    row = Transfer.objects.get()
    assert row.departure is not None
    assert row.arrival is not None
    assert not transfers.unexplained().exists()
    assert AuditEntry.objects.latest("seq").action == "trading.record_transfer"


def test_statements_before_the_operator() -> None:
    arrives(A, "-1000")
    arrives(B, "1000")
    assert wallets() == (D(-1000), D(1000), D(0))
    assert transfers.unexplained().count() == 2
    assert send().body["state"] == "arrived"
    assert wallets() == (D(-1000), D(1000), D(0))
    assert not transfers.unexplained().exists()


def test_the_sender_s_fee_is_a_fee() -> None:
    send()
    arrives(A, "-1001.5", fee="1.5")
    arrives(B, "1000")
    assert wallets() == (D("-1001.5"), D(1000), D(0))
    assert balance(A, Account.FEES, "USDT") == D("1.5")


def test_another_amount_is_another_transfer() -> None:
    send()
    arrives(B, "999")
    assert Transfer.objects.get().arrival is None
    assert transfers.unexplained().count() == 1
    assert wallets() == (D(-1000), D(999), D(1))


def test_two_alike_are_matched_one_to_one() -> None:
    send()
    send(txid="0x2")
    arrives(B, "1000", number=1)
    assert Transfer.objects.filter(arrival=None).count() == 1
    arrives(B, "1000", number=2)
    assert not Transfer.objects.filter(arrival=None).exists()
    assert wallets() == (D(-2000), D(2000), D(0))


def test_a_deposit_from_outside() -> None:
    arrives(B, "500")
    assert send("500", from_venue=OUTSIDE).body["state"] == "arrived"
    assert wallets() == (D(0), D(500), D(0))
    assert balance(OUTSIDE, Account.WALLET, "USDT") == D(-500)


def test_the_same_txid_is_booked_once() -> None:
    send()
    with pytest.raises(Refusal, match="0x1"):
        send()
    assert LedgerEntry.objects.count() == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("from_venue", "kraken"),
        ("to_venue", A),
        ("currency", "usdt"),
        ("amount", "0"),
        ("amount", "-5"),
        ("amount", "1e-19"),
        ("amount", "1e20"),
        ("txid", " "),
        ("txid", "x" * 129),
    ],
)
def test_what_is_wrong_is_named(field: str, value: str) -> None:
    with pytest.raises(Refusal) as no:
        send(**{field: value})
    assert no.value.code == "input.invalid"
    assert [error["field"] for error in no.value.errors] == [field]
    assert not Transfer.objects.exists()


def test_a_viewer_records_nothing() -> None:
    data: dict[str, Any] = {"from_venue": A, "to_venue": B, "currency": "USDT", "amount": "1", "txid": "0x3"}
    with pytest.raises(Refusal):
        factories.submit("victor", "trading.record_transfer", **data)
    assert not Transfer.objects.exists()
