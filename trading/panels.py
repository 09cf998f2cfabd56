"""What a page shows of one execution: what is naked, what each venue says, what happens next by itself."""

from decimal import Decimal
from typing import Any

from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe

from trading import selectors
from trading.domain.canonical import decimal_text as text
from trading.models import Execution, Position
from trading.services import venue_reads

ZERO = Decimal(0)


def execution_now(row: Execution) -> SafeString:
    """As HTML; reads the venues, whose silence is shown as such."""
    marks = venue_reads.marks()
    shown, now = selectors.execution(row, marks=marks), timezone.now()
    naked = shown["naked"]
    held = {(each["venue"], each["symbol"]): each for each in venue_reads.positions()["positions"]}
    context = {
        "now": shown,
        "naked": naked,
        "base": row.symbol.partition("/")[0],
        "naked_sec": round((now - naked["since"]).total_seconds()) if naked["since"] else 0,
        "next_sec": _seconds(naked["next_look_at"], now),
        "legs": [_leg(each, held.get((each["venue"], each["symbol"]))) for each in shown["legs"]],
    }
    return mark_safe(render_to_string("admin/trading/execution_now.html", context))  # noqa: S308 (escaped by it)


def _seconds(at: Any, now: Any) -> float | None:
    return None if at is None else max(0.0, round((at - now).total_seconds(), 1))


def _leg(leg: dict[str, Any], position: dict[str, Any] | None) -> dict[str, Any]:
    ours = Position.objects.filter(venue=leg["venue"], symbol=leg["symbol"]).first()
    theirs = position["venue_net"] if position else ZERO
    return {
        "side": leg["side"],
        "venue": leg["venue"],
        "open_qty": text(leg["open_qty"]),
        "ours": text(ours.net if ours else ZERO),
        "theirs": None if theirs is None else text(theirs),
        "last": leg["orders"][-1] if leg["orders"] else None,
    }
