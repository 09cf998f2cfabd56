"""How long an execution's two open quantities have differed: for the rescue, for the screen, for an alarm."""

from datetime import datetime, timedelta

from ops.incidents.service import alarm
from trading.domain.canonical import decimal_text as text
from trading.domain.execution_state import RESTING, LegView
from trading.models import Execution


def watch(execution: Execution, legs: tuple[LegView, LegView], *, now: datetime) -> None:
    """Start or stop the clock, in the row. Residuals at rest have their own age, and are not naked."""
    naked = legs[0].open_qty != legs[1].open_qty and execution.state not in RESTING
    if naked == (execution.naked_since is not None):
        return
    if execution.naked_since is not None:
        execution.naked_ms += round((now - execution.naked_since) / timedelta(milliseconds=1))
    execution.naked_since = now if naked else None
    Execution.objects.filter(pk=execution.pk).update(
        naked_since=execution.naked_since, naked_ms=execution.naked_ms
    )


def tell(
    execution: Execution,
    legs: tuple[LegView, LegView],
    limit: timedelta,
    *,
    now: datetime,
    until: datetime,
) -> datetime:
    """Call people, once, when it is naked for longer than `limit`. Returns when to look again: `until`, or
    earlier where the call falls due before. Having called, the audit head is locked."""
    if execution.naked_since is None or execution.naked_told or execution.dry_run:
        return until
    due = execution.naked_since + limit
    if now < due:
        return min(due, until)
    execution.naked_told = True
    Execution.objects.filter(pk=execution.pk).update(naked_told=True)
    long, short = (text(leg.open_qty) for leg in legs)
    what = f"execution {execution.pk} on {execution.symbol}: long leg {long}, short leg {short} for too long"
    alarm("execution.naked", f"execution.naked:{execution.pk}", what, {"state": execution.state})
    return until
