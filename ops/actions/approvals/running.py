"""Run what was approved: exactly that, if it still holds."""

from typing import Any
from uuid import UUID

from django.db import IntegrityError
from django.db.models import QuerySet
from django.db.models.functions import Now

from ops import access, audit, config, desk, hooks
from ops.actions import once, runner
from ops.actions.approvals import steps
from ops.actions.approvals.asking import action_of, digest_of, find, require_in_time
from ops.actions.base import Action, Actor, Context, Credential, Danger, Outcome, Refusal, Source, Status
from ops.actions.inputs import parse
from ops.canonical import plain
from ops.models import ApprovalRequest, AuditEntry, User, Vote

State = ApprovalRequest.State
Execution = ApprovalRequest.ExecutionState
#: Outcomes that use the approval up; a dry run or a gate that said no leave it as it was.
_USED = {Status.EXECUTED, Status.ACCEPTED}


def context_of(action: Action[Any], request: ApprovalRequest, source: Source) -> Context[Any]:
    """As the requester: with their permissions, their words and the frozen payload, parsed again."""
    requester = Actor(request.requested_by, Credential.SESSION)
    return Context(requester, parse(action.Input, request.payload), request.reason, source)


def approvers(request: ApprovalRequest) -> "QuerySet[User]":
    standing = request.votes.filter(verdict=Vote.Verdict.APPROVE, withdrawn_at=None)
    return User.objects.filter(pk__in=standing.values_list("approver", flat=True))


def apply(request_id: UUID, *, actor: Actor, source: Source, idempotency_key: str = "") -> Outcome:
    """Try an approved request again, by its requester or one who approved it.

    Raises:
        Refusal: also when the action refuses again; already audited.
    """

    def do(keep: once.Keep) -> Outcome:
        request = find(request_id)
        who = {request.requested_by_id, *approvers(request).values_list("pk", flat=True)}
        if not actor.user.is_active or actor.user.pk not in who:
            raise Refusal("apply.stranger", "only the requester or an approver may apply it", status=403)
        actor.require_scope(request.action)
        runner.require_own_password(actor, Danger.INCREASES, "approval.apply")
        return _apply(request, actor, source, keep)

    return steps.command("approval.apply", request_id, do, actor=actor, source=source, key=idempotency_key)


def apply_at_start(request_id: UUID) -> Outcome:
    """The desk was started for this: nobody is at a face, everything else is as in `apply`."""

    def do(keep: once.Keep) -> Outcome:
        return _apply(find(request_id), None, Source.SYSTEM, keep)

    machine = Actor.of_host("desk-start")
    return steps.command("approval.apply", request_id, do, actor=machine, source=Source.SYSTEM, key="")


def _apply(request: ApprovalRequest, actor: Actor | None, source: Source, keep: once.Keep) -> Outcome:
    action = action_of(request)
    _require_applicable(request)
    ctx = context_of(action, request, source)
    ctx.evidence = action.prepare(ctx)
    with audit.recorded():
        desk.lock()
        request = steps.locked(request.pk)
        _require_applicable(request)
        result = run(action, ctx, request)
        if isinstance(result, Outcome):
            steps.journal("approval.apply", request, actor=actor, source=source)
            outcome = steps.answer(runner.audited(action, ctx, result, request.before), request)
            keep(outcome)
            return outcome
        journal_refusal(action, ctx, request, result)
    raise result


def _require_applicable(request: ApprovalRequest) -> None:
    if request.state != State.APPROVED or request.execution_state == Execution.EXECUTED:
        now = f"{request.state}, {request.execution_state}"
        raise Refusal("approval.not_applicable", f"the request is {now}")


def run(action: Action[Any], ctx: Context[Any], request: ApprovalRequest) -> Outcome | Refusal:
    """Run it in a savepoint. A refusal leaves the request approved until it expires, and says why."""
    ctx.approval = request
    try:
        with audit.attempt():
            runner.require_leader(action, ctx)
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
    if refusal.code == "approval.stale":
        request.state, request.decided_at = State.VOIDED, Now()
    steps.write(request, refusal=refusal.as_dict())
    return refusal


def journal_refusal(
    action: Action[Any], ctx: Context[Any], request: ApprovalRequest, refusal: Refusal
) -> AuditEntry:
    runner.alarm_of_tampering(refusal, action=action.name, who=ctx.actor.name)
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
    request.refresh_from_db()
    request.execution_state = Execution.EXECUTED
    request.executed_at = request.executed_at or Now()
    steps.write(request, result=plain(dict(outcome.body)), refusal=None)


def _still_holds(action: Action[Any], ctx: Context[Any], request: ApprovalRequest) -> None:
    """What the approvers saw is still so, and they are still the ones who may say so."""
    if digest_of(request) != request.digest:
        raise Refusal("approval.tampered", "the request is not the one that was voted on", status=409)
    require_in_time(request)
    objects = list(action.objects(ctx.input))
    requester = User.objects.get(pk=request.requested_by_id)  # now, not when the request was read
    if not access.may(requester, action.permission, objects):
        raise Refusal("permission.denied", "the requester may no longer do this", status=403)
    may_still = [p for p in approvers(request) if access.may(p, action.approve_permission, objects)]
    if len(may_still) < request.quorum:
        why = f"{len(may_still)} of {request.quorum} approvers may still approve"
        raise Refusal("approval.quorum_lost", why)
    wanted = request.policy.get("vote_from", "")
    if wanted and not any(person.groups.filter(name=wanted).exists() for person in may_still):
        raise Refusal("approval.quorum_lost", f"no {wanted} is among the approvers any more")
    now = {
        "before": plain(action.before(ctx)),
        "config_version": config.running_version(),
        "fence": hooks.fence().fence,
    }
    stale = [name for name, value in now.items() if value != getattr(request, name)]
    if stale:
        raise Refusal("approval.stale", f"changed since it was asked for: {', '.join(stale)}; ask again")
