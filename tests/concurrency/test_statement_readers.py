"""Several processes read one venue's statement at once while fills come in: everything is booked once."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.db.models import Count, Sum

from trading.domain import ledger, pnl
from trading.domain.ledger import Account, Trade
from trading.domain.market import Side
from trading.ledger import bills
from trading.ledger.posting import balance, post
from trading.ledger.rounding import settle
from trading.models import FundingPayment, LedgerEntry, LedgerLine, Venue, VenueBill
from trading.venues.interface import BillKind, BillReport

READERS, TRADES = 4, 12
A, BTC = "binanceusdm", "BTC/USDT:USDT"
AT = datetime(2026, 11, 23, tzinfo=UTC)
OFF = Decimal("0.00000001")


def statement() -> list[BillReport]:
    """A commission for each trade, a hair from what we booked, and funding in between."""
    found = []
    for n in range(TRADES):
        at = AT + timedelta(seconds=n)
        found.append(bill(f"t{n}", BillKind.TRADE, -Decimal(n) - OFF, at, str(n)))
        found.append(bill(f"f{n}", BillKind.FUNDING, Decimal("0.5"), at))
    return found


def bill(bill_id: str, kind: BillKind, amount: Decimal, at: datetime, trade: str = "") -> BillReport:
    return BillReport(
        venue=A,
        bill_id=bill_id,
        kind=kind,
        symbol=BTC,
        currency="USDT",
        amount=amount,
        fee=-amount if trade else Decimal(0),
        trade_id=trade,
        at=at,
    )


def trade(number: int, position: pnl.Position) -> pnl.Position:
    fee, price = Decimal(number), Decimal(60_000)
    after = pnl.apply_fill(position, side=Side.BUY, qty=Decimal(1), price=price, fee=fee)
    entry = ledger.of_fill(
        Trade(
            venue=A,
            symbol=BTC,
            trade_id=str(number),
            side=Side.BUY,
            qty=Decimal(1),
            fee=fee,
            fee_currency="USDT",
            at=AT,
            before=position,
            after=after,
        )
    )
    with transaction.atomic():
        post(entry)
        settle(A, BTC, str(number))
    return after


def read() -> int:
    with transaction.atomic():
        bills.lock(A)
        return bills.book(A, statement())


def all_at_once(*jobs: Callable[[], object]) -> None:
    gate = threading.Barrier(len(jobs))

    def one(job: Callable[[], object]) -> None:
        try:
            gate.wait(30)
            job()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(jobs)) as pool:
        for done in [pool.submit(one, job) for job in jobs]:
            done.result(60)


def fills() -> None:
    position = pnl.FLAT
    for number in range(TRADES):
        position = trade(number, position)


@pytest.mark.django_db(transaction=True)
def test_a_statement_read_by_many_is_booked_once() -> None:
    assert not Venue.objects.filter(name=A).exists()
    all_at_once(*[read] * READERS, fills)
    read()  # whatever was committed after the last look
    assert VenueBill.objects.count() == 2 * TRADES
    kinds = dict(LedgerEntry.objects.values_list("kind").annotate(Count("id")).order_by())
    assert kinds == {"fill": TRADES, "funding": TRADES, "rounding": TRADES}
    assert FundingPayment.objects.count() == TRADES
    said = VenueBill.objects.aggregate(total=Sum("amount"))["total"]
    assert balance(A, Account.WALLET, "USDT") == said
    totals = LedgerLine.objects.values_list("currency").annotate(total=Sum("amount")).order_by()
    assert {total for _, total in totals} == {Decimal(0)}
