"""`Idempotency-Key`: a command is carried out once, however often it is sent (spec 3.1).

The first answer is written in the command's own transaction, so a crash leaves both or neither. While the
first still runs its session holds an advisory lock: a repetition is told so instead of waiting, and the lock
of a process that died is gone with it.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models.functions import Now
from django.utils.crypto import salted_hmac

from ops.actions.base import Actor, Outcome, Refusal, Source, Status
from ops.canonical import plain
from ops.models import IdempotencyKey

KEPT_FOR = timedelta(days=1)
LONGEST = 100
Answer = Outcome | Refusal
#: Called with the answer inside the transaction that gives it.
Keep = Callable[[Answer], None]


def keep_nothing(_: Answer) -> None:
    """For a command without a key."""


def run(*, actor: Actor, source: Source, key: str, said: Any, do: Callable[[Keep], Outcome]) -> Outcome:
    """Carry out `do`, or give its first answer again.

    Args:
        key: the caller's own, any text of at most 100 visible characters; empty: no promise is asked for.
        said: the whole command as JSON-able data: the same key with another one is a mistake.

    Raises:
        Refusal: the first answer's, or `idempotency.*`.
    """
    if not key:
        return do(keep_nothing)
    if len(key) > LONGEST or not key.isascii() or not key.isprintable():
        raise Refusal(
            "idempotency.key", f"Idempotency-Key: accepted: at most {LONGEST} visible characters", status=422
        )
    name, own, fingerprint = actor.name, f"{source.value}:{key}", fingerprint_of(said)
    with _alone(f"{name}\n{own}"):
        first = IdempotencyKey.objects.filter(actor_name=name, key=own).first()
        if first is None:
            return do(lambda answer: _keep(name, own, fingerprint, answer))
        if first.fingerprint != fingerprint:
            raise Refusal(
                "idempotency.mismatch", "this Idempotency-Key was sent with another body", status=422
            )
        return _again(first.answer)


def fingerprint_of(said: Any) -> str:
    """Keyed: a command may carry a password, and whoever reads the rows could guess at a plain hash of it."""
    return salted_hmac("ops.once", _json(said), algorithm="sha256").hexdigest()


@contextmanager
def _alone(what: str) -> Iterator[None]:
    number = int.from_bytes(hashlib.sha256(what.encode()).digest()[:8], signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [number])
        if not cursor.fetchone()[0]:
            raise Refusal("idempotency.running", "the first request with this key still runs", status=409)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [number])


def _keep(name: str, key: str, fingerprint: str, answer: Answer) -> None:
    if isinstance(answer, Refusal):
        kept: dict[str, Any] = {"refusal": answer.as_dict(), "http": answer.status}
    else:
        kept = {"status": answer.status.value, "body": dict(answer.body), "audit_seq": answer.audit_seq}
    IdempotencyKey.objects.create(
        actor_name=name, key=key, fingerprint=fingerprint, answer=json.loads(_json(kept))
    )


def _json(value: Any) -> str:
    """Also what a caller sent that has no canonical form, such as a fraction."""
    return json.dumps(value, default=_text, sort_keys=True)


def _text(value: Any) -> Any:
    """Times as the faces write them: the answer given again is the first one to the letter."""
    return plain(value).removesuffix("+00:00") + "Z" if isinstance(value, datetime) else plain(value)


def _again(kept: dict[str, Any]) -> Outcome:
    if "refusal" in kept:
        no = kept["refusal"]
        raise Refusal(no["code"], no["detail"], status=kept["http"], errors=no["errors"])
    return Outcome(Status(kept["status"]), kept["body"], audit_seq=kept["audit_seq"], repeated=True)


def prune() -> int:
    """Forget answers older than a day. Returns how many."""
    return IdempotencyKey.objects.filter(at__lt=Now() - KEPT_FOR).delete()[0]
