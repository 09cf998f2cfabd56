"""Secrets that an action made, sealed for one reader and opened once: first passwords, tokens.

They are in no outcome, no audit entry and no idempotency answer: those only name them.
"""

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
        Refusal: `secret.unknown` (404: also somebody else's), `secret.gone` (410: opened or over).
    """
    row = SealedSecret.objects.filter(pk=secret_id, reader=reader).first()
    if row is None:
        raise Refusal("secret.unknown", f"no secret {secret_id} is yours", status=404)
    with audit.recorded():
        fresh = SealedSecret.objects.filter(pk=row.pk, opened_at=None, expires_at__gt=Now())
        if not fresh.update(opened_at=Now(), sealed=""):
            raise Refusal("secret.gone", "it was opened already, or its day is over", status=410)
        audit.append(
            action="secret.open",
            target=str(row.pk),
            verdict="executed",
            source=source.value,
            actor=reader,
            after={"title": row.title},
        )
    return sealing.unseal(row.sealed, of=_owner(row))


def _owner(row: SealedSecret) -> str:
    return f"sealed_secret:{row.pk}"
