"""The venue's rounding of one fill, taken over from its statement."""

from decimal import Decimal

from django.db.models import Count, Q, Sum

from trading.domain import ledger
from trading.domain.ledger import Account
from trading.domain.money import ZERO
from trading.ledger.posting import post
from trading.models import LedgerEntry, LedgerLine, VenueBill
from trading.venues.interface import BillKind

#: Furthest that a venue's rounding of one fill can be, settlement currency: they keep eight digits.
ROUNDING_LIMIT = Decimal("1e-6")


def settle(venue: str, symbol: str, trade_id: str) -> None:
    """Take over the venue's rounding of one fill, once fill and bills are both here, in any order."""
    bills = VenueBill.objects.filter(venue=venue, symbol=symbol, trade_id=trade_id, kind=BillKind.TRADE)
    said = list(bills.values_list("currency").annotate(Sum("amount"), Count("id")).order_by())
    source = ledger.fill_source(venue, symbol, trade_id)
    fill = LedgerEntry.objects.filter(source=source).first() if said else None
    if fill is None:
        return
    lines = LedgerLine.objects.filter(
        Q(entry__source=source) | Q(entry__source__startswith=f"rounding:{source}:"), account=Account.WALLET
    )
    booked = dict(lines.values_list("currency").annotate(total=Sum("amount")).order_by())
    for currency, total, count in said:
        off = total - booked.get(currency, ZERO)
        if not off or abs(off) > ROUNDING_LIMIT:
            continue
        named = f"rounding:{source}:{currency}:{count}"
        entry = ledger.of_rounding(
            named, venue=venue, symbol=symbol, currency=currency, amount=off, at=fill.at
        )
        post(entry, execution_id=fill.execution_id)
