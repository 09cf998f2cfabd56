"""The two-man rule (spec 3.2): freeze what is asked, count votes under the request's lock, run exactly that.

Assume every function runs concurrently with itself. The request row is locked first, always; the database
refuses self-approval, a second vote and a vote on another payload by itself.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from ops import access, audit, config, context, desk, hooks
from ops.actions import registry, runner
from ops.actions.base import Action, Actor, Context, Credential, Outcome, Refusal, Source, Status
from ops.actions.inputs import parse
from ops.canonical import digest, plain
from ops.config import ControlConfig
from ops.models import ApprovalRequest, User, Vote

PENDING_FOR = timedelta(minutes=15)
APPROVED_FOR = timedelta(minutes=5)
State = ApprovalRequest.State
Execution = ApprovalRequest.ExecutionState


def quorum() -> int:
    """People other than the requester, by config; never zero (the schema sees to it)."""
    return config.active().section(ControlConfig).quorum


# --- asking ------------------------------------------------------------------


def create(action: Action[Any], ctx: Context[Any], needed: int) -> ApprovalRequest:
    """Freeze the request inside the runner's transaction. One digest covers what an approver relies on."""
    target = action.target(ctx.input)
    expire(action=action.name, target=target)
    frozen = {
        "action": action.name,
        "target": target,
        "requested_by": ctx.actor.user.get_username(),
        "payload": plain(ctx.input),
        "before": plain(action.before(ctx)),
        "config_version": config.active().version,
        "fence": hooks.fence().fence,
    }
    request = ApprovalRequest.objects.create(
        action=action.name,
        target=target,
        requested_by=ctx.actor.user,
        reason=ctx.reason,
        payload=frozen["payload"],
        before=frozen["before"],
        diff=plain(action.diff(ctx)),
        digest=digest(frozen),
        config_version=frozen["config_version"],
        fence=frozen["fence"],
        quorum=needed,
        policy={"danger": action.risk(ctx.input).value, "approve_permission": action.approve_permission},
        source=ctx.source.value,
        request_id=context.request_id(),
        created_at=Now(),
        expires_at=Now() + PENDING_FOR,
    )
    request.refresh_from_db()
    return request


def expire(**of: Any) -> int:
    """Time-out means no. On the database's clock; called before asking again and by a periodic task."""
    return ApprovalRequest.objects.filter(
        state__in=ApprovalRequest.OPEN, execution_state=Execution.NOT_RUN, expires_at__lte=Now(), **of
    ).update(state=State.EXPIRED, decided_at=Now())


# --- voting ------------------------------------------------------------------


def vote(
    request_id: UUID, *, actor: Actor, verdict: str, digest: str, comment: str = "", source: Source
) -> Outcome:
    """One person's word. The vote that completes the quorum runs the action in its own transaction.

    Raises:
        Refusal: `vote.*` or `approval.*`; already audited.
    """
    name = f"approval.{verdict}"
    try:
        return _vote(request_id, actor, verdict, digest, comment, source)
    except Refusal as refusal:
        runner.audit_refusal(
            name,
            actor,
            refusal,
            source=source,
            reason=comment,
            target=str(request_id),
            data={"digest": digest},
        )
        raise


def _vote(request_id: UUID, actor: Actor, verdict: str, shown: str, comment: str, source: Source) -> Outcome:
    if actor.credential is Credential.TOKEN:
        raise Refusal("vote.token", "a token cannot vote: log in as a person", status=403)
    if verdict not in Vote.Verdict.values:
        raise Refusal("vote.verdict", f"{verdict!r}; accepted: approve, reject", status=422)
    if verdict == Vote.Verdict.REJECT and not comment.strip():
        raise Refusal("vote.comment_required", "a rejection needs a comment", status=422)
    request = find(request_id)
    action = registry.get(request.action)
    runner.require(actor, action.approve_permission)
    ctx = _context(action, request, source)
    if verdict == Vote.Verdict.APPROVE and _completes(request):
        ctx.evidence = action.prepare(ctx)
    with transaction.atomic(durable=True):
        request = ApprovalRequest.objects.select_for_update().get(pk=request_id)
        desk.lock()  # before any audit entry: everybody else takes desk → audit head in this order
        _may_be_voted_on(request, actor, shown)
        _write_vote(request, actor, verdict, shown, comment)
        if verdict == Vote.Verdict.REJECT:
            _set_state(request, State.REJECTED)
            return _voted(request, actor, verdict, comment, source)
        if request.votes.filter(verdict=Vote.Verdict.APPROVE).count() < request.quorum:
            return _voted(request, actor, verdict, comment, source)
        _set_state(request, State.APPROVED, expires_at=Now() + APPROVED_FOR)
        entry = _voted(request, actor, verdict, comment, source)
        ctx.approval = request
        outcome = _try_to_run(action, ctx, request)
        return outcome or entry


def _completes(request: ApprovalRequest) -> bool:
    """Whether one more approval would do; a guess made before the lock, only to prepare in time."""
    return request.votes.filter(verdict=Vote.Verdict.APPROVE).count() + 1 >= request.quorum


def _may_be_voted_on(request: ApprovalRequest, actor: Actor, shown: str) -> None:
    if request.state != State.PENDING:
        raise Refusal("approval.closed", f"the request is {request.state}", status=409)
    if request.expires_at <= timezone.now():
        raise Refusal("approval.expired", "the request has expired: ask again", status=409)
    if request.requested_by_id == actor.user.pk:
        raise Refusal("vote.self", "nobody approves or rejects their own request", status=403)
    if shown != request.digest:
        raise Refusal("vote.digest", "the digest sent is not that of this request: read it again", status=409)
    if request.votes.filter(approver=actor.user).exists():
        raise Refusal("vote.twice", "you have voted on this request already", status=409)


def _write_vote(request: ApprovalRequest, actor: Actor, verdict: str, shown: str, comment: str) -> None:
    try:
        with transaction.atomic():
            Vote.objects.create(
                request=request,
                requested_by_id=request.requested_by_id,
                digest=shown,
                approver=actor.user,
                verdict=verdict,
                comment=comment,
            )
    except IntegrityError as refused:
        raise Refusal("vote.refused", f"the database refuses this vote: {refused}", status=409) from refused


def _voted(request: ApprovalRequest, actor: Actor, verdict: str, comment: str, source: Source) -> Outcome:
    entry = audit.append(
        action=f"approval.{verdict}",
        target=str(request.pk),
        verdict="executed",
        source=source.value,
        actor=actor.user,
        reason=comment,
        after={"state": request.state, "digest": request.digest},
        correlation_id=str(request.pk),
    )
    status = Status.EXECUTED if verdict == Vote.Verdict.REJECT else Status.PENDING
    return Outcome(status, {"approval": as_dict(request)}, audit_seq=entry.seq)


def _set_state(request: ApprovalRequest, state: str, **more: Any) -> None:
    request.state = state
    request.decided_at = timezone.now()
    for name, value in more.items():
        setattr(request, name, value)
    request.save()
    request.refresh_from_db()


# --- running what was approved -----------------------------------------------


def apply(request_id: UUID, *, actor: Actor, source: Source) -> Outcome:
    """Try an approved request again, by its requester or one who approved it."""
    try:
        return _apply(request_id, actor, source)
    except Refusal as refusal:
        runner.audit_refusal("approval.apply", actor, refusal, source=source, target=str(request_id))
        raise


def _apply(request_id: UUID, actor: Actor, source: Source) -> Outcome:
    request = find(request_id)
    action = registry.get(request.action)
    involved = {
        request.requested_by_id,
        *request.votes.filter(verdict="approve").values_list("approver", flat=True),
    }
    if actor.user.pk not in involved:
        raise Refusal("apply.stranger", "only the requester or an approver may apply it", status=403)
    ctx = _context(action, request, source)
    if request.state == State.APPROVED:
        ctx.evidence = action.prepare(ctx)
    with transaction.atomic(durable=True):
        request = ApprovalRequest.objects.select_for_update().get(pk=request_id)
        if request.state != State.APPROVED or request.execution_state == Execution.EXECUTED:
            raise Refusal(
                "approval.not_applicable", f"the request is {request.state}, {request.execution_state}"
            )
        ctx.approval = request
        outcome = _try_to_run(action, ctx, request)
    if outcome is None:
        refused = request.refusal or {}
        raise Refusal(refused.get("code", "refused"), refused.get("detail", ""), errors=refused.get("errors"))
    return outcome


def _try_to_run(action: Action[Any], ctx: Context[Any], request: ApprovalRequest) -> Outcome | None:
    """Run it in a savepoint. A refusal leaves the request approved until it expires, and says why."""
    try:
        with transaction.atomic():
            desk.lock()
            _still_holds(action, ctx, request)
            outcome = runner.run_approved(action, ctx)
            if outcome.status in {Status.EXECUTED, Status.ACCEPTED}:  # skipped or dry-run: not consumed
                _mark_executed(request, outcome)
    except Refusal as refusal:
        request.refresh_from_db()
        request.refusal = refusal.as_dict()
        if refusal.code == "approval.stale":
            _set_state(request, State.VOIDED)
        request.save()
        audit.append(
            action=action.name,
            target=request.target,
            verdict="refused",
            source=ctx.source.value,
            actor=ctx.actor.user,
            reason=ctx.reason,
            code=refusal.code,
            after={"detail": refusal.detail},
            correlation_id=str(request.pk),
        )
        return None
    return Outcome(
        outcome.status, {**outcome.body, "approval": as_dict(request)}, outcome.after, outcome.audit_seq
    )


def _mark_executed(request: ApprovalRequest, outcome: Outcome) -> None:
    request.execution_state = Execution.EXECUTED
    request.executed_at = timezone.now()
    request.result = plain(dict(outcome.body))
    request.refusal = None
    request.save()


def _still_holds(action: Action[Any], ctx: Context[Any], request: ApprovalRequest) -> None:
    """What the approvers saw is still so, and they are still the ones who may say so."""
    if request.expires_at <= timezone.now():
        raise Refusal("approval.expired", "the approval has expired: ask again")
    if not access.may(request.requested_by, action.permission):
        raise Refusal("permission.denied", "the requester may no longer do this", status=403)
    approvers = User.objects.filter(
        pk__in=request.votes.filter(verdict="approve").values_list("approver", flat=True)
    )
    standing = sum(access.may(person, action.approve_permission) for person in approvers)
    if standing < request.quorum:
        raise Refusal("approval.quorum_lost", f"{standing} of {request.quorum} approvers may still approve")
    now = {
        "before": plain(action.before(ctx)),
        "config_version": config.active().version,
        "fence": hooks.fence().fence,
    }
    stale = [name for name, value in now.items() if value != getattr(request, name)]
    if stale:
        raise Refusal("approval.stale", f"changed since it was asked for: {', '.join(stale)}; ask again")


def cancel(request_id: UUID, *, actor: Actor, source: Source) -> ApprovalRequest:
    """Its requester takes it back."""
    try:
        with transaction.atomic(durable=True):
            request = _locked(request_id)
            if request.requested_by_id != actor.user.pk:
                raise Refusal("cancel.stranger", "only its requester may cancel it", status=403)
            if not request.open:
                raise Refusal("approval.closed", f"the request is {request.state}", status=409)
            _set_state(request, State.CANCELLED)
            audit.append(
                action="approval.cancel",
                target=str(request.pk),
                verdict="executed",
                source=source.value,
                actor=actor.user,
                correlation_id=str(request.pk),
            )
            return request
    except Refusal as refusal:
        runner.audit_refusal("approval.cancel", actor, refusal, source=source, target=str(request_id))
        raise


def _locked(request_id: UUID) -> ApprovalRequest:
    find(request_id)
    return ApprovalRequest.objects.select_for_update().get(pk=request_id)


def find(request_id: UUID) -> ApprovalRequest:
    request = ApprovalRequest.objects.select_related("requested_by").filter(pk=request_id).first()
    if request is None:
        raise Refusal("approval.unknown", f"no request {request_id}", status=404)
    return request


def _context(action: Action[Any], request: ApprovalRequest, source: Source) -> Context[Any]:
    """As the requester: with their permissions, their words and the frozen payload, parsed again."""
    requester = Actor(request.requested_by, Credential.SESSION)
    return Context(requester, parse(action.Input, request.payload), request.reason, source)


def as_dict(request: ApprovalRequest) -> dict[str, Any]:
    """Spec 6.1's shape. A request whose time is over reads `expired` also before the sweep writes it."""
    late = request.open and request.expires_at <= timezone.now()
    return {
        "id": str(request.pk),
        "action": request.action,
        "target": request.target,
        "state": State.EXPIRED.value if late else request.state,
        "requested_by": request.requested_by.get_username(),
        "reason": request.reason,
        "payload": request.payload,
        "before": request.before,
        "diff": request.diff,
        "digest": request.digest,
        "config_version": request.config_version,
        "fence": request.fence,
        "quorum": request.quorum,
        "votes": [
            {"by": v.approver.get_username(), "verdict": v.verdict, "comment": v.comment, "at": v.at}
            for v in request.votes.select_related("approver")
        ],
        "created_at": request.created_at,
        "expires_at": request.expires_at,
        "execution": {
            "state": request.execution_state,
            "result": request.result,
            "refusal": request.refusal,
            "at": request.executed_at,
        },
    }
