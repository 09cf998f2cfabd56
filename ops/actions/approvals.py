"""The two-man rule (spec 3.2): freeze what is asked, count votes under the request's lock, run exactly that.

Assume every function runs concurrently with itself. Locks: desk state, then the request, then what the action
locks, then the audit head. The desk comes first because HOLD, which holds it, voids open requests: the other
way round a vote and a HOLD would wait for each other. The database refuses self-approval, a second vote, a
vote on another payload and a second use by itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from ops import access, audit, config, context, desk, hooks
from ops.actions import registry, runner
from ops.actions.base import Action, Actor, Context, Credential, Outcome, Refusal, Source, Status
from ops.actions.inputs import parse
from ops.canonical import digest, plain
from ops.config import ControlConfig
from ops.models import ApprovalRequest, AuditEntry, User, Vote

PENDING_FOR = timedelta(minutes=15)
APPROVED_FOR = timedelta(minutes=5)
State = ApprovalRequest.State
Execution = ApprovalRequest.ExecutionState
#: Outcomes that use the approval up; a dry run or a gate that said no leave it as it was.
_USED = {Status.EXECUTED, Status.ACCEPTED}


class _UnpreparedError(Exception):
    """This vote completes the quorum, which could not be seen before the lock: prepare, and vote again."""


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
        "reason": ctx.reason,
        "payload": plain(ctx.input),
        "before": plain(action.before(ctx)),
        "config_version": config.running_version(),
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
    """Time-out means no. On the database's clock; called before asking again and by a periodic task.

    Returns how many requests it answered.
    """
    if not _late(**of).exists():
        return 0
    with transaction.atomic():
        desk.lock()
        found = list(_late(**of).select_for_update().order_by("created_at"))
        for request in found:
            _set_state(request, State.EXPIRED)
        for request in found:
            audit.append_system(
                action="approval.expire",
                target=str(request.pk),
                verdict="executed",
                correlation_id=str(request.pk),
            )
    return len(found)


def _late(**of: Any) -> "QuerySet[ApprovalRequest]":
    return ApprovalRequest.objects.filter(
        state__in=ApprovalRequest.OPEN, execution_state=Execution.NOT_RUN, expires_at__lte=Now(), **of
    )


# --- voting ------------------------------------------------------------------


def vote(
    request_id: UUID, *, actor: Actor, verdict: str, digest: str, comment: str = "", source: Source
) -> Outcome:
    """One person's word. The vote that completes the quorum runs the action in its own transaction; when the
    action refuses then, the request stays approved and says why in `execution.refusal`.

    Raises:
        Refusal: `vote.*` or `approval.*`; already audited.
    """
    sent = {"digest": digest}
    with _refusals_audited(f"approval.{verdict}", actor, source, request_id, reason=comment, data=sent):
        return _vote(request_id, actor, verdict, digest, comment, source)


@contextmanager
def _refusals_audited(
    name: str, actor: Actor, source: Source, request_id: UUID, **more: Any
) -> Iterator[None]:
    try:
        yield
    except Refusal as refusal:
        runner.audit_refusal(name, actor, refusal, source=source, target=str(request_id), **more)
        raise


def _vote(request_id: UUID, actor: Actor, verdict: str, shown: str, comment: str, source: Source) -> Outcome:
    if actor.credential is Credential.TOKEN:
        raise Refusal("vote.token", "a token cannot vote: log in as a person", status=403)
    if verdict not in Vote.Verdict.values:
        raise Refusal("vote.verdict", f"{verdict!r}; accepted: approve, reject", status=422)
    runner.require_words(comment=comment)
    if verdict == Vote.Verdict.REJECT and not comment.strip():
        raise Refusal("vote.comment_required", "a rejection needs a comment", status=422)
    request = find(request_id)
    action = registry.get(request.action)
    ctx = _context(action, request, source)
    runner.require(actor, action.approve_permission, action.objects(ctx.input))
    while True:
        prepared = verdict == Vote.Verdict.APPROVE and _approvals(request) + 1 >= request.quorum
        if prepared:
            ctx.evidence = action.prepare(ctx)
        try:
            return _cast(action, ctx, request_id, actor, verdict, shown, comment, prepared=prepared)
        except _UnpreparedError:  # somebody else's vote came first; it is committed, so it is seen now
            continue


def _cast(
    action: Action[Any],
    ctx: Context[Any],
    request_id: UUID,
    actor: Actor,
    verdict: str,
    shown: str,
    comment: str,
    *,
    prepared: bool,
) -> Outcome:
    with transaction.atomic(durable=True):
        desk.lock()
        request = _locked(request_id)
        _may_be_voted_on(request, actor, shown)
        _write_vote(request, actor, verdict, shown, comment)
        result: Outcome | Refusal | None = None
        if verdict == Vote.Verdict.REJECT:
            _set_state(request, State.REJECTED)
        elif _approvals(request) >= request.quorum:
            if not prepared:
                raise _UnpreparedError
            _set_state(request, State.APPROVED, expires_at=Now() + APPROVED_FOR)
            result = _run(action, ctx, request)
        entry = _journal(f"approval.{verdict}", request, actor, ctx.source, comment)
        if isinstance(result, Outcome):
            return _answer(runner.audited(action, ctx, result, request.before), request)
        if isinstance(result, Refusal):
            entry = _journal_refusal(action, ctx, request, result)
        status = Status.EXECUTED if verdict == Vote.Verdict.REJECT else Status.PENDING
        return _answer(Outcome(status, audit_seq=entry.seq), request)


def _approvals(request: ApprovalRequest) -> int:
    return request.votes.filter(verdict=Vote.Verdict.APPROVE).count()


def _may_be_voted_on(request: ApprovalRequest, actor: Actor, shown: str) -> None:
    if request.state != State.PENDING:
        raise Refusal("approval.closed", f"the request is {request.state}", status=409)
    _require_in_time(request)
    if request.requested_by_id == actor.user.pk:
        raise Refusal("vote.self", "nobody approves or rejects their own request", status=403)
    if shown != request.digest:
        raise Refusal("vote.digest", "the digest sent is not that of this request: read it again", status=409)
    if request.votes.filter(approver=actor.user).exists():
        raise Refusal("vote.twice", "you have voted on this request already", status=409)


def _require_in_time(request: ApprovalRequest) -> None:
    if _late(pk=request.pk).exists():
        raise Refusal("approval.expired", "the request has expired: ask again", status=409)


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
        why = str(refused).splitlines()[0]
        raise Refusal("vote.refused", f"the database refuses this vote: {why}", status=409) from refused


def _set_state(request: ApprovalRequest, state: str, **more: Any) -> None:
    request.state = state
    request.decided_at = Now()
    for name, value in more.items():
        setattr(request, name, value)
    request.save()
    request.refresh_from_db()


def _journal(
    name: str, request: ApprovalRequest, actor: Actor, source: Source, reason: str = ""
) -> AuditEntry:
    """One entry for what a person did to a request."""
    return audit.append(
        action=name,
        target=str(request.pk),
        verdict="executed",
        source=source.value,
        actor=actor.user,
        reason=reason,
        after={"state": request.state, "digest": request.digest},
        correlation_id=str(request.pk),
    )


def _answer(outcome: Outcome, request: ApprovalRequest) -> Outcome:
    body = {**outcome.body, "approval": as_dict(request)}
    return Outcome(outcome.status, body, outcome.after, outcome.audit_seq)


# --- running what was approved -----------------------------------------------


def apply(request_id: UUID, *, actor: Actor, source: Source) -> Outcome:
    """Try an approved request again, by its requester or one who approved it.

    Raises:
        Refusal: also when the action refuses again; already audited.
    """
    with _refusals_audited("approval.apply", actor, source, request_id):
        return _apply(request_id, actor, source)


def _apply(request_id: UUID, actor: Actor, source: Source) -> Outcome:
    request = find(request_id)
    approvers = request.votes.filter(verdict=Vote.Verdict.APPROVE).values_list("approver", flat=True)
    if not actor.user.is_active or actor.user.pk not in {request.requested_by_id, *approvers}:
        raise Refusal("apply.stranger", "only the requester or an approver may apply it", status=403)
    action = registry.get(request.action)
    _require_applicable(request)
    ctx = _context(action, request, source)
    ctx.evidence = action.prepare(ctx)
    with transaction.atomic(durable=True):
        desk.lock()
        request = _locked(request_id)
        _require_applicable(request)
        result = _run(action, ctx, request)
        if isinstance(result, Outcome):
            _journal("approval.apply", request, actor, source)
            return _answer(runner.audited(action, ctx, result, request.before), request)
        _journal_refusal(action, ctx, request, result)
    raise result


def _require_applicable(request: ApprovalRequest) -> None:
    if request.state != State.APPROVED or request.execution_state == Execution.EXECUTED:
        now = f"{request.state}, {request.execution_state}"
        raise Refusal("approval.not_applicable", f"the request is {now}")


def _run(action: Action[Any], ctx: Context[Any], request: ApprovalRequest) -> Outcome | Refusal:
    """Run it in a savepoint. A refusal leaves the request approved until it expires, and says why."""
    ctx.approval = request
    try:
        with transaction.atomic():
            _still_holds(action, ctx, request)
            outcome = action.check(ctx) or action.execute(ctx)
            if outcome.status in _USED:
                _mark_executed(request, outcome)
            return outcome
    except IntegrityError as collision:
        refusal = runner.as_refusal(collision)
    except Refusal as no:
        refusal = no
    request.refresh_from_db()
    request.refusal = refusal.as_dict()
    if refusal.code == "approval.stale":
        _set_state(request, State.VOIDED)
    request.save()
    return refusal


def _journal_refusal(
    action: Action[Any], ctx: Context[Any], request: ApprovalRequest, refusal: Refusal
) -> AuditEntry:
    return audit.append(
        action=action.name,
        target=request.target,
        verdict="refused",
        source=ctx.source.value,
        actor=ctx.actor.user,
        reason=ctx.reason,
        code=refusal.code,
        before={"input": ctx.input},
        after={"detail": refusal.detail},
        correlation_id=str(request.pk),
    )


def _mark_executed(request: ApprovalRequest, outcome: Outcome) -> None:
    """The trigger of what was changed may have marked it already; an action without one relies on this."""
    request.execution_state = Execution.EXECUTED
    request.executed_at = Now()
    request.result = plain(dict(outcome.body))
    request.refusal = None
    request.save()
    request.refresh_from_db()


def _still_holds(action: Action[Any], ctx: Context[Any], request: ApprovalRequest) -> None:
    """What the approvers saw is still so, and they are still the ones who may say so."""
    _require_in_time(request)
    objects = list(action.objects(ctx.input))
    requester = User.objects.get(pk=request.requested_by_id)  # now, not when the request was read
    if not access.may(requester, action.permission, objects):
        raise Refusal("permission.denied", "the requester may no longer do this", status=403)
    approvers = User.objects.filter(
        pk__in=request.votes.filter(verdict=Vote.Verdict.APPROVE).values_list("approver", flat=True)
    )
    standing = sum(access.may(person, action.approve_permission, objects) for person in approvers)
    if standing < request.quorum:
        raise Refusal("approval.quorum_lost", f"{standing} of {request.quorum} approvers may still approve")
    now = {
        "before": plain(action.before(ctx)),
        "config_version": config.running_version(),
        "fence": hooks.fence().fence,
    }
    stale = [name for name, value in now.items() if value != getattr(request, name)]
    if stale:
        raise Refusal("approval.stale", f"changed since it was asked for: {', '.join(stale)}; ask again")


def cancel(request_id: UUID, *, actor: Actor, source: Source) -> ApprovalRequest:
    """Its requester takes it back."""
    with _refusals_audited("approval.cancel", actor, source, request_id):
        find(request_id)
        with transaction.atomic(durable=True):
            request = _locked(request_id)
            if not actor.user.is_active or request.requested_by_id != actor.user.pk:
                raise Refusal("cancel.stranger", "only its requester may cancel it", status=403)
            if not request.open:
                raise Refusal("approval.closed", f"the request is {request.state}", status=409)
            _set_state(request, State.CANCELLED)
            _journal("approval.cancel", request, actor, source)
            return request


def _locked(request_id: UUID) -> ApprovalRequest:
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
            for v in request.votes.all()
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
