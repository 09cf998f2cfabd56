"""Who came in, and who tried: the same entry for every face."""

from django.db import transaction

from ops import audit
from ops.actions.base import Source
from ops.models import User


def record(name: str, *, user: User | None, source: Source) -> None:
    """One audit entry. user None: refused; a wrong name and a wrong password look the same."""
    with transaction.atomic(durable=True):
        audit.append(
            action="auth.login",
            target=name.replace("\x00", "\ufffd").encode(errors="replace").decode(),
            verdict="executed" if user else "refused",
            source=source.value,
            actor=user,
            code="" if user else "auth.failed",
        )
