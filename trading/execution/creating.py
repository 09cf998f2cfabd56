"""A priced plan becomes rows: execution, legs, reservation, intents, all in the action's transaction."""

from uuid import UUID

from django.utils import timezone

from ops import audit, hooks
from ops.models import ApprovalRequest, Envelope, User
from risk import reservations
from risk.domain.gate import LegIntent, worst_notional
from trading import desk_config
from trading.domain.canonical import encode
from trading.domain.execution_state import ExecutionState, Policy
from trading.domain.plan import Plan, PlanLeg
from trading.execution import intents
from trading.execution.nudge import nudge
from trading.models import Execution, ExecutionTransition, Leg
from trading.risk_inputs import operator_level
from trading.services.preview import Priced


def create_execution(
    priced: Priced,
    *,
    uid: UUID,
    user: User,
    reason: str,
    approval: ApprovalRequest | None,
    envelope: Envelope | None = None,
    dry_run: bool,
) -> Execution:
    """PLANNED → APPROVED → ARMED with intents written; a worker is nudged on commit.

    dry_run: the process's own DRY_RUN, whatever was approved. The database refuses a real execution without
    an approved, unused request of this plan, and counts the runs of an envelope.
    """
    plan, config = priced.plan, desk_config.active()
    assert isinstance(plan, Plan)
    now = timezone.now()
    execution = Execution.objects.create(
        plan_id=uid,
        state=ExecutionState.ARMED,
        symbol=plan.pair,
        policy=plan.policy,
        hard_leg=plan.hard_leg,
        dry_run=dry_run,
        plan=encode(plan),
        plan_digest=plan.digest,
        approval=approval,
        envelope=envelope,
        requested_by=user,
        reason=reason,
        config_version=config.version,
        fence=hooks.fence().fence,
        next_at=now,
    )
    audit.touch(*(row for row in (approval, envelope) if row))  # the database marks them used
    _journal(execution, dry_run)
    legs = [_leg(execution, index, leg, priced) for index, leg in enumerate(plan.legs)]
    if not dry_run:
        legs_reserved = [_reservation(i, leg, priced) for i, leg in enumerate(plan.legs)]
        reservations.reserve(execution.pk, legs_reserved, levels=[operator_level(user.get_username())])
    first = legs if plan.policy is Policy.SIMULTANEOUS else [legs[plan.hard_leg]]
    for leg in first:
        asked = plan.legs[leg.index]
        intents.write_opening(
            execution,
            leg,
            price=asked.limit_price,
            tif=asked.tif,
            post_only=asked.post_only,
            config=config.trading.execution,
        )
    nudge("trading.drive", execution.pk)
    return execution


def _journal(execution: Execution, dry_run: bool) -> None:
    states = (
        ("", ExecutionState.PLANNED, "priced"),
        (ExecutionState.PLANNED, ExecutionState.APPROVED, "DRY_RUN" if dry_run else "approved, gate passed"),
        (ExecutionState.APPROVED, ExecutionState.ARMED, "intents written"),
    )
    ExecutionTransition.objects.bulk_create(
        ExecutionTransition(execution=execution, before=before, after=after, detail=why, at=timezone.now())
        for before, after, why in states
    )


def _leg(execution: Execution, index: int, leg: PlanLeg, priced: Priced) -> Leg:
    facts = next(v for v in priced.gathered.venues if v.venue == leg.venue)
    assert facts.instrument
    return Leg.objects.create(
        execution=execution,
        index=index,
        venue=leg.venue,
        symbol=leg.symbol,
        side=leg.side,
        target=leg.qty,
        lot=facts.instrument.lot,
        min_qty=facts.instrument.min_qty,
        tick=facts.instrument.tick,
        plan_price=leg.est_price,
    )


def _reservation(index: int, leg: PlanLeg, priced: Priced) -> reservations.LegReservation:
    """At the price at which the gate counted the leg: mark, or its own limit where that is dearer."""
    intent = LegIntent(leg.venue, leg.symbol, leg.qty * leg.side.sign, leg.limit_price)
    price = worst_notional(intent, priced.marks.get(intent.key)) / leg.qty
    return reservations.LegReservation(index, leg.venue, leg.symbol, leg.side, leg.qty, price)
