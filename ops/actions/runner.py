"""The only way in, from every face: parse, permission, prepare, then one durable transaction that checks,
asks for approval or executes, and ends with the audit entry. A refusal is audited too, in a transaction of
its own.

Locks are taken in the order desk state → request → what the action locks → audit head, so two runs of
anything cannot wait for each other in a circle. (The workers' order is execution → desk state: an action that
locks an execution therefore says `locks_desk = False`.)
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import structlog
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import Model

from ops import access, audit, desk, hooks
from ops.actions import approvals, once, policy, registry
from ops.actions.base import Action, Actor, Context, Credential, Danger, Outcome, Refusal, Source, Status
from ops.actions.inputs import is_text, parse, without_secrets
from ops.canonical import plain, short
from ops.incidents import service as incidents

log = structlog.get_logger()
_UNAPPROVED = "approval.missing"
#: Refusals that no honest client comes to: something was not asked for, or is not what was shown or voted on.
_TAMPERING = {_UNAPPROVED, "approval.tampered", "vote.refused"}
#: Two people in one moment: a vote against its own expiry, or against the leaving of whoever votes.
_HONEST = ("is not open for votes", "does not vote now")
#: What PostgreSQL calls a constraint or trigger that says no, and a right that the application does not have.
_CONTROLS = {"23514", "42501"}


def submit(
    name: str, *, actor: Actor, data: Any, reason: str = "", source: Source, idempotency_key: str = ""
) -> Outcome:
    """Do it, or ask for approval.

    Args:
        name: the action's, e.g. `ops.hold`.
        data: its input as JSON data.
        idempotency_key: the caller's own; the same key again gives the first answer (`ops.actions.once`).

    Raises:
        Refusal: with a stable code; already audited.
    """

    def do(keep: once.Keep) -> Outcome:
        try:
            with watched(name, actor.name):
                return _submit(registry.get(name), actor, data, reason, source, keep)
        except Refusal as refusal:
            audit_refusal(name, actor, refusal, source=source, reason=reason, data=data, keep=keep)
            raise

    said = {"action": name, "input": data, "reason": reason}
    return once.run(actor=actor, source=source, key=idempotency_key, said=said, do=do)


def _submit(
    action: Action[Any], actor: Actor, data: Any, reason: str, source: Source, keep: once.Keep
) -> Outcome:
    ctx = _prepared(action, actor, data, reason, source)
    ctx.keep = keep
    try:
        with audit.recorded():
            if action.locks_desk:
                desk.lock()
            return _decide(action, ctx)
    except IntegrityError as collision:
        raise as_refusal(collision) from collision


def _prepared(action: Action[Any], actor: Actor, data: Any, reason: str, source: Source) -> Context[Any]:
    if actor.credential is not Credential.OS and not access.may_somewhere(actor.user, action.permission):
        raise _denied(actor, action.permission)
    actor.require_scope(action.name)
    require_words(reason=reason)
    parsed = action.normalise(parse(action.Input, data), actor)
    if actor.credential is Credential.OS:
        _require_stop(actor, action, parsed)
    else:
        require(actor, action.permission, action.objects(parsed))
    require_own_password(actor, action.risk(parsed), action.name)
    if action.reason_required and not reason.strip():
        raise Refusal("reason.required", f"{action.name} needs a reason", status=422)
    ctx = Context(actor, parsed, reason, source)
    ctx.evidence = action.prepare(ctx)
    return ctx


def require_own_password(actor: Actor, risk: Danger, what: str) -> None:
    """Whose password somebody else has chosen may change it, and stop; nothing else is theirs alone yet."""
    if actor.user.must_change_password and risk is not Danger.REDUCES and what != "ops.change_own_password":
        raise Refusal("password.must_change", "change the password that was chosen for you first", status=403)


def _require_stop(actor: Actor, action: Action[Any], data: Any) -> None:
    """Whoever is at the machine may stop the desk, and nothing else."""
    if action.risk(data) is not Danger.REDUCES or not action.stops:
        raise Refusal("os.stops_only", f"{actor.name} may only stop: log in as a person", status=403)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What `submit` would do now. input: normalised, as JSON data: submitting it does exactly this.

    early: an outcome that would end the run (a dry run). approvals: how many other people must agree."""

    input: dict[str, Any]
    danger: Danger
    diff: list[dict[str, Any]]
    approvals: int
    early: Outcome | None

    def as_dict(self) -> dict[str, Any]:
        early = {"outcome": self.early.as_dict()} if self.early else {}
        return {
            "status": "rehearsed",
            "input": self.input,
            "danger": self.danger.value,
            "diff": self.diff,
            "approvals_needed": self.approvals,
            **early,
        }


def rehearse(name: str, *, actor: Actor, data: Any, reason: str = "", source: Source) -> Rehearsal:
    """For a confirmation page: everything up to the effect, on rows only read. Nothing is audited, since
    nothing was tried.

    Raises:
        Refusal: the one that `submit` would raise.
    """
    action = registry.get(name)
    ctx = _prepared(action, actor, data, reason, source)
    with transaction.atomic():  # a check may lock what it looks at
        early = action.check(ctx)
        if early is not None:
            return Rehearsal(plain(ctx.input), action.risk(ctx.input), [], 0, early)
        needed = action.approvals_needed(ctx, policy.requirement(action).quorum)
        return Rehearsal(plain(ctx.input), action.risk(ctx.input), plain(action.diff(ctx)), needed, None)


def _decide(action: Action[Any], ctx: Context[Any]) -> Outcome:
    outcome = _judged(action, ctx)
    ctx.keep(outcome)
    return outcome


def _judged(action: Action[Any], ctx: Context[Any]) -> Outcome:
    early = action.check(ctx)
    if early is not None:
        return audited(action, ctx, early)
    require_leader(action, ctx)
    requirement = policy.requirement(action)
    needed = action.approvals_needed(ctx, requirement.quorum)
    if not needed:
        before = plain(action.before(ctx))
        return audited(action, ctx, action.execute(ctx), before)
    request = approvals.create(action, ctx, quorum=needed, vote_from=requirement.vote_from)
    asked = {"approval": request.pk, "digest": request.digest}
    outcome = Outcome(Status.PENDING, {"approval": approvals.as_dict(request)}, after=asked)
    return audited(action, ctx, outcome, request.before)


def audited(action: Action[Any], ctx: Context[Any], outcome: Outcome, before: Any = None) -> Outcome:
    """The audit entry, after everything else of the run: its lock is the last one.

    before: the values as they were before `outcome` changed them.
    """
    entry = audit.append(
        action=action.name,
        target=action.target(ctx.input),
        verdict=outcome.status.value,
        source=ctx.source.value,
        actor=ctx.actor.row,
        actor_name=ctx.actor.name,
        reason=ctx.reason,
        before={
            "input": without_secrets(action.Input, plain(ctx.input)),
            **({"values": before} if before else {}),
        },
        after=outcome.after,
        correlation_id=str(ctx.approval.pk) if ctx.approval else "",
    )
    return replace(outcome, audit_seq=entry.seq)


def require(actor: Actor, permission: str, objects: Iterable[Model] = ()) -> None:
    if not access.may(actor.user, permission, objects):
        raise _denied(actor, permission)


def _denied(actor: Actor, permission: str) -> Refusal:
    return Refusal("permission.denied", f"{actor.name} does not hold {permission}", status=403)


def require_leader(action: Action[Any], ctx: Context[Any]) -> None:
    """What increases risk is the leader's (spec 5); the term is held until the transaction ends. Stops never
    ask. Raises Refusal `leader.not_here`."""
    if action.fenced and action.risk(ctx.input) is Danger.INCREASES and not hooks.hold_term().leader:
        raise Refusal("leader.not_here", "this instance does not lead: do it on the one that does")


def require_words(**texts: Any) -> None:
    """A person's own words, by field name. Raises Refusal `<field>.invalid`."""
    for name, text in texts.items():
        if not isinstance(text, str) or len(text) > 4000 or not is_text(text):
            raise Refusal(f"{name}.invalid", f"{name}: accepted: text of at most 4000 characters", status=422)


def audit_refusal(
    name: str,
    actor: Actor,
    refusal: Refusal,
    *,
    source: Source,
    reason: str = "",
    data: Any = None,
    target: str = "",
    keep: once.Keep = once.keep_nothing,
) -> None:
    """Somebody tried: say so, whatever became of the transaction in which they tried."""
    try:
        with audit.recorded():
            raised = ""
            if registry.knows(name) or refusal.code.startswith("vote."):  # a run's own journal has raised its
                raised = alarm_of_tampering(refusal, action=name, who=actor.name)
            audit.append(
                action=short(name, 64),
                target=short(target, 120),
                verdict="refused",
                source=source.value,
                actor=actor.row,
                actor_name=actor.name,
                reason=short(reason, 4000),
                before={"input": _loggable(name, data)},
                after={"detail": short(refusal.detail, 2000)},
                code=refusal.code,
                correlation_id=raised,
            )
            keep(refusal)
    except Exception:  # told in the log, then raised
        log.exception("audit.refusal_lost", action=name, code=refusal.code)
        raise


def alarm_of_tampering(refusal: Refusal, *, action: str, who: str) -> str:
    """Inside the refusal's own transaction. Returns the incident's id; empty when it is no such refusal."""
    if refusal.code not in _TAMPERING or any(race in refusal.detail for race in _HONEST):
        return ""
    return _alarm(action, who, refusal.detail)


@contextmanager
def watched(action: str, who: str) -> Iterator[None]:
    """Around a run: a control of the database that stops it is no refusal, but an alarm. Nothing is left of
    the run; the alarm has a transaction of its own."""
    try:
        yield
    except DatabaseError as stopped:
        if getattr(stopped.__cause__, "sqlstate", "") in _CONTROLS:
            _alarm(action, who, str(stopped).splitlines()[0])
        raise


def _alarm(action: str, who: str, what: str) -> str:
    row = incidents.alarm("tamper.refused", f"tamper.refused:{action}:{who}", f"{who}, {action}: {what}")
    return str(row.pk) if row else ""


def _loggable(name: str, data: Any) -> Any:
    """What was sent, short and without floats: bad input must not be able to break its own audit entry."""
    if registry.knows(name):
        data = without_secrets(registry.get(name).Input, data)
    if isinstance(data, dict):
        return {short(k, 64): short(v, 200) for k, v in list(data.items())[:32]}
    return short(data, 200)


def as_refusal(collision: IntegrityError) -> Refusal:
    """Constraints that two honest people can hit at once have their own codes; anything else is a bug."""
    text = str(collision)
    if "approval_one_open_per_target" in text:
        return Refusal("approval.open_exists", "a request for this action and target is already open")
    if "is used up, ended or over" in text:
        return Refusal("envelope.used_up", "the envelope has no run left: ask for approval", status=409)
    if "needs an approved" in text:
        return Refusal(_UNAPPROVED, text.splitlines()[0], status=403)
    raise collision
