"""Ask, take back, and time-out: everything before and beside the votes."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.functions import Now

from ops import audit, config, context, desk, hooks
from ops.actions import once, registry
from ops.actions.approvals import steps
from ops.actions.base import Action, Actor, Context, Outcome, Refusal, Source, Status
from ops.canonical import digest, plain
from ops.models import ApprovalRequest

PENDING_FOR = timedelta(minutes=15)
State = ApprovalRequest.State


def create(action: Action[Any], ctx: Context[Any], *, quorum: int, vote_from: str = "") -> ApprovalRequest:
    """Freeze the request inside the runner's transaction. One digest covers what an approver relies on."""
    target = action.target(ctx.input)
    expire(action=action.name, target=target)
    request = ApprovalRequest(
        action=action.name,
        target=target,
        requested_by=ctx.actor.user,
        reason=ctx.reason,
        payload=plain(ctx.input),
        before=plain(action.before(ctx)),
        diff=plain(action.diff(ctx)),
        config_version=config.running_version(),
        fence=hooks.fence().fence,
        quorum=quorum,
        policy=_policy(action, ctx, vote_from),
        source=ctx.source.value,
        request_id=context.request_id(),
        created_at=Now(),
        expires_at=Now() + PENDING_FOR,
    )
    request.digest = digest_of(request)
    request.save(force_insert=True)
    request.refresh_from_db()
    audit.touch(request)
    return request


def digest_of(request: ApprovalRequest) -> str:
    """Of everything that an approver relies on, as the row has it now: asked again before it is run."""
    parts = ("action", "target", "reason", "payload", "before", "diff", "config_version", "fence", "quorum")
    frozen = {name: getattr(request, name) for name in (*parts, "policy")}
    return digest({**frozen, "requested_by": request.requested_by.get_username()})


def _policy(action: Action[Any], ctx: Context[Any], vote_from: str) -> dict[str, Any]:
    """As it was when it was asked: a later change of policy does not change what this request needs."""
    return {
        "danger": action.risk(ctx.input).value,
        "approve_permission": action.approve_permission,
        "vote_from": vote_from,
        "survives_start": action.waits_for_start(ctx.input),
    }


def expire(**of: Any) -> int:
    """Time-out means no. On the database's clock; called before asking again and by a periodic task.

    Returns how many requests it answered.
    """
    if not late(**of).exists():
        return 0
    with audit.recorded(durable=False):
        desk.lock()
        found = list(late(**of).select_for_update().order_by("created_at"))
        for request in found:
            steps.set_state(request, State.EXPIRED)
        for request in found:
            steps.journal("approval.expire", request, actor=None, source=Source.SYSTEM)
    return len(found)


def late(**of: Any) -> "QuerySet[ApprovalRequest]":
    return ApprovalRequest.objects.filter(
        state__in=ApprovalRequest.OPEN,
        execution_state=ApprovalRequest.ExecutionState.NOT_RUN,
        expires_at__lte=Now(),
        **of,
    )


def require_in_time(request: ApprovalRequest) -> None:
    if late(pk=request.pk).exists():
        raise Refusal("approval.expired", "the request has expired: ask again", status=409)


def cancel(request_id: UUID, *, actor: Actor, source: Source, idempotency_key: str = "") -> Outcome:
    """Its requester takes it back: also what is approved and not yet run."""

    def do(keep: once.Keep) -> Outcome:
        actor.require_scope(find(request_id).action)
        with audit.recorded():
            request = steps.locked(request_id)
            if not actor.user.is_active or request.requested_by_id != actor.user.pk:
                raise Refusal("cancel.stranger", "only its requester may cancel it", status=403)
            if not request.open:
                raise Refusal("approval.closed", f"the request is {request.state}", status=409)
            steps.set_state(request, State.CANCELLED)
            entry = steps.journal("approval.cancel", request, actor=actor, source=source)
            outcome = steps.answer(Outcome(Status.EXECUTED, audit_seq=entry.seq), request)
            keep(outcome)
            return outcome

    return steps.command("approval.cancel", request_id, do, actor=actor, source=source, key=idempotency_key)


def find(request_id: UUID) -> ApprovalRequest:
    request = ApprovalRequest.objects.select_related("requested_by").filter(pk=request_id).first()
    if request is None:
        raise Refusal("approval.unknown", f"no request {request_id}", status=404)
    return request


def action_of(request: ApprovalRequest) -> Action[Any]:
    return registry.get(request.action)
