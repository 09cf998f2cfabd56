"""Our books against the venue's own, to the last digit; what differs is data for reconciliation."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from django.db.models import Min, Sum

from trading.domain.ledger import Account, EntryKind, bill_source, fill_source
from trading.domain.money import ZERO
from trading.ledger import transfers
from trading.ledger.bills import read_and_book
from trading.ledger.posting import wallets
from trading.models import LedgerLine, VenueBill
from trading.venues.interface import Balance, BillKind

#: How far back single fills and bills are named; older ones are in the sums still.
NAMED = timedelta(days=1)
#: A fill and its bill may carry different times; at the edge of what is named neither is missed for that.
SLACK = timedelta(hours=1)


class DifferenceKind(StrEnum):
    BALANCE = "balance"  # wallet of the books against the venue's balance
    STATEMENT = "statement"  # wallet of the books against opening and every line of the statement
    BILL = "bill"  # a trade on the statement that is no fill of ours, or says otherwise than it
    FILL = "fill"  # a fill of ours that is not on the statement
    TRANSFER = "transfer"  # money moved that nobody recorded


@dataclass(frozen=True, slots=True)
class Difference:
    """ours, theirs: in `currency`. since: when it came to be, by the venue's clock; for the sums, now.

    BILL and FILL: an adjustment of `amount` booked at `since` under `source` (`post_adjustment(source, ...)`)
    takes the difference away, and out of the sums. TRANSFER: the books agree, and only `record_transfer`
    says where the money came from or went.
    """

    venue: str
    kind: DifferenceKind
    currency: str
    ours: Decimal
    theirs: Decimal
    source: str
    since: datetime
    detail: str

    @property
    def amount(self) -> Decimal:
        """What the books would have to change by."""
        return self.theirs - self.ours


def differences(venue: str) -> tuple[Difference, ...]:
    """Reads the venue, books what is new, compares. Empty: equal to the last digit in every currency.

    Raises:
        VenueError: the venue's; unknown is not equal.
    """
    _, balance = read_and_book(venue)
    return (*compare(venue, balance), *_trades(venue), *_transfers(venue))


def compare(venue: str, balance: Balance) -> Iterator[Difference]:
    """The sums, by currency."""
    now, ours, stated = datetime.now(UTC), wallets(venue), _stated(venue)
    held = ours.get(balance.currency, ZERO)
    if held != balance.total:
        yield Difference(
            venue, DifferenceKind.BALANCE, balance.currency, held, balance.total, "", now, "balance"
        )
    for currency in sorted(ours.keys() | stated.keys()):
        mine, theirs = ours.get(currency, ZERO), stated.get(currency, ZERO)
        if mine != theirs:
            yield Difference(
                venue, DifferenceKind.STATEMENT, currency, mine, theirs, "", now, "sum of the statement"
            )


def _stated(venue: str) -> dict[str, Decimal]:
    """Opening and every line since, by currency."""
    opening = LedgerLine.objects.filter(
        venue=venue, account=Account.WALLET, entry__kind=EntryKind.OPENING
    ).values_list("currency", "amount")
    found = dict(opening)
    bills = VenueBill.objects.filter(venue=venue).values_list("currency")
    for currency, total in bills.annotate(total=Sum("amount")).order_by():
        found[currency] = found.get(currency, ZERO) + total
    return found


def _trades(venue: str) -> Iterator[Difference]:
    """Trade by trade: on the statement and no fill of ours, a fill and not on the statement, or neither the
    same nor rounded."""
    since = datetime.now(UTC) - NAMED
    said, booked = _said(venue, since), _booked(venue, since - SLACK)
    for key in sorted(said.keys() | booked.keys()):
        (source, currency), theirs, ours = key, said.get(key), booked.get(key)
        if theirs is None and ours is not None and ours.at > since + SLACK and ours.total:
            yield Difference(
                venue,
                DifferenceKind.FILL,
                currency,
                ours.total,
                ZERO,
                source,
                ours.at,
                "not on the statement",
            )
        elif theirs is not None and theirs.total != (ours.total if ours else ZERO):
            detail = "says otherwise than the fill" if ours else "no fill of ours"
            mine = ours.total if ours else ZERO
            yield Difference(
                venue, DifferenceKind.BILL, currency, mine, theirs.total, source, theirs.at, detail
            )


@dataclass(frozen=True, slots=True)
class _Sum:
    total: Decimal
    at: datetime


Sums = dict[tuple[str, str], _Sum]


def _said(venue: str, since: datetime) -> Sums:
    """The statement's trades, by source of the fill they are about and currency."""
    rows = VenueBill.objects.filter(venue=venue, kind=BillKind.TRADE, at__gte=since)
    by_trade = rows.values_list("symbol", "trade_id", "currency").annotate(Sum("amount"), Min("at"))
    return {
        (fill_source(venue, symbol, trade), currency): _Sum(total, at)
        for symbol, trade, currency, total, at in by_trade.order_by()
    }


def _booked(venue: str, since: datetime) -> Sums:
    """What fills did to our wallet, the venue's rounding and what two people accepted included."""
    kinds = (EntryKind.FILL, EntryKind.ROUNDING, EntryKind.ADJUSTMENT)
    lines = LedgerLine.objects.filter(
        venue=venue, account=Account.WALLET, entry__kind__in=kinds, entry__at__gte=since
    )
    found: Sums = {}
    for kind, source, currency, amount, at in lines.values_list(
        "entry__kind", "entry__source", "currency", "amount", "entry__at"
    ):
        key = _about(kind, source), currency
        before = found.get(key, _Sum(ZERO, at))
        found[key] = _Sum(before.total + amount, min(before.at, at))
    return found


def _about(kind: str, source: str) -> str:
    """The fill's own source, of an entry that says more about it."""
    if kind == EntryKind.ROUNDING:
        return source.removeprefix("rounding:").rsplit(":", 2)[0]
    return source.removeprefix("adjustment:")


def _transfers(venue: str) -> Iterator[Difference]:
    """In or out, on the statement and in transit; nobody said where from or where to."""
    for row in transfers.unexplained().filter(venue=venue).order_by("at"):
        yield Difference(
            venue,
            DifferenceKind.TRANSFER,
            row.currency,
            row.amount,
            row.amount,
            bill_source(venue, row.bill_id),
            row.at,
            "no recorded transfer",
        )
