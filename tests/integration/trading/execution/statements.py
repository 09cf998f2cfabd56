"""The paper venues' statements as bills, straight from the engines."""

from datetime import UTC, datetime
from decimal import Decimal

from tests.integration.trading.execution.bench import A, Bench
from trading.paper.orders import Bill
from trading.venues.interface import BillKind, BillReport

ZERO = Decimal(0)


def statement(bench: Bench, venue: str, since: datetime) -> tuple[BillReport, ...]:
    """Binance writes PnL and commission as two lines, OKX as one."""
    found = []
    for bill in list(bench.paper[venue].engine.bills.values()):
        if bill.kind == "trade" and venue == A:
            found += [
                _line(venue, bill, "c", -bill.fee, bill.fee),
                _line(venue, bill, "p", bill.realised, ZERO),
            ]
        else:
            found.append(_line(venue, bill, "", bill.amount, bill.fee))
    return tuple(each for each in found if each.at >= since)


def _line(venue: str, bill: Bill, suffix: str, amount: Decimal, fee: Decimal) -> BillReport:
    return BillReport(
        venue=venue,
        bill_id=f"{bill.id}{suffix}",
        kind=BillKind(bill.kind),
        symbol=f"{bill.base}/USDT:USDT",
        currency="USDT",
        amount=amount,
        fee=fee,
        trade_id=str(bill.fill_id) if bill.fill_id else "",
        at=datetime.fromtimestamp(bill.at_ms / 1000, UTC),
    )
