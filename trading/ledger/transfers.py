"""Money between venues: in transit from what an operator records until the other venue's statement says so.

Whichever comes first, the operator's word or a venue's line, books the money once; the other is matched to it
by venue, currency and amount, the oldest first.
"""

from decimal import Decimal

from django.db.models import F, QuerySet
from django.utils import timezone

from ops.models import User
from trading.domain import ledger
from trading.domain.ledger import EntryKind
from trading.ledger.posting import post
from trading.models import Transfer, VenueBill
from trading.venues.interface import BillKind

#: Where money comes from or goes to that is no venue of ours: a bank, a treasury. It has no statement.
OUTSIDE = "outside"


def record(
    *, from_venue: str, to_venue: str, currency: str, amount: Decimal, txid: str, requested_by: User | None
) -> Transfer:
    """Inside a transaction: out of one wallet and into transit, unless a bill has said so already.

    amount > 0: what left the one venue and arrives at the other, before the sender's fee.
    """
    left = _unmatched(from_venue, currency, -amount)
    row = Transfer.objects.create(
        from_venue=from_venue,
        to_venue=to_venue,
        currency=currency,
        amount=amount,
        txid=txid,
        requested_by=requested_by,
        departure=left,
        arrival=_unmatched(to_venue, currency, amount),
    )
    if left is None:
        entry = ledger.of_departure(
            f"transfer:{row.pk}", venue=from_venue, currency=currency, amount=amount, at=timezone.now()
        )
        post(entry, detail=f"{row} {txid}")
    return row


def unexplained() -> "QuerySet[VenueBill]":
    """Lines of the venues' statements that no recorded transfer accounts for."""
    return VenueBill.objects.filter(kind=BillKind.TRANSFER, departed=None, arrived=None)


def _unmatched(venue: str, currency: str, moved: Decimal) -> VenueBill | None:
    """moved: signed, without the fee."""
    rows = unexplained().annotate(moved=F("amount") + F("fee"))
    return rows.filter(venue=venue, currency=currency, moved=moved).order_by("at", "id").first()


def book(bill: VenueBill) -> None:
    """Inside a transaction: one new line of kind transfer."""
    booked_before = _match(bill)
    amount = -bill.fee if booked_before else bill.amount
    if not (amount or bill.fee):
        return
    entry = ledger.of_bill(
        EntryKind.TRANSFER,
        venue=bill.venue,
        bill_id=bill.bill_id,
        symbol=bill.symbol,
        currency=bill.currency,
        amount=amount,
        fee=bill.fee,
        at=bill.at,
    )
    post(entry)


def _match(bill: VenueBill) -> bool:
    """Name the bill in the transfer that it belongs to. True when its money is in the books already."""
    moved = bill.amount + bill.fee
    rows = Transfer.objects.select_for_update().filter(currency=bill.currency, amount=abs(moved))
    if moved < 0:
        row = rows.filter(from_venue=bill.venue, departure=None).order_by("created_at").first()
        if row is not None:
            row.departure = bill
            row.save(update_fields=["departure"])
        return row is not None
    row = rows.filter(to_venue=bill.venue, arrival=None).order_by("created_at").first()
    if row is not None:
        row.arrival = bill
        row.save(update_fields=["arrival"])
    return False
