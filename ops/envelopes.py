"""One approval for several runs of one action inside stated bounds (spec 3.2: envelopes).

What the bounds mean is the action's own business; counting, time and HOLD are kept here and by the database
(`ops_use_envelope`, `envelope_guard`). Writers run inside their caller's `audit.recorded()`.
"""

from datetime import timedelta
from typing import Any

from django.db.models import F, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from ops import audit
from ops.canonical import plain
from ops.models import ApprovalRequest, Envelope

LONGEST = timedelta(hours=12)


def grant(
    request: ApprovalRequest, *, action: str, bounds: Any, count: int, valid_for: timedelta
) -> Envelope:
    """request: the approved one that is being consumed in this transaction; the database asks for it."""
    now = timezone.now()
    row = Envelope.objects.create(
        request=request,
        action=action,
        bounds=plain(bounds),
        count=count,
        created_at=now,
        expires_at=now + valid_for,
    )
    audit.touch(row)
    return row


def usable(action: str) -> "QuerySet[Envelope]":
    """With runs left, the one that ends first before the others."""
    return Envelope.objects.filter(
        action=action, ended_at=None, expires_at__gt=Now(), used__lt=F("count")
    ).order_by("expires_at", "created_at")


def end(row: Envelope, *, why: str) -> None:
    row.ended_at, row.ended_why = timezone.now(), why[:160]
    row.save(update_fields=["ended_at", "ended_why"])
    audit.touch(row)


def as_dict(row: Envelope) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "approval": str(row.request_id),
        "action": row.action,
        "bounds": row.bounds,
        "count": row.count,
        "used": row.used,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "ended_at": row.ended_at,
        "ended_why": row.ended_why,
    }
