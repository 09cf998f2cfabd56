"""What has been lost today, from rows: a restart forgets nothing."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.db.models import Sum

from trading.domain.ledger import PROFIT, Account, settlement
from trading.domain.money import ZERO
from trading.ledger.reports import midnight
from trading.models import LedgerLine, Position

Marks = Mapping[tuple[str, str], Decimal]


class UnknownLoss(ValueError):
    """A mark or a rate is missing of something that is there: the loss is not known, and not small."""


def loss_today(
    tz: ZoneInfo,
    *,
    marks: Marks,
    opening_marks: Marks | None = None,
    rates: Mapping[str, Decimal] | None = None,
    quote: str = "USDT",
    now: datetime | None = None,
) -> Decimal:
    """Quote currency, > 0 lost, since midnight in `tz`: booked profit and the change in open positions.

    marks: quote per coin by (venue, symbol), now. opening_marks: the same at midnight; a position carried
    over midnight without one counts whole, from its cost. rates: quote per unit of other currencies.

    Raises:
        UnknownLoss: a mark of an open position, or the rate of a currency, is not there.
    """
    since = midnight((now or datetime.now(UTC)).astimezone(tz).date(), tz)
    worth = {quote: Decimal(1), **(rates or {})}
    booked = _booked(since)
    change = _unrealised(marks)
    for currency, total in _carried(since, opening_marks or {}).items():
        change[currency] = change.get(currency, ZERO) - total
    gained = {c: booked.get(c, ZERO) + change.get(c, ZERO) for c in booked.keys() | change.keys()}
    missing = sorted(c for c, total in gained.items() if total and c not in worth)
    if missing:
        raise UnknownLoss(f"no rate of {', '.join(missing)} in {quote}")
    return -sum((total * worth[c] for c, total in gained.items() if total), ZERO)


def _booked(since: datetime) -> dict[str, Decimal]:
    """Profit by currency."""
    lines = LedgerLine.objects.filter(account__in=PROFIT, entry__at__gte=since)
    sums = lines.values_list("currency").annotate(total=Sum("amount")).order_by()
    return {currency: -total for currency, total in sums}


def _unrealised(marks: Marks) -> dict[str, Decimal]:
    """Of what is open now, by settlement currency."""
    found: dict[str, Decimal] = {}
    for row in Position.objects.exclude(net=0):
        mark = marks.get((row.venue, row.symbol))
        if mark is None:
            raise UnknownLoss(f"no mark of {row.symbol} on {row.venue}, where {row.net} is open")
        currency = settlement(row.symbol)
        found[currency] = found.get(currency, ZERO) + row.net * mark - row.cost
    return found


def _carried(since: datetime, marks: Marks) -> dict[str, Decimal]:
    """What was unrealised at midnight already, of the positions whose mark is known."""
    found: dict[str, Decimal] = {}
    lines = LedgerLine.objects.filter(account=Account.POSITION, entry__at__lt=since)
    sums = lines.values_list("venue", "entry__symbol", "currency").annotate(total=Sum("amount"))
    for venue, symbol, unit, total in sums.order_by():
        mark = marks.get((venue, symbol))
        if mark is None:
            continue
        currency = settlement(symbol)
        found[currency] = found.get(currency, ZERO) + (total * mark if unit == symbol else -total)
    return found
