"""What asking, voting and running have in common: lock, move, journal, and who refused what."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db.models.functions import Now

from ops import audit
from ops.actions import once, runner
from ops.actions.approvals.shape import as_dict
from ops.actions.base import Actor, Outcome, Refusal, Source
from ops.models import ApprovalRequest, AuditEntry


def locked(request_id: UUID) -> ApprovalRequest:
    return ApprovalRequest.objects.select_for_update().get(pk=request_id)


def set_state(request: ApprovalRequest, state: str, **more: Any) -> None:
    request.state = state
    request.decided_at = Now()
    write(request, **more)


def write(request: ApprovalRequest, **values: Any) -> None:
    for name, value in values.items():
        setattr(request, name, value)
    request.save()
    request.refresh_from_db()
    audit.touch(request)


def journal(
    name: str,
    request: ApprovalRequest,
    *,
    actor: Actor | None,
    source: Source,
    reason: str = "",
) -> AuditEntry:
    """One entry for what somebody did to a request; no actor: the machine."""
    return audit.append(
        action=name,
        target=str(request.pk),
        verdict="executed",
        source=source.value,
        actor=actor.row if actor else None,
        reason=reason,
        after={"state": request.state, "digest": request.digest},
        correlation_id=str(request.pk),
    )


def answer(outcome: Outcome, request: ApprovalRequest) -> Outcome:
    """The outcome with the request in its body."""
    body = {**outcome.body, "approval": as_dict(request)}
    return Outcome(outcome.status, body, outcome.after, outcome.audit_seq)


def command(
    name: str,
    request_id: UUID,
    do: Callable[[once.Keep], Outcome],
    *,
    actor: Actor,
    source: Source,
    key: str,
    **said: Any,
) -> Outcome:
    """Once per Idempotency-Key, and every refusal on record. said: what came with it, without secrets."""

    def run(keep: once.Keep) -> Outcome:
        try:
            with runner.watched(name, actor.name):
                return do(keep)
        except Refusal as refusal:
            runner.audit_refusal(
                name,
                actor,
                refusal,
                source=source,
                target=str(request_id),
                reason=str(said.get("comment", "")),
                data=said,
                keep=keep,
            )
            raise

    whole = {"command": name, "request": str(request_id), **said}
    return once.run(actor=actor, source=source, key=key, said=whole, do=run)
