"""What the desk is worth and has lost today, from the row that a worker keeps; old figures are unknown."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.utils import timezone

from risk.models import DeskFigures, EquityMark


@dataclass(frozen=True, slots=True)
class Figures:
    """equity, daily_loss: USDT, None: not known now. gap_bps: the configured stress gap."""

    equity: Decimal | None
    daily_loss: Decimal | None
    gap_bps: Decimal | None = None


def current(*, max_age: timedelta, gap_bps: Decimal) -> Figures:
    row = DeskFigures.objects.filter(pk=1).first()
    if row is None or row.at is None or timezone.now() - row.at > max_age:
        return Figures(None, None, gap_bps)
    return Figures(row.equity, row.daily_loss, gap_bps)


def keep(equity: Decimal | None, *, moved_today: Decimal, day: date, at: datetime, error: str = "") -> None:
    """Write down what was read at `at`. equity None: something was not to be had, and `error` says what.

    moved_today: transfers in (> 0) and out since the day's start, which are neither gain nor loss.
    """
    if equity is None:
        DeskFigures.objects.update_or_create(pk=1, defaults={"error": error[:300]})
        return
    start, _ = EquityMark.objects.get_or_create(day=day, defaults={"equity": equity - moved_today, "at": at})
    values = {"at": at, "equity": equity, "daily_loss": start.equity + moved_today - equity, "error": ""}
    DeskFigures.objects.update_or_create(pk=1, defaults=values)
