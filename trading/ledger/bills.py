"""The venues' statements into the books: every line is kept as read, and booked once.

A trade's bills are the venue's word on a fill that is in the books already: what they say otherwise within
`rounding.ROUNDING_LIMIT` is the venue's rounding; anything more is left as a difference (`statement`).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import Min, Sum

from trading.domain import ledger
from trading.domain.ledger import EntryKind
from trading.domain.market import Side
from trading.domain.money import ZERO
from trading.ledger import transfers
from trading.ledger.posting import post
from trading.ledger.rounding import settle
from trading.models import Fill, FundingPayment, LedgerEntry, Venue, VenueBill
from trading.venues import get_hub
from trading.venues.interface import Balance, BillKind, BillReport, VenueError, Verdict

#: Statements are read again this far back: a venue may write a line late.
OVERLAP = timedelta(minutes=10)
#: A venue that has never been read: no older bill can be one of ours.
FIRST_LOOK = timedelta(hours=1)
READ_TIMEOUT_SEC = 30
READS = 3

BOOKED = {BillKind.FUNDING: EntryKind.FUNDING, BillKind.OTHER: EntryKind.OTHER}


def post_bills(venue: str) -> int:
    """Read the statement and book what is new; the number of new lines. The first time, opens the books.

    Raises:
        VenueError: the venue's; then nothing was booked.
    """
    return read_and_book(venue)[0]


def read_and_book(venue: str) -> tuple[int, Balance]:
    """`post_bills`, and the balance at the very end of that statement."""
    bills, balance = _read(venue, since=_since(venue))
    with transaction.atomic():
        lock(venue)
        started = _opened_at(venue) or _open_books(venue, bills, balance)
        new = book(venue, [bill for bill in bills if bill.at >= started])
    return new, balance


def _read(venue: str, *, since: datetime) -> tuple[tuple[BillReport, ...], Balance]:
    """Statement and balance of one instant: nothing was booked while the balance was read."""
    hub = get_hub()
    client = hub.venue(venue)
    before = hub.call(client.bills(since=since), timeout=READ_TIMEOUT_SEC)
    for _ in range(READS):
        balance = hub.call(client.balance())
        after = hub.call(client.bills(since=since), timeout=READ_TIMEOUT_SEC)
        if after == before:
            return after, balance
        before = after
    detail = f"the statement grew during each of {READS} reads of the balance"
    raise VenueError(Verdict.RATE_LIMITED, venue=venue, code="statement.moving", detail=detail)


def _since(venue: str) -> datetime:
    opened = _opened_at(venue)
    if opened is None:
        first = LedgerEntry.objects.filter(venue=venue).aggregate(at=Min("at"))["at"]
        looked: datetime = datetime.now(UTC) - FIRST_LOOK
        return looked if first is None else min(first, looked)
    last = VenueBill.objects.filter(venue=venue).order_by("-at").first()
    return opened if last is None else max(opened, last.at - OVERLAP)


def _opened_at(venue: str) -> datetime | None:
    row = LedgerEntry.objects.filter(venue=venue, kind=EntryKind.OPENING).first()
    return row.at if row else None


def _open_books(venue: str, bills: Sequence[BillReport], balance: Balance) -> datetime:
    """The wallet before our first entry: the balance less what the statement says has come since."""
    first = LedgerEntry.objects.filter(venue=venue).aggregate(at=Min("at"))["at"]
    latest = max((bill.at for bill in bills), default=datetime.now(UTC) - FIRST_LOOK)
    at: datetime = first or latest + timedelta(milliseconds=1)
    since = (bill.amount for bill in bills if bill.at >= at and bill.currency == balance.currency)
    amount = balance.total - sum(since, ZERO)
    if amount:
        post(ledger.of_opening(venue=venue, currency=balance.currency, amount=amount, at=at))
    return at


def book(venue: str, bills: Iterable[BillReport]) -> int:
    """Inside a transaction that holds `lock`: keep and book what is new among `bills`; how many were."""
    bills = list(bills)
    known = VenueBill.objects.filter(venue=venue, bill_id__in=[bill.bill_id for bill in bills])
    seen = set(known.values_list("bill_id", flat=True))
    new = [bill for bill in bills if bill.bill_id not in seen]
    for row in VenueBill.objects.bulk_create(_row(bill) for bill in new):
        if row.kind == BillKind.TRANSFER:
            transfers.book(row)
        elif row.kind != BillKind.TRADE:
            _book(row)
    for symbol, trade_id in {(bill.symbol, bill.trade_id) for bill in bills if bill.kind is BillKind.TRADE}:
        settle(venue, symbol, trade_id)
    return len(new)


def lock(venue: str) -> None:
    """One reader of a venue's statement at a time."""
    Venue.objects.get_or_create(name=venue)
    Venue.objects.select_for_update(no_key=True).get(name=venue)


def _row(bill: BillReport) -> VenueBill:
    return VenueBill(
        venue=bill.venue,
        bill_id=bill.bill_id,
        kind=bill.kind,
        symbol=bill.symbol,
        currency=bill.currency,
        amount=bill.amount,
        fee=bill.fee,
        trade_id=bill.trade_id,
        at=bill.at,
    )


def _book(bill: VenueBill) -> None:
    if not (bill.amount or bill.fee):
        return  # a line over nothing: kept, and nothing to book
    entry = ledger.of_bill(
        BOOKED[BillKind(bill.kind)],
        venue=bill.venue,
        bill_id=bill.bill_id,
        symbol=bill.symbol,
        currency=bill.currency,
        amount=bill.amount,
        fee=bill.fee,
        at=bill.at,
    )
    row = post(entry)
    if row is not None and bill.kind == BillKind.FUNDING:
        _share(row, bill)


def _share(entry: LedgerEntry, bill: VenueBill) -> None:
    """The payment by what each execution held at that instant, signed."""
    held: dict[str, Decimal] = {}
    fills = Fill.objects.filter(venue=bill.venue, symbol=bill.symbol, at__lt=bill.at)
    by_execution = fills.values_list("order__leg__execution_id", "side").annotate(total=Sum("qty"))
    for execution, side, total in by_execution.order_by("order__leg__execution__created_at"):
        held[str(execution)] = held.get(str(execution), ZERO) + Side(side).sign * total
    held = {execution: qty for execution, qty in held.items() if qty}
    amount = bill.amount + bill.fee
    shares: Mapping[str, Decimal] = ledger.shares(amount, held) or {"": amount}
    FundingPayment.objects.bulk_create(
        FundingPayment(
            entry=entry,
            execution_id=execution or None,
            venue=bill.venue,
            symbol=bill.symbol,
            currency=bill.currency,
            qty=held.get(execution, ZERO),
            amount=share,
            at=bill.at,
        )
        for execution, share in shares.items()
    )
