"""What will be done, as data: the steps of a plan, and the rescue for each way a leg can fail, priced.

The dry-run answer and the approval dialog show these; the machine itself decides from fills, not from text.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from trading.domain.canonical import decimal_text as text
from trading.domain.edge import LegMarket, take, touch
from trading.domain.execution_state import ExecutionState, Policy
from trading.domain.market import Side
from trading.domain.money import BPS, ZERO, floor_to
from trading.domain.rescue import Rescue

State = ExecutionState


@dataclass(frozen=True, slots=True)
class Step:
    state: ExecutionState
    does: str


class Failure(StrEnum):
    REJECTED = "rejected"
    PARTIAL = "partial"
    AMBIGUOUS = "ambiguous"
    BOTH_FAILED = "both_failed"


@dataclass(frozen=True, slots=True)
class RescueScenario:
    """One way to fail. venue: whose leg fails (None: both). naked_qty: base coin unhedged meanwhile.

    Costs in quote currency against the plan. proceed: the missing leg filled at its limit price. reverse:
    round trip of the filled leg on the books of now, depth and taker fees included; None where it is no
    option (a close goes on closing). choice: what the state machine will do; an opening is always reversed,
    and proceed_cost says what completing it would have cost. cost_*: of the choice.
    """

    failure: Failure
    venue: str | None
    naked_qty: Decimal
    choice: Rescue
    proceed_cost: Decimal
    reverse_cost: Decimal | None
    cost_quote: Decimal
    cost_bps: Decimal
    does: str


@dataclass(frozen=True, slots=True)
class LegDraft:
    """What the arithmetic of a leg needs. side: of the order about to be sent."""

    market: LegMarket
    side: Side
    qty: Decimal
    limit_price: Decimal

    @property
    def venue(self) -> str:
        return self.market.instrument.venue

    def says(self) -> str:
        return f"{self.side} {text(self.qty)} on {self.venue} at {text(self.limit_price)} or better"


Drafts = tuple[LegDraft, LegDraft]


def opening_steps(legs: Drafts, *, policy: Policy, hard_leg: int) -> tuple[Step, ...]:
    first, second = legs[hard_leg], legs[1 - hard_leg]
    if policy is Policy.SIMULTANEOUS:
        working = f"send both at once: {legs[0].says()}; {legs[1].says()}"
    else:
        working = f"send {first.says()}; then {second.side} on {second.venue} what {first.venue} has filled"
    return (
        Step(State.PLANNED, "re-price both books; outside the bounds nothing goes on"),
        Step(State.APPROVED, "check the approval or the envelope, then the risk gate, both legs or neither"),
        Step(
            State.ARMED, "write both order intents, the reservation and the gate's answer in one transaction"
        ),
        Step(State.WORKING, working),
        Step(State.BALANCED, "both legs hold the same quantity: the pair is open and hedged"),
        Step(State.CLOSING, "on a close: reduce-only orders on both legs"),
        Step(State.SETTLED, "both legs flat at the venues, result booked"),
    )


def closing_steps(legs: Drafts, *, policy: Policy, hard_leg: int) -> tuple[Step, ...]:
    order = "both at once" if policy is Policy.SIMULTANEOUS else f"{legs[hard_leg].venue} first"
    sent = "; ".join(leg.says() for leg in legs if leg.qty)
    return (
        Step(State.BALANCED, "re-price both books"),
        Step(State.CLOSING, f"send reduce-only, {order}: {sent}; repeat until the venues report it"),
        Step(
            State.SETTLED, "nothing left on either leg: result booked (else back to BALANCED with the rest)"
        ),
    )


def rescue_scenarios(legs: Drafts, *, notional: Decimal, closing: bool) -> tuple[RescueScenario, ...]:
    """Every way one leg can fail, the other leg's fill assumed whole. notional: base of cost_bps, quote."""
    return tuple(_scenarios(legs, notional, closing))


def _scenarios(legs: Drafts, notional: Decimal, closing: bool) -> Iterator[RescueScenario]:
    for failed, other in (legs, legs[::-1]):
        if not failed.qty:
            continue
        lot = failed.market.instrument.lot
        half = max(floor_to(failed.qty / 2, lot), lot)
        for failure, naked in (
            (Failure.REJECTED, failed.qty),
            (Failure.PARTIAL, half),
            (Failure.AMBIGUOUS, failed.qty),
        ):
            reverse = None if closing else _reverse_cost(other, naked)
            yield _scenario(failure, failed, other, naked=naked, reverse=reverse, notional=notional)
    yield RescueScenario(
        failure=Failure.BOTH_FAILED,
        venue=None,
        naked_qty=ZERO,
        choice=Rescue.NONE,
        proceed_cost=ZERO,
        reverse_cost=None,
        cost_quote=ZERO,
        cost_bps=ZERO,
        does="nothing was filled: cancel what rests, re-read both venues, end as ABORTED_CLEAN",
    )


def _scenario(
    failure: Failure,
    failed: LegDraft,
    other: LegDraft,
    *,
    naked: Decimal,
    reverse: Decimal | None,
    notional: Decimal,
) -> RescueScenario:
    proceed = _proceed_cost(failed, naked)
    choice, cost = (Rescue.PROCEED, proceed) if reverse is None else (Rescue.REVERSE, reverse)
    return RescueScenario(
        failure=failure,
        venue=failed.venue,
        naked_qty=naked,
        choice=choice,
        proceed_cost=proceed,
        reverse_cost=reverse,
        cost_quote=cost,
        cost_bps=(cost * BPS / notional).quantize(Decimal("0.01")),
        does=_does(failure, choice, failed, other, naked),
    )


def _proceed_cost(leg: LegDraft, qty: Decimal) -> Decimal:
    """`qty` filled at the limit instead of at the touch, fees not counted: the plan pays them anyway."""
    away = (leg.limit_price - touch(leg.market.book, leg.side)) * leg.side.sign
    return max(away, ZERO) * qty


def _reverse_cost(leg: LegDraft, qty: Decimal) -> Decimal:
    """In and out again at once on this leg: both sides of the book walked, a taker fee each way."""
    bought, sold = take(leg.market.book, Side.BUY, qty), take(leg.market.book, Side.SELL, qty)
    return bought.cost - sold.cost + leg.market.fees.taker * (bought.cost + sold.cost)


def _does(failure: Failure, choice: Rescue, failed: LegDraft, other: LegDraft, naked: Decimal) -> str:
    if failure is Failure.AMBIGUOUS:
        return (
            f"cancel on {failed.venue} by client id, then ask by client id, open orders and trades at "
            f"0.5, 1, 2, 4, 8 s; never send again; the leg counts as possibly filled; "
            f"over the limit: QUARANTINED; once known: {choice}"
        )
    if choice is Rescue.PROCEED:
        act = (
            f"{failed.side} the missing {text(naked)} on {failed.venue}, IOC up to {text(failed.limit_price)}"
        )
    else:
        act = f"{other.side.opposite} {text(naked)} back on {other.venue}, reduce-only"
    return f"cancel the rest of {failed.venue}, await the ack, re-read the fills; {act}; re-read, repeat"
