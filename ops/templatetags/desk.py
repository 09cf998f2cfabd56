"""How values are written on a page: a word and a shape, never a colour alone."""

from datetime import datetime
from typing import Any
from uuid import uuid4

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from ops.actions import registry

register = template.Library()

#: ■ stopped or refused, ▲ look here, ▼ less risk, ● going or done, ○ over or not yet.
_SHAPES = {
    "HOLD": ("■", "stop"),
    "RUN": ("●", "go"),
    "pending": ("▲", "wait"),
    "approved": ("●", "go"),
    "rejected": ("■", "stop"),
    "cancelled": ("○", "over"),
    "expired": ("○", "over"),
    "voided": ("○", "over"),
    "not_run": ("○", "over"),
    "executed": ("●", "go"),
    "refused": ("■", "stop"),
    "withdrawn": ("○", "over"),
    "approve": ("●", "go"),
    "reject": ("■", "stop"),
    "open": ("■", "stop"),
    "acknowledged": ("▲", "wait"),
    "mitigated": ("▲", "wait"),
    "resolved": ("▲", "wait"),
    "closed": ("○", "over"),
    "P0": ("■", "stop"),
    "P1": ("▲", "wait"),
    "increases": ("▲", "wait"),
    "neutral": ("○", "over"),
    "reduces": ("▼", "reduce"),
}


@register.inclusion_tag("admin/badge.html")
def badge(word: str, text: str = "") -> dict[str, str]:
    shape, kind = _SHAPES.get(str(word), ("○", "over"))
    return {"shape": shape, "kind": kind, "text": text or _(str(word))}


@register.simple_tag
def one_time_token() -> SafeString:
    """The hidden field that makes a form good for one carrying-out (`ops.actions.once`)."""
    return format_html('<input type="hidden" name="token" value="{}">', uuid4().hex)


@register.filter
def left(until: datetime) -> str:
    """Time left, as of the moment the page was made: `12 min 30 s`."""
    seconds = int((until - timezone.now()).total_seconds())
    if seconds <= 0:
        return _("time is over")
    minutes, seconds = divmod(seconds, 60)
    if not minutes:
        return _("%(seconds)s s") % {"seconds": seconds}
    return _("%(minutes)s min %(seconds)s s") % {"minutes": minutes, "seconds": f"{seconds:02}"}


@register.filter
def titled(action: str) -> str:
    """The title of an action, for a button."""
    return _(registry.get(action).title)


@register.filter
def line_kind(kind: str) -> str:
    """Of a timeline: a word, or an action's name and how it ended."""
    name, _space, verdict = kind.rpartition(" ")
    return f"{name} {_(verdict)}" if "." in name else _(kind)


@register.filter
def said(value: Any) -> str:
    """A value of a diff or an input, as JSON has it: nothing, true and false are words."""
    if value is None or value == "":
        return "—"
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
