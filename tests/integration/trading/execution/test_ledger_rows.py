"""The books as rows: written with the fill, once, balanced by the database itself, never rewritten."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Sum

from tests.integration.trading.execution.bench import BTC, A, B, Bench
from tests.integration.trading.execution.books import accepted_break
from trading.domain.ledger import Account
from trading.ledger.posting import balance, post_adjustment
from trading.models import Execution, LedgerEntry, LedgerLine, Position

D = Decimal
AT = datetime(2026, 11, 23, tzinfo=UTC)


def settle() -> None:
    """What a commit checks, now: the test's own transaction never commits."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def entry(source: str = "x") -> LedgerEntry:
    return LedgerEntry.objects.create(source=source, kind="other", venue="okx", at=AT)


def line(row: LedgerEntry, amount: str, currency: str = "USDT", account: str = "wallet") -> LedgerLine:
    return LedgerLine.objects.create(
        entry=row, venue="okx", account=account, currency=currency, amount=D(amount)
    )


@pytest.fixture
def traded(bench: Bench) -> Execution:
    execution = bench.drive(bench.open())
    return bench.close(execution)


def test_an_execution_is_in_the_books(traded: Execution) -> None:
    settle()
    for venue in (A, B):
        row = Position.objects.get(venue=venue, symbol=BTC)
        assert balance(venue, Account.POSITION, BTC) == row.net == 0
        assert balance(venue, Account.POSITION, "USDT") == row.cost
        assert -balance(venue, Account.REALISED, "USDT") == row.realised
        assert balance(venue, Account.FEES, "USDT") == row.fees
        assert balance(venue, Account.WALLET, "USDT") == row.realised - row.fees
    assert LedgerEntry.objects.filter(execution=traded).count() == LedgerEntry.objects.count() > 3
    totals = LedgerLine.objects.values_list("currency").annotate(total=Sum("amount"))
    assert {total for _, total in totals} == {D(0)}


def test_an_open_position_derives_from_the_books(bench: Bench) -> None:
    bench.drive(bench.open())
    for row in Position.objects.all():
        assert balance(row.venue, Account.POSITION, row.symbol) == row.net != 0
        assert balance(row.venue, Account.POSITION, "USDT") == row.cost != 0


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [("1", "USDT")],
        [("1", "USDT"), ("-0.999999999999999999", "USDT")],
        [("1", "USDT"), ("-1", "BNB")],
    ],
)
@pytest.mark.django_db
def test_the_database_refuses_what_does_not_balance(lines: Any) -> None:
    def write() -> None:
        with transaction.atomic():
            row = entry()
            for amount, currency in lines:
                line(row, amount, currency)
            settle()

    with pytest.raises(IntegrityError, match="ledger entry"):
        write()


@pytest.mark.django_db
def test_the_database_refuses_a_line_that_comes_later() -> None:
    row = entry()
    line(row, "1")
    line(row, "-1", account="other")
    settle()

    def add() -> None:
        with transaction.atomic():
            line(row, "5")
            settle()

    with pytest.raises(IntegrityError, match="add up to 5"):
        add()


@pytest.mark.parametrize("change", ["UPDATE {} SET venue = 'x'", "DELETE FROM {}"])
@pytest.mark.parametrize("table", ["ledgerentry", "ledgerline", "fundingpayment", "venuebill"])
@pytest.mark.django_db
def test_the_books_are_not_rewritten(change: str, table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tgtype FROM pg_trigger WHERE tgname = %s", [f"trading_{table}_append_only"])
        assert cursor.fetchall() == [(27,)]  # before each row, UPDATE or DELETE
    row = entry()
    line(row, "1")
    line(row, "-1", account="other")
    settle()
    if table.startswith("ledger"):
        with pytest.raises(Exception, match=r"append-only|permission denied"), transaction.atomic():
            connection.cursor().execute(change.format(f"trading_{table}"))


@pytest.mark.django_db
def test_a_source_is_booked_once() -> None:
    named: dict[str, Any] = {
        "venue": "okx",
        "currency": "USDT",
        "amount": D("-0.01"),
        "at": AT,
        "detail": "break 7",
    }
    accepted_break("okx", "7")
    assert post_adjustment("7", **named) is not None
    assert post_adjustment("7", **named | {"amount": D(5)}) is None
    settle()
    assert balance("okx", Account.WALLET, "USDT") == D("-0.01")
    with pytest.raises(IntegrityError, match="source"), transaction.atomic():
        entry("adjustment:7")
