"""Drives one execution: lock the rows, ask the pure core, write, commit, then do what it said.

`step` is one transaction; `drive` alternates steps with visits to the venues until there is nothing to do
now. Any number of processes may drive the same execution: every effect starts with a claim under the row
lock, and reading an order twice is harmless. Nothing is remembered between steps but what is in the rows.
"""

import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from leadership import services as leadership
from ops import desk
from ops.incidents.service import alarm
from ops.models import DeskState
from risk import guards, reservations, runaway
from trading import desk_config, failpoints
from trading.config import SEND_WITHIN, ExecutionConfig
from trading.domain.execution_state import (
    FINAL,
    RESTING,
    Appraise,
    Discard,
    Doubt,
    ExecutionState,
    LegView,
    Move,
    Observe,
    OrderView,
    Policy,
    Purpose,
    Read,
    Rest,
    Send,
    Snapshot,
    Wait,
    Write,
    decide,
)
from trading.domain.market import Book, Side
from trading.domain.order_state import OrderState
from trading.domain.rescue import Rescue
from trading.execution import (
    appraisal,
    dry_run,
    exit_bound,
    intents,
    nakedness,
    observing,
    quoting,
    slicing,
    times,
    visit,
)
from trading.execution.fills import Heard, record
from trading.execution.stopped import not_allowed
from trading.execution.warm import warm
from trading.models import Execution, ExecutionTransition, Leg, OrderIntent
from trading.venues import get_hub

log = structlog.get_logger()

Quotes = Mapping[tuple[str, str], Book]
#: Longest pause inside a task, and longest time in one; the rest is left to the next nudge, so that others
#: get their turn: a worker drives one execution at a time.
PATIENCE = timedelta(milliseconds=600)
TURN_SEC = 2.0
BUSY_PAUSE = timedelta(milliseconds=50)
_RESCUES = {ExecutionState.RESCUE_REVERSE, ExecutionState.RESCUE_PROCEED}


@dataclass(frozen=True, slots=True)
class Claimed:
    """These orders are ours to send: `sent_at` is committed, the network call has not been made."""

    orders: tuple[int, ...]
    leaves_by: float  # CLOCK_BOOTTIME, seconds


@dataclass(frozen=True, slots=True)
class Quote:
    """A repair or a close must be priced: fetch these books and step again. `any_will_do`: go on with one of
    them when the other venue is silent."""

    keys: tuple[tuple[str, str], ...]
    any_will_do: bool = False


@dataclass(frozen=True, slots=True)
class Desk:
    """What a step may do: the desk's state and our standing to the lease, both held until it commits."""

    state: DeskState
    standing: leadership.Standing

    @property
    def runs(self) -> bool:
        return desk.runs(self.state, self.standing.term(leader=self.standing.opens))

    @property
    def reduces_only(self) -> bool:
        """Who does not lead, or gives the lease away, may reduce, and may not hedge by buying more."""
        return self.state.reduce_only or not self.standing.opens

    def leaves_by(self) -> float:
        """What is claimed now leaves by then or never: soon, and within our term."""
        soon = self.standing.asked_at + SEND_WITHIN.total_seconds()
        return soon if self.standing.deadline is None else min(soon, self.standing.deadline)


Next = Claimed | Read | Observe | Quote | Wait | Rest


class _AlarmError(Exception):
    """This step raises a HOLD: it needs the desk's row alone, and has to begin again with that."""


def drive(execution_id: UUID) -> timedelta | None:
    """Advance as far as possible now.

    Returns:
        How long until it is worth looking again, or None when the execution rests.
    """
    warm(Leg.objects.filter(execution=execution_id).values_list("venue", flat=True))
    quotes: dict[tuple[str, str], Book] = {}
    turn_ends = time.monotonic() + TURN_SEC
    while True:
        following, quotes = step(execution_id, quotes), {}  # a price is good for one step
        match following:
            case Rest():
                return None
            case Wait(until=until):
                pause = max(until - timezone.now(), timedelta(milliseconds=5))
                if pause > PATIENCE or time.monotonic() > turn_ends:
                    return pause
                time.sleep(pause.total_seconds())
            case Claimed(orders=orders, leaves_by=by):
                failpoints.reach(failpoints.AFTER_CLAIM)
                _visit(orders, leaves_by=by)
            case Read(orders=orders, cancel=cancel):
                _visit(orders, cancel=cancel)
            case Observe(orders=orders):
                observing.observe(orders)
            case Quote(keys=keys, any_will_do=any_will_do):
                quotes = quoting.quotes(keys)
                if not quotes or (len(quotes) < len(keys) and not any_will_do):
                    return PATIENCE  # a venue does not answer: keep what hedges us, try again


def step(execution_id: UUID, quotes: Quotes) -> Next:
    """One transaction: everything the core decides that needs rows only, up to the first thing that does
    not."""
    try:
        return _step(execution_id, quotes, alone=False)
    except _AlarmError:
        return _step(execution_id, quotes, alone=True)
    except IntegrityError as collision:
        if "order_one_in_doubt_per_instrument" not in str(collision):
            raise
        return Wait(timezone.now() + BUSY_PAUSE)


def _step(execution_id: UUID, quotes: Quotes, *, alone: bool) -> Next:
    """alone: hold the desk's row exclusively. Two steps that hold it shared and both want it alone would
    wait for each other."""
    config = desk_config.active()
    with transaction.atomic(durable=True):
        execution = Execution.objects.select_for_update().get(pk=execution_id)
        # The lock on the desk row makes HOLD exact: after its commit no opening order is claimed.
        state = desk.lock() if alone else desk.lock_shared()
        standing = leadership.standing(hold=True)
        if not standing.on_duty:
            return Rest()  # another instance leads and drives it: nothing is written here
        before = execution.state
        _discard_of_older_terms(execution, standing.fence)
        following = _advance(execution, config.trading.execution, quotes, Desk(state, standing), alone=alone)
        _schedule(execution, following)
        _report(execution, before, config.trading.execution)
        return following


def _report(execution: Execution, before: str, config: ExecutionConfig) -> None:
    """A rescue of real orders that began in this step, orders whose fate was given up on, an end that took
    too long. Last: from here on the audit head is locked."""
    if execution.state == before or execution.dry_run:
        return
    if execution.state in _RESCUES:
        what = f"execution {execution.pk} on {execution.symbol}: {execution.transitions.latest('pk').detail}"
        alarm("execution.rescued", f"execution.rescued:{execution.pk}", what, {"state": execution.state})
    if execution.state == ExecutionState.QUARANTINED:
        for order in OrderIntent.objects.filter(leg__execution=execution, state=OrderState.UNKNOWN):
            name = order.client_order_id
            what = f"order {name} on {order.venue}: {order.refusal or 'no answer'}"
            alarm("order.unknown", f"order.unknown:{name}", what, {"execution": str(execution.pk)})
    if execution.state in FINAL | RESTING and before not in RESTING:
        slow = [f"{name} {took} of {most}" for name, took, most in times.broken(times.of(execution), config)]
        if slow:
            what = f"execution {execution.pk} on {execution.symbol}: {', '.join(slow)}"
            alarm(
                "execution.slow", f"execution.slow:{execution.symbol}", what, {"execution": str(execution.pk)}
            )


def _advance(
    execution: Execution, config: ExecutionConfig, quotes: Quotes, now_is: Desk, *, alone: bool
) -> Next:
    """Decide and write, again and again, until the next thing to do is not a matter of rows."""
    while True:
        now = timezone.now()
        legs = {leg.index: leg for leg in execution.legs.prefetch_related("orders")}
        snap = _look(execution, legs, quotes, config, now_is, now)
        decision = decide(snap, timing=config.timing(), now=now)
        match decision:
            case Move(to=ExecutionState.QUARANTINED) if not alone:
                raise _AlarmError
            case Send(orders=ids):
                following = _send(execution, ids, legs, now_is, alone=alone)
                if following is not None:
                    return following
            case Appraise():
                return Quote(tuple(map(_key, legs.values())), any_will_do=True)
            case Wait(until=until):
                return Wait(
                    nakedness.tell(execution, snap.legs, config.timing().naked_max, now=now, until=until)
                )
            case Move() | Discard() | Doubt():
                _write_down(execution, decision, now)
            case Read() | Observe() | Rest():
                return decision
            case writes:
                priced = tuple(w for w in writes if _key(legs[w.leg]) in quotes)
                if not priced or (len(priced) < len(writes) and not execution.close_forced):
                    keys = tuple(_key(legs[w.leg]) for w in writes)
                    return Quote(keys, any_will_do=execution.close_forced)
                _write_repairs(execution, legs, priced, quotes, config, fence=now_is.standing.fence)
                quotes = {}


def _look(
    execution: Execution,
    legs: Mapping[int, Leg],
    quotes: Quotes,
    config: ExecutionConfig,
    now_is: Desk,
    now: datetime,
) -> Snapshot:
    """What the core is shown: with since when it is naked, and with prices what each way out would cost."""
    snap = _snapshot(execution, legs, now_is)
    nakedness.watch(execution, snap.legs, now=now)
    snap = replace(snap, naked_since=execution.naked_since)
    return replace(snap, ways=appraisal.ways(execution, snap, legs, quotes, config)) if quotes else snap


def _write_repairs(
    execution: Execution,
    legs: Mapping[int, Leg],
    writes: tuple[Write, ...],
    quotes: Quotes,
    config: ExecutionConfig,
    *,
    fence: int,
) -> None:
    """Orders in place of `writes`, or none and an end of the close where it would cost more than allowed."""
    writes = slicing.matched(writes, legs, quotes, config)
    if why := exit_bound.broken(execution, legs, writes, quotes):
        move(execution, ExecutionState.BALANCED, why, now=timezone.now())
        return
    for write in writes:
        leg = legs[write.leg]
        intents.write_repair(execution, leg, write, quotes[_key(leg)], config, fence=fence)
        if write.purpose is not Purpose.CLOSE:
            failpoints.reach(failpoints.IN_RESCUE)


def _write_down(execution: Execution, decision: Move | Discard | Doubt, now: datetime) -> None:
    match decision:
        case Move(to=to, why=why):
            move(execution, to, why, now=now)
        case Discard(orders=ids, why=why):
            _settle_unsent(ids, why, now)
        case Doubt(orders=ids):
            sending = OrderIntent.objects.filter(pk__in=ids, state=OrderState.SENDING)
            sending.update(state=OrderState.UNKNOWN)


def _schedule(execution: Execution, following: Next) -> None:
    """Say in the row when to look again, in the transaction that decided it: a close asked for meanwhile
    cannot be overwritten, and a driver that dies leaves a time gone by, which the sweeper finds."""
    match following:
        case Rest():
            execution.next_at = None
        case Wait(until=until):
            execution.next_at = until
        case _:
            execution.next_at = timezone.now() + PATIENCE
    Execution.objects.filter(pk=execution.pk).update(next_at=execution.next_at)


def _key(leg: Leg) -> tuple[str, str]:
    return (leg.venue, leg.symbol)


def _send(
    execution: Execution, ids: tuple[int, ...], legs: Mapping[int, Leg], now_is: Desk, *, alone: bool
) -> Next | None:
    """The claim, or what is done instead; None: decide again. What was written while we still might open is
    thrown away when we may not any more: the database would refuse its claim."""
    now = timezone.now()
    if not now_is.standing.opens and not execution.dry_run:
        opening = OrderIntent.objects.filter(pk__in=ids, purpose__in=[p for p in Purpose if p.opens])
        if late := tuple(opening.values_list("pk", flat=True)):
            _settle_unsent(late, "this instance may not open any more", now)
            return None
    refused = () if execution.dry_run else _not_allowed(ids, legs, now_is)
    if refused:
        return _refuse(execution, refused, now, alone=alone)
    return _claim(ids, now, leaves_by=now_is.leaves_by())


def _not_allowed(ids: tuple[int, ...], legs: Mapping[int, Leg], now_is: Desk) -> tuple[int, ...]:
    return not_allowed(ids, legs, runs=now_is.runs, reduce_only=now_is.reduces_only)


def _discard_of_older_terms(execution: Execution, fence: int) -> None:
    """Orders that an older term wrote and never sent are written anew or not at all: the database refuses
    them. An execution of this term has none."""
    if execution.fence != fence:
        old = OrderIntent.objects.filter(leg__execution=execution, fence__lt=fence).values_list(
            "pk", flat=True
        )
        _settle_unsent(tuple(old), f"of an older term than {fence}", timezone.now())


def _snapshot(execution: Execution, legs: Mapping[int, Leg], now_is: Desk) -> Snapshot:
    return Snapshot(
        state=ExecutionState(execution.state),
        policy=Policy(execution.policy),
        hard_leg=execution.hard_leg,
        closing=execution.closing,
        closing_to=execution.closing_to,
        opening_blocked=not execution.dry_run
        and (execution.fence != now_is.standing.fence or _opening_blocked(now_is, legs)),
        since=execution.since,
        legs=(_leg_view(legs[0]), _leg_view(legs[1])),
        reducing_only=now_is.reduces_only and not execution.dry_run,
        ordered=Rescue(execution.ordered) if execution.ordered else None,
    )


def _opening_blocked(now_is: Desk, legs: Mapping[int, Leg]) -> bool:
    """No RUN under our term, SAFE_MODE, REDUCE_ONLY, POST_ONLY with an order that takes, or a cause that
    covers a venue or an instrument of these legs."""
    state = now_is.state
    if not now_is.runs or state.safe_mode or state.reduce_only:
        return True
    if settings.ENV.risk_checks_enabled and guards.stale():
        return True
    if state.post_only and any(_takes_unsent(order) for leg in legs.values() for order in leg.orders.all()):
        return True
    scopes = {("venue", leg.venue) for leg in legs.values()}
    scopes |= {("instrument", f"{leg.venue}:{leg.symbol}") for leg in legs.values()}
    return bool(desk.blocking_sources(scopes))


def _takes_unsent(order: OrderIntent) -> bool:
    return order.state == OrderState.INTENT_WRITTEN and order.purpose == Purpose.OPEN and not order.post_only


def _leg_view(leg: Leg) -> LegView:
    orders = sorted(leg.orders.all(), key=lambda o: o.attempt)
    return LegView(
        index=leg.index,
        side=Side(leg.side),
        target=leg.target,
        lot=leg.lot,
        min_qty=leg.min_qty,
        orders=tuple(_order_view(leg, o) for o in orders),
    )


def _order_view(leg: Leg, order: OrderIntent) -> OrderView:
    return OrderView(
        id=order.pk,
        leg=leg.index,
        attempt=order.attempt,
        purpose=Purpose(order.purpose),
        qty=order.qty,
        filled=order.filled,
        state=OrderState(order.state),
        resting=order.post_only or order.time_in_force == "GTC",
        written_at=order.written_at,
        sent_at=order.sent_at,
        read_at=order.read_at,
        observed=order.observed,
        observed_at=order.observed_at,
    )


def move(execution: Execution, to: ExecutionState, why: str, *, now: datetime) -> None:
    """One transition, its journal row, and what follows from it. The execution's row is locked."""
    before = ExecutionState(execution.state)
    execution.state = to
    if to in {ExecutionState.IMBALANCED, ExecutionState.CLOSING}:
        execution.since = now
    if to is ExecutionState.RESIDUAL_HELD:
        execution.residual_told = False  # a new age begins
    if to in FINAL | RESTING or (to is ExecutionState.QUARANTINED and before is ExecutionState.CLOSING):
        execution.closing = False
    execution.save()
    ExecutionTransition.objects.create(execution=execution, before=before, after=to, detail=why, at=now)
    if to in FINAL | RESTING:
        reservations.release(execution.pk)
    if to is ExecutionState.QUARANTINED:
        desk.raise_hold(
            source=f"execution.quarantined:{execution.pk}",
            reason=f"execution {execution.pk} on {execution.symbol}: {why}",
            alarm="execution.quarantined",
        )
    log.info("execution.moved", execution=str(execution.pk), before=before.value, after=to.value, why=why)


def _settle_unsent(ids: tuple[int, ...], why: str, now: datetime) -> None:
    OrderIntent.objects.filter(pk__in=ids, state=OrderState.INTENT_WRITTEN).update(
        state=OrderState.DISCARDED, refusal=why, done_at=now
    )


def _refuse(execution: Execution, ids: tuple[int, ...], now: datetime, *, alone: bool) -> Rest:
    """The core wrote what must not go out in HOLD: it is wrong, so nothing further is tried without a
    person."""
    if not alone:
        raise _AlarmError
    _settle_unsent(ids, "HOLD: would neither reduce nor hedge", now)
    move(execution, ExecutionState.QUARANTINED, "an order not allowed in HOLD", now=now)
    return Rest()


def _claim(ids: tuple[int, ...], now: datetime, *, leaves_by: float) -> Claimed | Wait:
    """INTENT_WRITTEN → SENDING with `sent_at`, committed before any byte leaves. The row count is the
    verdict."""
    claimed = OrderIntent.objects.filter(pk__in=ids, state=OrderState.INTENT_WRITTEN).update(
        state=OrderState.SENDING, sent_at=now
    )
    return Claimed(ids, leaves_by) if claimed == len(ids) else Wait(now)


def _visit(ids: tuple[int, ...], *, leaves_by: float | None = None, cancel: bool = False) -> None:
    """Visit the venues side by side; write each answer down as it comes, without waiting for the others.

    leaves_by: the orders are sent, by then or never; without it they are read, after a cancel where asked.
    """
    config = desk_config.active().trading
    orders = OrderIntent.objects.select_related("leg__execution").in_bulk(ids)
    for order in orders.values() if cancel else ():
        runaway.claim(order.venue, order.symbol)  # counted, never refused: the desk's own cancels
    pending: dict[Future[Heard], OrderIntent] = {
        _start(order, leaves_by, cancel=cancel): order for order in orders.values()
    }
    while pending:
        done, _ = wait(pending, return_when=FIRST_COMPLETED)
        for future in done:
            order = pending.pop(future)
            window = config.acceptance_window(order.venue)
            heard = future.result()
            failpoints.reach(failpoints.AFTER_ACK)
            state = record(order.pk, heard, acceptance_window=window)
            failpoints.reach(failpoints.AFTER_FILL)
            log.info("order.heard", order=order.client_order_id, venue=order.venue, state=state.value)


def _start(order: OrderIntent, leaves_by: float | None, *, cancel: bool) -> "Future[Heard]":
    if order.leg.execution.dry_run:
        return dry_run.answer(order)
    hub = get_hub()
    if leaves_by is not None:
        hub.before_send = visit.last_look
        new = intents.as_new_order(order)
        seconds = desk_config.active().trading.dead_man_sec(order.venue)
        return hub.submit(visit.place(hub, order.venue, new, leaves_by=leaves_by, dead_man_sec=seconds))
    return hub.submit(visit.look(hub, order.venue, order.symbol, order.client_order_id, cancel=cancel))


def leg_views(execution: Execution) -> tuple[LegView, LegView]:
    """Both legs with their orders: long first."""
    long, short = (_leg_view(leg) for leg in execution.legs.prefetch_related("orders").order_by("index"))
    return long, short


def wanted(execution_id: UUID) -> bool:
    """A nudge is dropped when the machine rests, or when a later look is already planned."""
    soon = timezone.now() + BUSY_PAUSE
    return Execution.objects.filter(pk=execution_id, next_at__lte=soon).exists()
