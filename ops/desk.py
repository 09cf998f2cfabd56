"""Desk state and HOLD causes. Called by actions and by code that must stop the desk, never by faces.

Every writer here runs inside its caller's `audit.recorded()`.
"""

from collections.abc import Iterable

from django.db import IntegrityError
from django.db.models import F, QuerySet
from django.utils import timezone

from ops import audit
from ops.actions.base import Actor
from ops.hooks import Term
from ops.incidents import service as incidents
from ops.models import ApprovalRequest, DeskState, Envelope, HoldCause, Mode

DESK = (HoldCause.Scope.DESK.value, "")
#: The cause that every start of the desk raises.
STARTED = "desk.start"


def get_state() -> DeskState:
    return DeskState.objects.get(pk=1)


def runs(state: DeskState, term: Term) -> bool:
    """Whether the desk is in RUN for whoever acts under `term`: the leader, and under no other term than the
    one that went to RUN. A takeover is thereby HOLD in the moment it happens, whatever the row still says."""
    return state.mode == Mode.RUN and term.leader and state.fence == term.fence


def lock() -> DeskState:
    return DeskState.objects.select_for_update().get(pk=1)


def lock_shared() -> DeskState:
    """The state, held still until the caller's transaction ends: HOLD waits for whoever is claiming now, and
    whoever claims next sees it. Readers do not wait for each other."""
    return DeskState.objects.raw("SELECT * FROM ops_deskstate WHERE id = 1 FOR SHARE")[0]


def change(state: DeskState, **values: object) -> None:
    """Write the (locked) row; every change is a new version."""
    for name, value in values.items():
        setattr(state, name, value)
    state.version, state.changed_at = F("version") + 1, timezone.now()
    state.save()
    state.refresh_from_db()
    audit.touch(state)


def causes() -> "QuerySet[HoldCause]":
    """Everything not yet closed, newest first."""
    return HoldCause.objects.exclude(state=HoldCause.State.CLOSED).select_related("raised_by")


def blocking_sources(scopes: Iterable[tuple[str, str]] = ()) -> list[str]:
    """Sources of unclosed causes that cover the desk or one of `scopes` ((scope type, key))."""
    wanted = {DESK, *scopes}
    rows = causes().values_list("source", "scope_type", "scope_key")
    return [source for source, *scope in rows if tuple(scope) in wanted]


def add_cause(
    state: DeskState,
    *,
    source: str,
    reason: str = "",
    scope: tuple[str, str] = DESK,
    actor: Actor | None = None,
    resolved: bool = False,
    by: ApprovalRequest | None = None,
) -> bool:
    """Add a cause under the locked desk row; a desk cause means HOLD and voids what would increase risk, but
    for the request `by` which this is done.

    Returns False when the same machine source has an open cause of that scope already.
    """
    new = _insert_cause(source, reason, scope, actor, resolved)
    if scope == DESK:  # also when the cause was known: whatever else is true, the desk ends in HOLD
        if state.mode != Mode.HOLD:
            change(state, mode=Mode.HOLD)
        void_approvals(f"HOLD: {source}", survives_start=source == STARTED, but=by)
    return new


def _insert_cause(
    source: str, reason: str, scope: tuple[str, str], actor: Actor | None, resolved: bool
) -> bool:
    try:
        with audit.attempt():
            cause = HoldCause.objects.create(
                source=source,
                reason=reason,
                scope_type=scope[0],
                scope_key=scope[1],
                raised_by=actor.row if actor else None,
                manual=actor is not None,
                state=HoldCause.State.RESOLVED if resolved else HoldCause.State.OPEN,
                resolved_at=timezone.now() if resolved else None,
            )
            audit.touch(cause)
    except IntegrityError as known:
        if "hold_cause_one_open_per_machine_source" not in str(known):
            raise
        return False
    return True


def void_approvals(why: str, *, survives_start: bool = False, but: ApprovalRequest | None = None) -> None:
    """Open requests that increase risk are answered no, and envelopes end (spec 3.2.6). The caller holds the
    desk row: none is being voted on or consumed.

    survives_start: the desk was started. A launch that was approved for this very start is left as it is.
    """
    open_ones = ApprovalRequest.objects.filter(
        state__in=ApprovalRequest.OPEN, execution_state=ApprovalRequest.ExecutionState.NOT_RUN
    ).filter(policy__danger="increases")
    if survives_start:
        open_ones = open_ones.exclude(policy__survives_start=True)
    if but is not None:
        open_ones = open_ones.exclude(pk=but.pk)
    keys = list(open_ones.values_list("pk", flat=True))
    ApprovalRequest.objects.filter(pk__in=keys).update(
        state=ApprovalRequest.State.VOIDED,
        decided_at=timezone.now(),
        refusal={"code": "voided", "detail": why, "errors": []},
    )
    audit.touch_keys(ApprovalRequest._meta.db_table, *keys)
    usable = list(Envelope.objects.filter(ended_at=None).values_list("pk", flat=True))
    Envelope.objects.filter(pk__in=usable).update(ended_at=timezone.now(), ended_why=why[:160])
    audit.touch_keys(Envelope._meta.db_table, *usable)


def close_causes(scope: tuple[str, str] | None = None) -> None:
    """Everything unclosed (of `scope`) is closed: only resume and launch may say so."""
    found = HoldCause.objects.exclude(state=HoldCause.State.CLOSED)
    if scope is not None:
        found = found.filter(scope_type=scope[0], scope_key=scope[1])
    keys, now = list(found.values_list("pk", flat=True)), timezone.now()
    rows = HoldCause.objects.filter(pk__in=keys)
    rows.filter(resolved_at=None).update(resolved_at=now)
    rows.update(state=HoldCause.State.CLOSED, closed_at=now)
    audit.touch_keys(HoldCause._meta.db_table, *keys)


def raise_hold(
    *,
    source: str,
    reason: str,
    scope: tuple[str, str] = DESK,
    resolved: bool = False,
    alarm: str = "hold.raised",
) -> bool:
    """HOLD by the machine itself, with its audit entry, inside the caller's transaction or one of its own.

    alarm: the code of the incident that an open cause raises, where it has one of its own.
    """
    with audit.recorded(durable=False):
        state = lock()
        new = add_cause(state, source=source, reason=reason, scope=scope, resolved=resolved)
        where = "" if scope == DESK else f"@{':'.join(scope)}"
        raised = (
            incidents.alarm(alarm, f"{source}{where}", reason or source) if new and not resolved else None
        )
        if new or audit.unnamed():
            audit.append_system(
                action="ops.hold",
                target="desk",
                verdict="executed",
                reason=reason,
                after={"source": source},
                correlation_id=str(raised.pk) if raised else "",
            )
    return new


def resolve_cause(source: str, *, why: str) -> int:
    """The cause is gone; the HOLD stays until `ops.resume`. Returns how many causes this resolved."""
    with audit.recorded(durable=False):
        lock()
        keys = list(
            HoldCause.objects.filter(source=source, state=HoldCause.State.OPEN).values_list("pk", flat=True)
        )
        HoldCause.objects.filter(pk__in=keys).update(
            state=HoldCause.State.RESOLVED, resolved_at=timezone.now()
        )
        audit.touch_keys(HoldCause._meta.db_table, *keys)
        if keys:
            audit.append_system(action="ops.resolve_cause", target=source, verdict="executed", reason=why)
    return len(keys)


def desk_started() -> None:
    """The start of a desk lands in HOLD and SAFE_MODE, whatever it was and whatever the environment says.

    SAFE_MODE=false never lowers it by itself: only an approved action does (spec 1).
    """
    from django.conf import settings

    with audit.recorded():
        state = lock()
        before = {"mode": state.mode, "safe_mode": state.safe_mode}
        if any(c.source == STARTED for c in causes()):
            void_approvals("the desk was started", survives_start=True)
        else:
            add_cause(state, source=STARTED, reason="the desk was started", resolved=True)
        if not state.safe_mode:
            change(state, safe_mode=True)
        asked = (
            "" if settings.ENV.safe_mode else "SAFE_MODE=false: true until an approved ops.launch is taken up"
        )
        audit.append_system(
            action="ops.desk_start",
            target="desk",
            verdict="executed",
            reason=asked,
            before=before,
            after={"mode": Mode.HOLD.value, "safe_mode": True},
        )
