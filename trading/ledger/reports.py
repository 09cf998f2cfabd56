"""What was earned, by day, pair, strategy and venue, in UTC or the desk's zone, from the ledger alone."""

import csv
import io
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Sum
from django.db.models.functions import TruncDate

from trading import desk_config
from trading.domain.canonical import decimal_text
from trading.domain.ledger import PROFIT, Account
from trading.domain.money import ZERO
from trading.models import LedgerLine

BY = ("day", "pair", "strategy", "venue")
ZONES = ("desk", "utc")
#: A report is read by a person, or covers a year.
LONGEST = timedelta(days=366)


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """One currency, signed as profit: a fee paid is negative. They add up to `net`."""

    realised: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    rounding: Decimal = ZERO
    other: Decimal = ZERO
    adjustment: Decimal = ZERO

    @property
    def net(self) -> Decimal:
        return sum((getattr(self, f.name) for f in fields(self)), ZERO)

    def plus(self, account: str, amount: Decimal) -> "Money":
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return Money(**values | {account: values[account] + amount})


@dataclass(frozen=True, slots=True)
class Row:
    """`key`: the values of the report's `by`, in its order."""

    key: tuple[str, ...]
    currency: str
    money: Money


@dataclass(frozen=True, slots=True)
class Report:
    """Days `since` to `until`, both included, each from midnight to midnight in `zone`."""

    zone: str
    since: date
    until: date
    by: tuple[str, ...]
    rows: tuple[Row, ...]

    def totals(self) -> dict[str, Money]:
        """By currency."""
        found: dict[str, Money] = {}
        for row in self.rows:
            for part in fields(Money):
                amount = getattr(row.money, part.name)
                found[row.currency] = found.get(row.currency, Money()).plus(part.name, amount)
        return found


def zone_named(name: str) -> ZoneInfo:
    """name: `utc`, or `desk` for the configured one."""
    return ZoneInfo("UTC" if name == "utc" else desk_config.active().trading.reports.zone)


def midnight(day: date, zone: tzinfo) -> datetime:
    """When the day begins there, UTC."""
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)


def pnl(*, since: date, until: date, zone: ZoneInfo, by: Collection[str] = BY) -> Report:
    """Booked profit of the days, grouped. ValueError for an unknown grouping or days out of order."""
    unknown = [name for name in by if name not in BY]
    if unknown:
        raise ValueError(f"by {unknown[0][:20]!r}; accepted: {', '.join(BY)}")
    if not timedelta(0) <= until - since <= LONGEST:
        raise ValueError(f"{since} to {until}; accepted: in order, at most {LONGEST.days} days")
    kept = tuple(name for name in BY if name in by)
    found: dict[tuple[tuple[str, ...], str], Money] = {}
    for line in _lines(since, until, zone):
        key = tuple(line[name] for name in kept), line["currency"]
        found[key] = found.get(key, Money()).plus(line["account"], -line["total"])
    rows = (Row(*key, money) for key, money in sorted(found.items()))
    return Report(zone.key, since, until, kept, tuple(rows))


def _lines(since: date, until: date, zone: ZoneInfo) -> Iterator[dict[str, Any]]:
    """Sums of the profit accounts, finest grouping. No execution carries a strategy yet: it is empty."""
    lines = LedgerLine.objects.filter(
        account__in=PROFIT,
        entry__at__gte=midnight(since, zone),
        entry__at__lt=midnight(until + timedelta(days=1), zone),
    ).annotate(on=TruncDate("entry__at", tzinfo=zone))
    grouped = lines.values("on", "entry__symbol", "venue", "currency", "account").annotate(
        total=Sum("amount")
    )
    for row in grouped.order_by():
        yield {
            "day": row["on"].isoformat(),
            "pair": row["entry__symbol"],
            "strategy": "",
            "venue": row["venue"],
            "currency": row["currency"],
            "account": Account(row["account"]).value,
            "total": row["total"],
        }


def as_dict(report: Report) -> dict[str, Any]:
    """JSON-ready, Decimals left to the renderer."""
    return {
        "zone": report.zone,
        "from": report.since.isoformat(),
        "to": report.until.isoformat(),
        "by": list(report.by),
        "rows": [_flat(report, row) for row in report.rows],
        "totals": [{"currency": currency, **_money(m)} for currency, m in sorted(report.totals().items())],
    }


def _flat(report: Report, row: Row) -> dict[str, Any]:
    return {**dict(zip(report.by, row.key, strict=True)), "currency": row.currency, **_money(row.money)}


def _money(money: Money) -> dict[str, Decimal]:
    return {**{f.name: getattr(money, f.name) for f in fields(Money)}, "net": money.net}


def as_csv(report: Report) -> str:
    """A header and the rows; numbers in plain digits."""
    names = [*report.by, "currency", *(f.name for f in fields(Money)), "net"]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(names)
    for row in report.rows:
        writer.writerow(_plain(value) for value in _flat(report, row).values())
    return out.getvalue()


def as_text(report: Report) -> str:
    """A table for a terminal: the rows, then the totals."""
    body = [_flat(report, row) for row in report.rows]
    totals = [
        {**dict.fromkeys(report.by, ""), "currency": f"Σ {currency}", **_money(m)}
        for currency, m in sorted(report.totals().items())
    ]
    days = f"{report.since}" if report.since == report.until else f"{report.since} to {report.until}"
    title = f"Booked profit of {days}, {report.zone}"
    if not body:
        return f"{title}\nnothing was booked\n"
    return f"{title}\n{_table([list(body[0]), *(row.values() for row in (*body, *totals))])}"


def _table(rows: Iterable[Iterable[Any]]) -> str:
    texts = [[_plain(value) for value in row] for row in rows]
    widths = [max(len(text) for text in column) for column in zip(*texts, strict=True)]
    lines = ("  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip() for row in texts)
    return "".join(f"{line}\n" for line in lines)


def _plain(value: Any) -> str:
    return decimal_text(value) if isinstance(value, Decimal) else str(value)
