"""Desk state and HOLD causes. Called by actions and by code that must stop the desk, never by faces."""

from collections.abc import Iterable

from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from ops import audit
from ops.models import ApprovalRequest, DeskState, HoldCause, Mode, User

DESK = (HoldCause.Scope.DESK.value, "")


def get_state() -> DeskState:
    return DeskState.objects.get(pk=1)


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
    actor: User | None = None,
    resolved: bool = False,
) -> bool:
    """Add a cause under the locked desk row; a desk cause means HOLD and voids what would increase risk.

    Returns False when the same machine source has an open cause of that scope already.
    """
    new = _insert_cause(source, reason, scope, actor, resolved)
    if scope == DESK:  # also when the cause was known: whatever else is true, the desk ends in HOLD
        if state.mode != Mode.HOLD:
            change(state, mode=Mode.HOLD)
        void_open_requests(f"HOLD: {source}")
    return new


def _insert_cause(
    source: str, reason: str, scope: tuple[str, str], actor: User | None, resolved: bool
) -> bool:
    try:
        with transaction.atomic():
            HoldCause.objects.create(
                source=source,
                reason=reason,
                scope_type=scope[0],
                scope_key=scope[1],
                raised_by=actor,
                state=HoldCause.State.RESOLVED if resolved else HoldCause.State.OPEN,
                resolved_at=timezone.now() if resolved else None,
            )
    except IntegrityError as known:
        if "hold_cause_one_open_per_machine_source" not in str(known):
            raise
        return False
    return True


def void_open_requests(why: str) -> None:
    """Open requests that increase risk are answered no (spec 3.2.6). The caller holds the desk row: none
    is being voted on or consumed."""
    ApprovalRequest.objects.filter(
        state__in=ApprovalRequest.OPEN, execution_state=ApprovalRequest.ExecutionState.NOT_RUN
    ).filter(policy__danger="increases").update(
        state=ApprovalRequest.State.VOIDED,
        decided_at=timezone.now(),
        refusal={"code": "voided", "detail": why, "errors": []},
    )


def raise_hold(*, source: str, reason: str, scope: tuple[str, str] = DESK, resolved: bool = False) -> bool:
    """HOLD by the machine itself, with its audit entry, inside the caller's transaction or one of its own."""
    with transaction.atomic():
        state = lock()
        new = add_cause(state, source=source, reason=reason, scope=scope, resolved=resolved)
        if new:
            audit.append_system(
                action="ops.hold", target="desk", verdict="executed", reason=reason, after={"source": source}
            )
    return new


def resolve_cause(source: str, *, why: str) -> int:
    """The cause is gone; the HOLD stays until `ops.resume`. Returns how many causes this resolved."""
    with transaction.atomic():
        found = HoldCause.objects.filter(source=source, state=HoldCause.State.OPEN).update(
            state=HoldCause.State.RESOLVED, resolved_at=timezone.now()
        )
        if found:
            audit.append_system(action="ops.resolve_cause", target=source, verdict="executed", reason=why)
    return found


def desk_started() -> None:
    """The start of a desk lands in HOLD and SAFE_MODE, whatever it was and whatever the environment says.

    SAFE_MODE=false never lowers it by itself: only an approved action does (spec 1).
    """
    from django.conf import settings

    with transaction.atomic(durable=True):
        state = lock()
        before = {"mode": state.mode, "safe_mode": state.safe_mode}
        if state.mode != Mode.HOLD or not any(c.source == "desk.start" for c in causes()):
            add_cause(state, source="desk.start", reason="the desk was started", resolved=True)
        if not state.safe_mode:
            change(state, safe_mode=True)
        asked = (
            "" if settings.ENV.safe_mode else "SAFE_MODE=false needs an approved action: starting with true"
        )
        audit.append_system(
            action="ops.desk_start",
            target="desk",
            verdict="executed",
            reason=asked,
            before=before,
            after={"mode": Mode.HOLD.value, "safe_mode": True},
        )
