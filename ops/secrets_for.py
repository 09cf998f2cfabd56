"""Secrets that an action made, sealed for one reader and opened once: first passwords, tokens.

They are in no outcome, no audit entry and no idempotency answer: those only name them.
"""

from typing import Any
from uuid import UUID

from django.db.models.functions import Now

from ops import audit, sealing
from ops.actions.base import Refusal, Source
from ops.models import SealedSecret, User


def seal_for(reader: User, *, title: str, text: str) -> SealedSecret:
    """Inside the transaction of the action that made it; it can be read for a day."""
    row = SealedSecret(reader=reader, title=title)
    row.sealed = sealing.seal(text, of=_owner(row))
    row.save(force_insert=True)
    return row


def open_for(reader: User, secret_id: UUID, *, source: Source) -> str:
    """The text, once, to its reader. The row count is the verdict: of two at the same time one reads it.

    Raises:
        Refusal: `secret.unknown` (404: also somebody else's), `secret.gone` (410: opened or over),
            `secret.unreadable` (no key of ours opens it: it is not used up). On record, as is the opening.
    """
    try:
        with audit.recorded():
            row, text = _opened(reader, secret_id)
            _record(reader, secret_id, source, verdict="executed", after={"title": row.title})
    except Refusal as no:
        with audit.recorded():
            _record(reader, secret_id, source, verdict="refused", code=no.code)
        raise
    return text


def _opened(reader: User, secret_id: UUID) -> tuple[SealedSecret, str]:
    row = SealedSecret.objects.filter(pk=secret_id, reader=reader).first()
    if row is None:
        raise Refusal("secret.unknown", f"no secret {secret_id} is yours", status=404)
    fresh = SealedSecret.objects.filter(pk=row.pk, opened_at=None, expires_at__gt=Now())
    if not fresh.update(opened_at=Now(), sealed=""):
        raise Refusal("secret.gone", "it was opened already, or its day is over", status=410)
    try:
        return row, sealing.unseal(row.sealed, of=_owner(row))
    except sealing.Unreadable:
        raise Refusal("secret.unreadable", "FIELD_ENCRYPTION_KEY has no key that opens it") from None


def _record(reader: User, secret_id: UUID, source: Source, **more: Any) -> None:
    audit.append(action="secret.open", target=str(secret_id), source=source.value, actor=reader, **more)


def prune() -> int:
    """Empty what nobody has read within its day. Returns how many."""
    return SealedSecret.objects.filter(expires_at__lte=Now()).exclude(sealed="").update(sealed="")


def _owner(row: SealedSecret) -> str:
    return f"sealed_secret:{row.pk}"
