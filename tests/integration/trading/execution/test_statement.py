"""Our books against the venues' own statements, read from the venues themselves."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from tests import factories
from tests.in_process import Caller
from tests.integration.trading.execution.bench import BTC, EDGE_BPS, A, B, Bench
from tests.integration.trading.execution.books import accepted_break
from tests.integration.trading.execution.statements import statement
from trading.domain.canonical import canonical_json
from trading.domain.ledger import Account
from trading.domain.market import Side
from trading.domain.plan import Plan
from trading.execution.fills import record_fill
from trading.ledger import attribution, bills
from trading.ledger.bills import post_bills
from trading.ledger.posting import balance, post_adjustment
from trading.ledger.statement import Difference, DifferenceKind, differences
from trading.models import Execution, FundingPayment, LedgerLine, OrderIntent
from trading.paper.orders import NewOrder, TimeInForce
from trading.paper.orders import Side as PaperSide
from trading.venues.binanceusdm import BinanceUsdm
from trading.venues.interface import BillKind, BillReport, FillReport
from trading.venues.okx import Okx

D = Decimal


@pytest.fixture(autouse=True)
def bills_of_engines(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def read(self: BinanceUsdm | Okx, *, since: datetime) -> tuple[BillReport, ...]:
        return statement(bench, self.name, since)

    for kind in (BinanceUsdm, Okx):
        monkeypatch.setattr(kind, "bills", read, raising=False)


def kinds(found: tuple[Difference, ...]) -> set[str]:
    return {each.kind.value for each in found}


def equal(bench: Bench) -> None:
    for venue in (A, B):
        assert differences(venue) == ()
        account = bench.paper[venue].engine.account
        assert balance(venue, Account.WALLET, "USDT") == account.wallet
        assert balance(venue, Account.FEES, "USDT") == account.fees_paid
        assert -balance(venue, Account.FUNDING, "USDT") == account.funding


def fund(bench: Bench, venue: str, amount: str) -> None:
    """A funding payment, as the venue books one by itself."""
    engine = bench.paper[venue].engine
    net = engine.account.position("BTC").net
    engine.account.funding += D(amount)
    engine._book_bill("funding", "BTC", D(amount), at_ms=now_ms(), qty=net, price=D(60_000))


def now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)


def somebody_else_trades(bench: Bench, venue: str) -> None:
    engine = bench.paper[venue].engine
    order = NewOrder(
        base="BTC",
        side=PaperSide.BUY,
        qty=D("0.02"),
        price=None,
        time_in_force=TimeInForce.IOC,
        reduce_only=False,
        client_order_id="notours1",
    )
    engine.place(order)


def invented() -> FillReport:
    """No trade of the venue's; its fee in a currency that nothing else is in."""
    return FillReport(
        venue=A,
        symbol=BTC,
        trade_id="4711",
        venue_order_id="",
        client_order_id="",
        side=Side.BUY,
        qty=D("0.001"),
        price=D(60_000),
        fee=D("0.03"),
        fee_currency="BNB",
        maker=False,
        at=timezone.now(),
    )


def test_opened_books_equal_the_venue(bench: Bench) -> None:
    equal(bench)
    assert -balance(A, Account.OPENING, "USDT") == bench.paper[A].engine.account.wallet
    assert post_bills(A) == 0


def test_executions_equal_the_statements_to_the_last_digit(bench: Bench) -> None:
    first = bench.drive(bench.open())
    equal(bench)  # opened after the first fills: nothing is counted twice
    bench.pin(BTC=D("60123.4"))
    second = bench.drive(bench.open())
    equal(bench)
    fund(bench, A, "-1.23456789")
    fund(bench, B, "0.98765432")
    bench.pin(BTC=D("59876.5"))
    bench.close(first, leave=D("0.011"))
    bench.close(second)
    bench.close(first)
    equal(bench)
    earned = sum((bench.paper[v].engine.account.wallet - 100_000 for v in (A, B)), D(0))
    told = [attribution.parts(row, marks={}).net for row in (first, second)]
    assert None not in told
    assert sum(filter(None, told)) == earned != 0


def test_the_parts_of_one_execution_are_its_lines(bench: Bench) -> None:
    first, second = bench.drive(bench.open()), bench.drive(bench.open())
    bench.pin(BTC=D("60321.7"))
    bench.close(first, leave=D("0.005"))
    equal(bench)
    for execution in (first, second):
        lines = LedgerLine.objects.filter(entry__execution=execution, currency="USDT")
        accounts = (Account.REALISED, Account.POSITION, Account.FEES, Account.ROUNDING)
        booked = -sum(lines.filter(account__in=accounts).values_list("amount", flat=True))
        marks = {(A, BTC): D(0), (B, BTC): D(0)}  # the residual at nothing: what is left is cash
        assert attribution.parts(execution, marks=marks).net == booked
        assert attribution.parts(execution, marks={}).net is None


def test_the_edge_is_told_three_times(bench: Bench) -> None:
    execution = bench.drive(bench.open())
    told = attribution.edges(Execution.objects.select_related("approval").get(pk=execution.pk))
    plan = Plan.from_json(canonical_json(execution.plan))
    assert plan.edge is not None
    assert told.at_send == plan.edge.net_bps
    assert told.seen is not None
    assert told.captured is not None
    assert abs(told.captured - EDGE_BPS) < 1  # the books are a spread wide


def test_a_trade_that_is_not_ours_is_found_and_named(bench: Bench) -> None:
    equal(bench)
    somebody_else_trades(bench, A)
    found = differences(A)
    assert kinds(found) == {"balance", "statement", "bill"}
    (odd,) = [each for each in found if each.kind is DifferenceKind.BILL]
    paid = bench.paper[A].engine.account.fees_paid
    assert (odd.ours, odd.theirs, odd.amount, odd.detail) == (D(0), -paid, -paid, "no fill of ours")
    accepted_break(A, odd.source)
    post_adjustment(
        odd.source, venue=A, currency="USDT", amount=odd.amount, at=odd.since, detail="accepted by two"
    )
    assert differences(A) == ()
    assert differences(B) == ()


def test_a_fill_the_venue_does_not_know(bench: Bench) -> None:
    equal(bench)
    bench.drive(bench.open())
    equal(bench)
    record_fill(OrderIntent.objects.get(venue=A), invented())
    found = differences(A)
    assert kinds(found) == {"statement", "fill"}
    assert {each.currency for each in found} == {"BNB"}
    assert {each.amount for each in found} == {D("0.03")}


def test_an_execution_shows_where_its_profit_comes_from(bench: Bench) -> None:
    execution = bench.drive(bench.open())
    viewer = Caller(factories.person("victor"))
    told = viewer.get(f"/api/ui/executions/{execution.pk}").body
    parts, edge = told["attribution"], told["edge_bps"]
    assert sum((D(parts[name]) for name in parts if name != "net"), D(0)) == D(parts["net"])
    assert D(parts["net"]) == D(told["pnl"]["net"])
    assert set(edge) == {"seen", "at_send", "captured"}
    assert None not in edge.values()


def test_funding_goes_to_those_who_held(bench: Bench) -> None:
    equal(bench)
    first, second = bench.drive(bench.open()), bench.drive(bench.open(notional="1000"))
    fund(bench, A, "-10")
    equal(bench)
    shares = {row.execution_id: row for row in FundingPayment.objects.filter(venue=A)}
    assert set(shares) == {first.pk, second.pk}
    assert sum(row.amount for row in shares.values()) == D(-10)
    assert sum(row.qty for row in shares.values()) == bench.net(A)
    assert shares[first.pk].qty > shares[second.pk].qty
    assert shares[first.pk].amount < shares[second.pk].amount
    assert attribution.parts(first, marks={}).funding == shares[first.pk].amount


def test_funding_that_nobody_held_is_nobody_s(bench: Bench) -> None:
    equal(bench)
    fund(bench, A, "-0.5")
    equal(bench)
    row = FundingPayment.objects.get()
    assert (row.execution_id, row.amount) == (None, D("-0.5"))


def test_what_the_venue_booked_by_itself_is_in_the_books_once(bench: Bench) -> None:
    equal(bench)
    bill = BillReport(
        venue=A,
        bill_id="insurance-1",
        kind=BillKind.OTHER,
        symbol="",
        currency="BNB",
        amount=D("0.5"),
        fee=D(0),
        trade_id="",
        at=timezone.now() + timedelta(seconds=1),
    )
    assert [bills.book(A, [bill]), bills.book(A, [bill])] == [1, 0]
    assert balance(A, Account.WALLET, "BNB") == D("0.5")
    assert differences(A) == ()


def test_a_statement_before_its_fill(bench: Bench) -> None:
    """A fill that is heard of after its bill takes the venue's rounding over just the same."""
    equal(bench)
    bench.drive(bench.open())
    order = OrderIntent.objects.get(venue=A)
    bill = BillReport(
        venue=A,
        bill_id="early",
        kind=BillKind.TRADE,
        symbol=BTC,
        currency="BNB",
        amount=D("-0.03000001"),
        fee=D("0.03000001"),
        trade_id="4711",
        at=timezone.now() + timedelta(seconds=1),
    )
    bills.book(A, [bill])
    assert kinds(differences(A)) == {"statement", "bill"}
    record_fill(order, invented())
    assert differences(A) == ()
    assert balance(A, Account.ROUNDING, "BNB") == D("0.00000001")


def test_more_than_rounding_is_a_difference(bench: Bench) -> None:
    equal(bench)
    bench.drive(bench.open())
    engine = bench.paper[B].engine
    fill = list(engine.fills.values())[-1]
    engine._book_bill(
        "trade",
        "BTC",
        D("0.000002"),
        at_ms=now_ms(),
        qty=fill.qty,
        price=fill.price,
        fill=replace(fill, fee=D(0)),
    )
    found = differences(B)
    assert kinds(found) == {"balance", "statement", "bill"}
    assert {each.amount for each in found} == {D("0.000002")}
