"""Entries become rows, each source once. Whoever calls is in a transaction of their own."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import Sum

from trading.domain import ledger, pnl
from trading.domain.ledger import Account, Entry
from trading.domain.market import Side
from trading.domain.money import ZERO
from trading.models import Fill, LedgerEntry, LedgerLine


def post(entry: Entry, *, execution_id: UUID | None = None, detail: str = "") -> LedgerEntry | None:
    """Write the entry and its lines; None when its source is in the books already."""
    row, new = LedgerEntry.objects.get_or_create(
        source=entry.source,
        defaults={
            "kind": entry.kind,
            "venue": entry.venue,
            "symbol": entry.symbol,
            "execution_id": execution_id,
            "detail": detail,
            "at": entry.at,
        },
    )
    if not new:
        return None
    LedgerLine.objects.bulk_create(
        LedgerLine(entry=row, venue=x.venue, account=x.account, currency=x.currency, amount=x.amount)
        for x in entry.lines
    )
    return row


def post_fill(
    row: Fill, before: pnl.Position, after: pnl.Position, *, execution_id: UUID | None
) -> LedgerEntry | None:
    """In the transaction that records the fill and moves the position from `before` to `after`."""
    trade = ledger.Trade(
        venue=row.venue,
        symbol=row.symbol,
        trade_id=row.trade_id,
        side=Side(row.side),
        qty=row.qty,
        fee=row.fee,
        fee_currency=row.fee_currency,
        at=row.at,
        before=before,
        after=after,
    )
    return post(ledger.of_fill(trade), execution_id=execution_id)


def post_adjustment(
    adjustment_id: str, *, venue: str, currency: str, amount: Decimal, at: datetime, detail: str
) -> LedgerEntry | None:
    """What two people accepted. amount: signed, as the wallet changes; `adjustment_id` is booked once."""
    source = f"adjustment:{adjustment_id}"
    entry = ledger.of_adjustment(source, venue=venue, currency=currency, amount=amount, at=at)
    return post(entry, detail=detail)


def balance(venue: str, account: Account, currency: str) -> Decimal:
    """What the lines of one account add up to."""
    lines = LedgerLine.objects.filter(venue=venue, account=account, currency=currency)
    return lines.aggregate(total=Sum("amount"))["total"] or ZERO


def wallets(venue: str) -> dict[str, Decimal]:
    """Our books' wallet on the venue, by currency."""
    lines = LedgerLine.objects.filter(venue=venue, account=Account.WALLET)
    return dict(lines.values_list("currency").annotate(total=Sum("amount")).order_by("currency"))
