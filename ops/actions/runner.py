"""The only way in, from every face: parse, permission, prepare, then one durable transaction that checks,
asks for approval or executes, and ends with the audit entry. A refusal is audited too, in a transaction of
its own.

Locks are taken in the order request → desk state → what the action locks → audit head, so two runs of
anything cannot wait for each other in a circle.
"""

from typing import Any

import structlog
from django.db import IntegrityError, transaction

from ops import access, audit, desk
from ops.actions import approvals, registry
from ops.actions.base import Action, Actor, Context, Outcome, Refusal, Source, Status
from ops.actions.inputs import parse

log = structlog.get_logger()


def submit(name: str, *, actor: Actor, data: Any, reason: str = "", source: Source) -> Outcome:
    """Do it, or ask for approval.

    Args:
        name: the action's, e.g. `ops.hold`.
        data: its input as JSON data.

    Raises:
        Refusal: with a stable code; already audited.
    """
    try:
        return _submit(registry.get(name), actor, data, reason, source)
    except Refusal as refusal:
        audit_refusal(name, actor, refusal, source=source, reason=reason, data=data)
        raise


def _submit(action: Action[Any], actor: Actor, data: Any, reason: str, source: Source) -> Outcome:
    require(actor, action.permission)
    parsed = action.normalise(parse(action.Input, data), actor)
    if action.reason_required and not reason.strip():
        raise Refusal("reason.required", f"{action.name} needs a reason", status=422)
    ctx = Context(actor, parsed, reason, source)
    ctx.evidence = action.prepare(ctx)
    try:
        with transaction.atomic(durable=True):
            desk.lock()
            return _decide(action, ctx)
    except IntegrityError as collision:
        raise _as_refusal(collision) from collision


def _decide(action: Action[Any], ctx: Context[Any]) -> Outcome:
    early = action.check(ctx)
    if early is not None:
        return _audited(action, ctx, early)
    needed = action.approvals_needed(ctx, approvals.quorum())
    if not needed:
        return _audited(action, ctx, action.execute(ctx))
    request = approvals.create(action, ctx, needed)
    body = {"approval": approvals.as_dict(request)}
    return _audited(action, ctx, Outcome(Status.PENDING, body, after={"approval": request.pk}))


def _audited(action: Action[Any], ctx: Context[Any], outcome: Outcome) -> Outcome:
    """The audit entry is the transaction's last statement."""
    entry = audit.append(
        action=action.name,
        target=action.target(ctx.input),
        verdict=outcome.status.value,
        source=ctx.source.value,
        actor=ctx.actor.user,
        reason=ctx.reason,
        before={"input": ctx.input},
        after=outcome.after,
        correlation_id=str(ctx.approval.pk) if ctx.approval else "",
    )
    return Outcome(outcome.status, outcome.body, outcome.after, entry.seq)


def run_approved(action: Action[Any], ctx: Context[Any]) -> Outcome:
    """Consume `ctx.approval` (locked, approved): check again, execute, audit. Inside the caller's
    transaction."""
    outcome = action.check(ctx) or action.execute(ctx)
    return _audited(action, ctx, outcome)


def require(actor: Actor, permission: str) -> None:
    if not access.may(actor.user, permission):
        who = actor.user.get_username()
        raise Refusal("permission.denied", f"{who} does not hold {permission}", status=403)


def audit_refusal(
    name: str,
    actor: Actor,
    refusal: Refusal,
    *,
    source: Source,
    reason: str = "",
    data: Any = None,
    target: str = "",
) -> None:
    """Somebody tried: say so, whatever became of the transaction in which they tried."""
    try:
        with transaction.atomic(durable=True):
            audit.append(
                action=name[:64],
                target=target,
                verdict="refused",
                source=source.value,
                actor=actor.user,
                reason=reason,
                before={"input": _loggable(data)},
                after={"detail": refusal.detail},
                code=refusal.code,
            )
    except Exception:
        log.exception("audit.refusal_lost", action=name, code=refusal.code)
        raise


def _loggable(data: Any) -> Any:
    """What was sent, short and without floats: bad input must not be able to break its own audit entry."""
    if isinstance(data, dict):
        return {str(k)[:64]: str(v)[:200] for k, v in list(data.items())[:32]}
    return str(data)[:200]


def _as_refusal(collision: IntegrityError) -> Refusal:
    """Constraints that two honest people can hit at once have their own codes; anything else is a bug."""
    text = str(collision)
    if "approval_one_open_per_target" in text:
        return Refusal("approval.open_exists", "a request for this action and target is already open")
    if "needs an approved" in text:
        return Refusal("approval.missing", text.splitlines()[0], status=403)
    raise collision
