"""One person's word on one digest."""

from typing import Any
from uuid import UUID

from django.db import IntegrityError
from django.db.models.functions import Now
from django.utils import timezone

from ops import audit, desk, second_factor
from ops.actions import once, runner
from ops.actions.approvals import running, steps
from ops.actions.approvals.asking import action_of, find, require_in_time
from ops.actions.base import Action, Actor, Context, Credential, Danger, Outcome, Refusal, Source, Status
from ops.models import ApprovalRequest, Vote

State = ApprovalRequest.State
Verdict = Vote.Verdict


class _UnpreparedError(Exception):
    """This vote completes the quorum, which could not be seen before the lock: prepare, and vote again."""


def vote(
    request_id: UUID,
    *,
    actor: Actor,
    verdict: str,
    digest: str,
    comment: str = "",
    totp: str = "",
    source: Source,
    idempotency_key: str = "",
) -> Outcome:
    """One person's word. The vote that completes the quorum runs the action in its own transaction; when the
    action refuses then, the request stays approved and says why in `execution.refusal`.

    Args:
        digest: of the request as it was displayed to the voter.
        totp: a fresh code, where the voter has a second factor (always, in live).

    Raises:
        Refusal: `vote.*`, `totp.*` or `approval.*`; already audited.
    """

    def do(keep: once.Keep) -> Outcome:
        _may_vote_at_all(actor, verdict, comment)
        request = find(request_id)
        action = action_of(request)
        ctx = running.context_of(action, request, source)
        ctx.keep = keep
        runner.require(actor, action.approve_permission, action.objects(ctx.input))
        runner.require_own_password(actor, Danger.INCREASES, f"approval.{verdict}")
        if actor.name == action.interested(ctx.input):
            raise Refusal("vote.interested", "nobody votes on what is about themselves", status=403)
        second_factor.require(actor.user, totp)
        while True:
            try:
                return _cast(action, ctx, request_id, actor, verdict, digest, comment)
            except _UnpreparedError:  # it completes the quorum: look at the world first, then again
                ctx.evidence = action.prepare(ctx)
                ctx.prepared = True

    return steps.command(
        f"approval.{verdict}",
        request_id,
        do,
        actor=actor,
        source=source,
        key=idempotency_key,
        digest=digest,
        comment=comment,
    )


def _require_person(actor: Actor) -> None:
    if actor.credential in {Credential.TOKEN, Credential.OS}:
        raise Refusal("vote.token", "a token cannot vote: log in as a person", status=403)


def _may_vote_at_all(actor: Actor, verdict: str, comment: str) -> None:
    _require_person(actor)
    if verdict not in Verdict.values:
        raise Refusal("vote.verdict", f"{verdict!r}; accepted: approve, reject", status=422)
    runner.require_words(comment=comment)
    if verdict == Verdict.REJECT and not comment.strip():
        raise Refusal("vote.comment_required", "a rejection needs a comment", status=422)


def _cast(
    action: Action[Any],
    ctx: Context[Any],
    request_id: UUID,
    actor: Actor,
    verdict: str,
    shown: str,
    comment: str,
) -> Outcome:
    with audit.recorded():
        desk.lock()
        request = steps.locked(request_id)
        _may_be_voted_on(request, actor, shown)
        _write_vote(request, actor, verdict, shown, comment)
        result: Outcome | Refusal | None = None
        if verdict == Verdict.REJECT:
            steps.set_state(request, State.REJECTED)
        elif _complete(request):
            result = _completed(action, ctx, request)
        outcome = steps.answer(_said(action, ctx, request, actor, verdict, comment, result), request)
        ctx.keep(outcome)
        return outcome


def _completed(action: Action[Any], ctx: Context[Any], request: ApprovalRequest) -> Outcome | Refusal | None:
    waits = action.waits_for_start(ctx.input)
    if not waits and not ctx.prepared:
        raise _UnpreparedError
    steps.set_state(request, State.APPROVED, expires_at=Now() + action.approved_for(ctx.input))
    return None if waits else running.run(action, ctx, request)


def _said(
    action: Action[Any],
    ctx: Context[Any],
    request: ApprovalRequest,
    actor: Actor,
    verdict: str,
    comment: str,
    result: Outcome | Refusal | None,
) -> Outcome:
    """The entry of the vote, and beside it the entry of what the vote set going."""
    entry = steps.journal(f"approval.{verdict}", request, actor=actor, source=ctx.source, reason=comment)
    if isinstance(result, Outcome):
        return runner.audited(action, ctx, result, request.before)
    if isinstance(result, Refusal):
        entry = running.journal_refusal(action, ctx, request, result)
    status = Status.EXECUTED if verdict == Verdict.REJECT else Status.PENDING
    return Outcome(status, audit_seq=entry.seq)


def _complete(request: ApprovalRequest) -> bool:
    approvers = running.approvers(request)
    wanted = request.policy.get("vote_from", "")
    named = not wanted or approvers.filter(groups__name=wanted).exists()
    return approvers.count() >= request.quorum and named


def _may_be_voted_on(request: ApprovalRequest, actor: Actor, shown: str) -> None:
    if request.state != State.PENDING:
        raise Refusal("approval.closed", f"the request is {request.state}", status=409)
    require_in_time(request)
    if request.requested_by_id == actor.user.pk:
        raise Refusal("vote.self", "nobody approves or rejects their own request", status=403)
    until = actor.user.no_vote_until
    if until is not None and until > timezone.now():
        why = f"your credentials were reset by somebody else: no votes until {until:%Y-%m-%d %H:%M} UTC"
        raise Refusal("vote.embargo", why, status=403)
    if shown != request.digest:
        raise Refusal("vote.digest", "the digest sent is not that of this request: read it again", status=409)
    if request.votes.filter(approver=actor.user, withdrawn_at=None).exists():
        raise Refusal("vote.twice", "you have voted on this request already", status=409)


def _write_vote(request: ApprovalRequest, actor: Actor, verdict: str, shown: str, comment: str) -> None:
    try:
        with audit.attempt():
            row = Vote.objects.create(
                request=request,
                requested_by_id=request.requested_by_id,
                digest=shown,
                approver=actor.user,
                verdict=verdict,
                comment=comment,
            )
            audit.touch(row)
    except IntegrityError as refused:
        why = str(refused).splitlines()[0]
        raise Refusal("vote.refused", f"the database refuses this vote: {why}", status=409) from refused


def withdraw(request_id: UUID, *, actor: Actor, source: Source, idempotency_key: str = "") -> Outcome:
    """Take one's vote back while the request is pending; the vote stays on record, and one may vote again."""

    def do(keep: once.Keep) -> Outcome:
        _require_person(actor)
        find(request_id)
        with audit.recorded():
            request = steps.locked(request_id)
            row = request.votes.filter(approver_id=actor.user.pk, withdrawn_at=None).first()
            if row is None:
                raise Refusal("vote.none", "you have no vote on this request", status=409)
            if request.state != State.PENDING:
                raise Refusal("approval.closed", f"the request is {request.state}", status=409)
            require_in_time(request)
            row.withdrawn_at = timezone.now()
            row.save()
            audit.touch(row)
            entry = steps.journal("approval.withdraw", request, actor=actor, source=source)
            outcome = steps.answer(Outcome(Status.EXECUTED, audit_seq=entry.seq), request)
            keep(outcome)
            return outcome

    return steps.command("approval.withdraw", request_id, do, actor=actor, source=source, key=idempotency_key)
