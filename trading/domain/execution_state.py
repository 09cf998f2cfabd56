"""The execution state machine: (snapshot, quotes, now) → one decision, as data.

Pure: no clock, no rows, no venue. The caller (trading.execution.machine) locks rows, builds the snapshot,
asks `decide`, writes what it says in one transaction and performs the effects after commit. A crash at any
statement is therefore harmless: the next process builds the same snapshot and gets the same answer.

The pair's two legs are held as *open quantity*: what the opening fills bought minus what closing fills gave
back, in base coin, never negative. Hedged means both are equal; flat means both are zero. Every repair is
computed from these two numbers anew at every event: f(filled A) − filled B, never from what was hoped for.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from trading.domain.canonical import decimal_text as text
from trading.domain.market import Side
from trading.domain.money import CENT, ZERO, ceil_to, floor_to
from trading.domain.order_state import OrderState
from trading.domain.rescue import Rescue, Ways


class ExecutionState(StrEnum):
    PLANNED = "PLANNED"
    APPROVED = "APPROVED"
    ARMED = "ARMED"
    WORKING = "WORKING"
    BALANCED = "BALANCED"
    CLOSING = "CLOSING"
    SETTLED = "SETTLED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"
    ABORTED_CLEAN = "ABORTED_CLEAN"
    UNKNOWN = "UNKNOWN"
    IMBALANCED = "IMBALANCED"
    RESCUE_PROCEED = "RESCUE_PROCEED"
    RESCUE_REVERSE = "RESCUE_REVERSE"
    FLAT_AFTER_RESCUE = "FLAT_AFTER_RESCUE"
    RESIDUAL_HELD = "RESIDUAL_HELD"
    QUARANTINED = "QUARANTINED"


E = ExecutionState
#: Nothing is open and nothing will happen any more.
FINAL = frozenset({E.SETTLED, E.EXPIRED, E.REJECTED, E.ABORTED_CLEAN, E.FLAT_AFTER_RESCUE})
#: Something is open and hedged, or too small to trade: only a person or a close moves it on.
RESTING = frozenset({E.BALANCED, E.RESIDUAL_HELD})
#: The machine itself must go on; the sweeper finds these.
ACTIVE = frozenset(E) - FINAL - RESTING - {E.PLANNED, E.APPROVED}
#: Where a close of a part makes sense: what is open stands still. A close of everything is taken while the
#: machine is at work as well: stopping always works.
CLOSABLE = RESTING | {E.QUARANTINED}

_WORKED = frozenset(
    {E.UNKNOWN, E.BALANCED, E.IMBALANCED, E.ABORTED_CLEAN, E.RESCUE_REVERSE, E.RESIDUAL_HELD, E.QUARANTINED}
)
_RESCUED = frozenset({E.FLAT_AFTER_RESCUE, E.BALANCED, E.RESIDUAL_HELD, E.QUARANTINED, E.UNKNOWN})
LEGAL: dict[ExecutionState, frozenset[ExecutionState]] = {
    E.PLANNED: frozenset({E.APPROVED, E.EXPIRED, E.REJECTED}),
    E.APPROVED: frozenset({E.ARMED, E.EXPIRED, E.REJECTED}),
    E.ARMED: frozenset({E.WORKING, E.ABORTED_CLEAN}),
    E.WORKING: _WORKED | {E.FLAT_AFTER_RESCUE, E.CLOSING},
    E.UNKNOWN: _WORKED - {E.UNKNOWN} | {E.WORKING, E.CLOSING, E.SETTLED, E.FLAT_AFTER_RESCUE},
    E.IMBALANCED: frozenset({E.RESCUE_PROCEED, E.RESCUE_REVERSE, E.CLOSING}) | _RESCUED - {E.UNKNOWN},
    E.RESCUE_PROCEED: _RESCUED | {E.RESCUE_REVERSE, E.CLOSING},
    E.RESCUE_REVERSE: _RESCUED | {E.CLOSING},
    # A venue may close a leg by itself (liquidation, ADL): what rested hedged is then out of balance again.
    E.BALANCED: frozenset({E.CLOSING, E.QUARANTINED, E.IMBALANCED, E.RESIDUAL_HELD, E.FLAT_AFTER_RESCUE}),
    E.RESIDUAL_HELD: frozenset({E.CLOSING, E.SETTLED, E.QUARANTINED, E.IMBALANCED, E.FLAT_AFTER_RESCUE}),
    E.QUARANTINED: _WORKED - {E.UNKNOWN, E.QUARANTINED} | {E.CLOSING, E.FLAT_AFTER_RESCUE},
    E.CLOSING: frozenset({E.SETTLED, E.UNKNOWN, E.BALANCED, E.RESIDUAL_HELD, E.QUARANTINED}),
} | {state: frozenset() for state in FINAL}


class Purpose(StrEnum):
    OPEN = "open"
    PROCEED = "proceed"  # rescue: what the shorter leg lacks
    REVERSE = "reverse"  # rescue: out of the excess of the longer leg
    CLOSE = "close"
    FORCED = "forced"  # the venue's own: liquidation, ADL, settlement

    @property
    def opens(self) -> bool:
        return self in {Purpose.OPEN, Purpose.PROCEED}


class Policy(StrEnum):
    SIMULTANEOUS = "simultaneous"
    HARD_LEG_FIRST = "hard_leg_first"


@dataclass(frozen=True, slots=True)
class OrderView:
    """One order intent as its row has it. `written_at` never None; `sent_at` None until claimed."""

    id: int
    leg: int
    attempt: int
    purpose: Purpose
    qty: Decimal
    filled: Decimal
    state: OrderState
    resting: bool
    written_at: datetime
    sent_at: datetime | None
    read_at: datetime | None = None  # when the venue was last asked for it
    observed: Decimal | None = None  # while UNKNOWN: what the venue's own position says was filled
    observed_at: datetime | None = None

    @property
    def least(self) -> Decimal:
        """Filled at least."""
        return self.filled if self.observed is None or self.state.terminal else self.observed

    @property
    def most(self) -> Decimal:
        """Filled at most: an order in doubt counts as possibly filled, until its position was seen."""
        return self.qty if self.state is OrderState.UNKNOWN and self.observed is None else self.least


@dataclass(frozen=True, slots=True)
class LegView:
    """`index` 0 is the long leg, 1 the short. `side` is the opening side; `target` the planned quantity."""

    index: int
    side: Side
    target: Decimal
    lot: Decimal
    min_qty: Decimal
    orders: tuple[OrderView, ...]

    @property
    def open_qty(self) -> Decimal:
        return sum((o.filled if o.purpose.opens else -o.filled for o in self.orders), ZERO)

    def bounds(self) -> tuple[Decimal, Decimal]:
        """Open quantity at least and at most, whatever became of the orders in doubt."""
        least = sum((o.least if o.purpose.opens else -o.most for o in self.orders), ZERO)
        most = sum((o.most if o.purpose.opens else -o.least for o in self.orders), ZERO)
        return least, most

    @property
    def next_attempt(self) -> int:
        return 1 + max((o.attempt for o in self.orders), default=0)

    def rounds(self, purpose: Purpose, *, since: datetime | None) -> int:
        """Orders of this purpose written since the repair or the close began."""
        return sum(o.purpose is purpose and (since is None or o.written_at >= since) for o in self.orders)


@dataclass(frozen=True, slots=True)
class Timing:
    """Durations, all from config or from the venue client's own time-outs."""

    quote_ttl: timedelta  # an intent not sent within it is never sent
    send_timeout: timedelta  # longer than the client's own: a SENDING row older than this has no sender left
    refresh: timedelta  # between two reads of an order that is at the venue
    unknown_refresh: timedelta  # first pause between two reads of an UNKNOWN order; it grows with its age
    resting_ttl: timedelta  # a resting order is cancelled after it
    unknown_max: timedelta  # UNKNOWN longer than this → QUARANTINED
    naked_max: timedelta  # after it a rescue only reverses
    max_rounds: int  # repair orders per leg and purpose before people are asked


@dataclass(frozen=True, slots=True)
class Snapshot:
    state: ExecutionState
    policy: Policy
    hard_leg: int
    closing: bool
    closing_to: Decimal  # open quantity that a close leaves on both legs (0: all)
    opening_blocked: bool  # HOLD or kill: nothing new may open
    since: datetime | None  # when the current repair or close began
    legs: tuple[LegView, LegView]
    reducing_only: bool = False  # kill switch, REDUCE_ONLY: a rescue does not complete a leg
    ordered: Rescue | None = None  # what a person asked the rescue to do
    naked_since: datetime | None = None  # when the open quantities became unequal
    ways: Ways | None = None  # both ways out at prices of now; None until they were asked for

    @property
    def orders(self) -> tuple[OrderView, ...]:
        return self.legs[0].orders + self.legs[1].orders


# --- what a decision may ask for ---


@dataclass(frozen=True, slots=True)
class Send:
    """Claim and send these intents, at once and side by side."""

    orders: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Discard:
    """Never sent, never will be."""

    orders: tuple[int, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """The sender is gone: SENDING → UNKNOWN."""

    orders: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """Ask the venue for the order and its fills; `cancel` first asks it to cancel."""

    orders: tuple[int, ...]
    cancel: bool


@dataclass(frozen=True, slots=True)
class Appraise:
    """Price both ways out: ask again with `ways`, from books of now."""


@dataclass(frozen=True, slots=True)
class Observe:
    """What these orders' venues hold as positions: the venue does not tell what became of the orders."""

    orders: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Write:
    """Write one intent per leg. `round_no` widens the collar of repairs; `worst`: the price beyond which
    the order must not fill, None: the collar alone."""

    leg: int
    purpose: Purpose
    side: Side
    qty: Decimal
    attempt: int
    round_no: int
    worst: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Move:
    to: ExecutionState
    why: str


@dataclass(frozen=True, slots=True)
class Wait:
    until: datetime


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do until a person or an event comes."""


Decision = Send | Discard | Doubt | Read | Appraise | Observe | tuple[Write, ...] | Move | Wait | Rest


def decide(snap: Snapshot, *, timing: Timing, now: datetime) -> Decision:
    """The one next thing to do. Called again after each; ends in `Wait` or `Rest`. `now` is aware UTC."""
    if snap.state in FINAL or _undisturbed(snap):
        return Rest()
    return _unsent(snap, timing, now) or _in_flight(snap, timing, now) or _settled(snap, timing, now)


def _undisturbed(snap: Snapshot) -> bool:
    """At rest, nobody asked to close, and no venue has taken a leg away."""
    forced = any(o.purpose is Purpose.FORCED for o in snap.orders)
    return snap.state in RESTING and not snap.closing and not forced


def _unsent(snap: Snapshot, timing: Timing, now: datetime) -> Decision | None:
    """Intents written and not claimed: send them, or throw them away when it is too late or not allowed."""
    waiting = [o for o in snap.orders if o.state is OrderState.INTENT_WRITTEN]
    if not waiting:
        return None
    # All or none: of two legs written a millisecond apart, one must not go out alone.
    if any(now - o.written_at > timing.quote_ttl for o in waiting):
        return Discard(tuple(o.id for o in waiting), "older than the quote it was priced on")
    # Under HOLD an execution with nothing sent is aborted clean; one with fills is brought to balance. A
    # hedge (hard_leg_first's second leg) lowers the naked quantity, so it passes.
    if snap.opening_blocked and not any(o.sent_at for o in snap.orders):
        return Discard(tuple(o.id for o in waiting), "HOLD before anything was sent")
    if snap.closing and any(o.purpose.opens for o in waiting):
        return Discard(tuple(o.id for o in waiting), "a close was asked for")
    if snap.state is E.ARMED:
        return Move(E.WORKING, "sending")
    return Send(tuple(o.id for o in waiting))


def _in_flight(snap: Snapshot, timing: Timing, now: datetime) -> Decision | None:
    """Orders that are, or may be, at the venue. Nothing else is decided before they are all settled."""
    flying = [o for o in snap.orders if o.state.at_venue]
    if not flying:
        return None
    lost = tuple(o.id for o in flying if o.state is OrderState.SENDING and _age(o, now) > timing.send_timeout)
    if lost:
        return Doubt(lost)
    doubtful = [o for o in flying if o.state is OrderState.UNKNOWN]
    if any(_given_up(o, timing, now) for o in flying) and snap.state is not E.QUARANTINED:
        return Move(
            E.QUARANTINED,
            f"what became of an order is unknown for over {timing.unknown_max.total_seconds():.0f} s",
        )
    if doubtful and snap.state not in {E.UNKNOWN, E.QUARANTINED}:
        return Move(E.UNKNOWN, "the venue has not said what became of an order")
    unseen = [o for o in doubtful if o.observed_at is None or _longest_pause(timing) < now - o.observed_at]
    if unseen and snap.state is E.QUARANTINED:
        return Observe(tuple(o.id for o in unseen))
    return _certain_hedge(snap, timing, now) or _reads(snap, flying, timing, now)


def _certain_hedge(snap: Snapshot, timing: Timing, now: datetime) -> Decision | None:
    """What is out of balance whatever became of the orders in doubt is reversed now, not when they are
    known. Orders that the venue works on settle by themselves and are waited for."""
    if any(o.state.at_venue and o.state is not OrderState.UNKNOWN for o in snap.orders):
        return None
    (least0, most0), (least1, most1) = (leg.bounds() for leg in snap.legs)
    longer, sure = (snap.legs[0], least0 - most1) if least0 > most1 else (snap.legs[1], least1 - most0)
    qty = floor_to(max(sure, ZERO), longer.lot)
    round_no = longer.rounds(Purpose.REVERSE, since=snap.since)
    if not qty or qty < longer.min_qty or round_no >= timing.max_rounds:
        return None
    if not all(o.state.terminal for o in longer.orders):
        return None  # one open attempt per leg
    side = longer.side.opposite
    write = Write(longer.index, Purpose.REVERSE, side, qty, longer.next_attempt, round_no)
    paced = _paced((write,), snap, timing, now)
    return None if isinstance(paced, Wait) else paced


def _reads(snap: Snapshot, flying: list[OrderView], timing: Timing, now: datetime) -> Decision:
    due = {o.id: _read_due(o, timing, now) for o in flying if o.state is not OrderState.SENDING}
    ready = [o for o in flying if o.id in due and due[o.id] <= now]
    if ready:
        # Cancel what is doubtful or has rested long enough; an IOC that is merely acknowledged is only read.
        stop = {o.id for o in ready if snap.closing and o.resting and o.purpose.opens}
        cancel = [
            o for o in ready if o.state is OrderState.UNKNOWN or o.id in stop or _overdue(o, timing, now)
        ]
        return Read(tuple(o.id for o in (cancel or ready)), cancel=bool(cancel))
    return Wait(min(due.values(), default=now + timing.refresh))


def _read_due(order: OrderView, timing: Timing, now: datetime) -> datetime:
    """Acknowledged orders at a steady pace while they have time; UNKNOWN ones at 0.5, 1, 2, 4, 8 s, as
    their age doubles; so, too, those that are over their time and still cannot be read as ended."""
    if order.read_at is None:
        return now
    if order.state is OrderState.UNKNOWN:
        pause = max(_age(order, now) / 2, timing.unknown_refresh)
    else:
        pause = max((_age(order, now) - _time_at_venue(order, timing)) / 2, timing.refresh)
    return order.read_at + min(pause, _longest_pause(timing))


def _longest_pause(timing: Timing) -> timedelta:
    return 16 * timing.unknown_refresh


def _age(order: OrderView, now: datetime) -> timedelta:
    return now - (order.sent_at or order.written_at)


def _overdue(order: OrderView, timing: Timing, now: datetime) -> bool:
    """A resting order past its time, or an IOC that the venue still calls open: both are to be cancelled."""
    return _age(order, now) > _time_at_venue(order, timing)


def _time_at_venue(order: OrderView, timing: Timing) -> timedelta:
    return timing.resting_ttl if order.resting else timing.send_timeout


def _given_up(order: OrderView, timing: Timing, now: datetime) -> bool:
    """Nobody has said for too long how it ended; an acknowledgement is no such word."""
    rests = order.resting and order.state is not OrderState.UNKNOWN
    return _age(order, now) > timing.unknown_max + (timing.resting_ttl if rests else timedelta(0))


def _settled(snap: Snapshot, timing: Timing, now: datetime) -> Decision:
    """Every order is terminal: judge the two open quantities."""
    if snap.closing and any(o.filled for o in snap.orders):
        return _close(snap, timing, now)
    hedge = _hedge_after_hard_leg(snap)
    if hedge:
        return hedge
    if _balanced(snap):
        return _rest_balanced(snap)
    return _repair(snap, timing, now)


def _balanced(snap: Snapshot) -> bool:
    return snap.legs[0].open_qty == snap.legs[1].open_qty


def _rest_balanced(snap: Snapshot) -> Decision:
    purposes = {o.purpose for o in snap.orders if o.filled}
    rescued = purposes - {Purpose.OPEN, Purpose.CLOSE}
    if snap.state in RESTING:
        if snap.legs[0].open_qty or Purpose.FORCED not in purposes:
            return Rest()
        return Move(E.FLAT_AFTER_RESCUE, "the venues closed both legs")
    if snap.legs[0].open_qty:
        return Move(E.BALANCED, "hedged after rescue" if rescued else "both legs filled")
    if rescued:
        return Move(E.FLAT_AFTER_RESCUE, "what was open is out again")
    return Move(E.ABORTED_CLEAN, "nothing filled")


def _hedge_after_hard_leg(snap: Snapshot) -> Decision | None:
    """`hard_leg_first`: the easy leg is sized by what the hard one really filled, and only then written."""
    hard, easy = snap.legs[snap.hard_leg], snap.legs[1 - snap.hard_leg]
    if snap.policy is not Policy.HARD_LEG_FIRST or easy.orders or not hard.open_qty:
        return None
    if snap.reducing_only:
        return None  # the filled leg is reversed instead
    qty = floor_to(hard.open_qty, easy.lot)
    if qty < easy.min_qty:
        return None
    if snap.state is E.UNKNOWN:
        return Move(E.WORKING, "the hard leg is known")
    return (Write(easy.index, Purpose.OPEN, easy.side, qty, easy.next_attempt, 0),)


def _repair(snap: Snapshot, timing: Timing, now: datetime) -> Decision:
    """Complete the shorter leg or reverse the longer one, whichever is expected to lose less; one order at a
    time, each sized by the fills there are.

    An excess is rounded *up* to the leg's lot: with unequal lots the other, finer leg is then the longer one
    and the next round ends equal.
    """
    longer = max(snap.legs, key=lambda leg: leg.open_qty)
    shorter = snap.legs[1 - longer.index]
    excess = min(ceil_to(longer.open_qty - shorter.open_qty, longer.lot), longer.open_qty)
    if excess < longer.min_qty:
        return _hold_residual(snap, f"{text(excess)} is below the venue's minimum {text(longer.min_qty)}")
    if snap.state not in {E.IMBALANCED, E.RESCUE_PROCEED, E.RESCUE_REVERSE}:
        if (
            snap.state is E.QUARANTINED
            and longer.rounds(Purpose.REVERSE, since=snap.since) >= timing.max_rounds
        ):
            return Rest()
        long, short = (text(leg.open_qty) for leg in snap.legs)
        return Move(E.IMBALANCED, f"long leg {long}, short leg {short}")
    if snap.state is not E.RESCUE_REVERSE:
        return _choose(snap, shorter, floor_to(longer.open_qty - shorter.open_qty, shorter.lot), timing, now)
    round_no = longer.rounds(Purpose.REVERSE, since=snap.since)
    if round_no >= timing.max_rounds:
        return Move(E.QUARANTINED, f"still imbalanced after {round_no} reversals")
    side = longer.side.opposite
    write = Write(longer.index, Purpose.REVERSE, side, excess, longer.next_attempt, round_no)
    return _paced((write,), snap, timing, now)


def _choose(snap: Snapshot, shorter: LegView, missing: Decimal, timing: Timing, now: datetime) -> Decision:
    """Judged anew before each order: a price that ran away ends the completing."""
    round_no = shorter.rounds(Purpose.PROCEED, since=snap.since)
    why = _only_reverse(snap, shorter, missing, round_no, timing, now)
    if why:
        return Move(E.RESCUE_REVERSE, f"reversing: {why}")
    if snap.ways is None:
        return Appraise()
    if snap.ways.choice(ordered=snap.ordered) is Rescue.REVERSE:
        return Move(E.RESCUE_REVERSE, f"reversing: {_figures(snap.ways)}")
    if snap.state is E.IMBALANCED:
        return Move(E.RESCUE_PROCEED, f"completing {text(missing)}: {_figures(snap.ways)}")
    attempt, worst = shorter.next_attempt, snap.ways.worst
    write = Write(shorter.index, Purpose.PROCEED, shorter.side, missing, attempt, round_no, worst)
    return _paced((write,), snap, timing, now)


def _only_reverse(
    snap: Snapshot, shorter: LegView, missing: Decimal, round_no: int, timing: Timing, now: datetime
) -> str:
    """Why completing is out of the question, or ""."""
    if any(o.purpose is Purpose.FORCED for o in snap.orders):
        return "the venue itself closed the other leg"
    if snap.reducing_only:
        return "nothing may open"
    if missing < shorter.min_qty:
        return f"{text(missing)} cannot be opened there, the least is {text(shorter.min_qty)}"
    if round_no >= timing.max_rounds:
        return f"not complete after {round_no} orders"
    naked = now - (snap.naked_since or now)
    if snap.ordered is not Rescue.PROCEED and naked > timing.naked_max:
        return f"naked for over {timing.naked_max.total_seconds():.0f} s"
    return ""


def _figures(ways: Ways) -> str:
    def loss(value: Decimal | None) -> str:
        return "has no price" if value is None else f"would lose {text(value.quantize(CENT))}"

    budget = text(ways.budget.quantize(CENT))
    return f"completing {loss(ways.proceed)}, reversing {loss(ways.reverse)}, budget {budget}"


def _paced(writes: tuple[Write, ...], snap: Snapshot, timing: Timing, now: datetime) -> Decision:
    """The next round not before refresh · 1, 2, 4, … after the last: a venue that refuses at once must not
    use up all rounds within one of its hiccups."""
    ready = [_last_written(snap, w) + timing.refresh * 2 ** (w.round_no - 1) for w in writes if w.round_no]
    if ready and now < max(ready):
        return Wait(max(ready))
    return writes


def _last_written(snap: Snapshot, write: Write) -> datetime:
    return max(o.written_at for o in snap.legs[write.leg].orders if o.purpose is write.purpose)


def _hold_residual(snap: Snapshot, why: str) -> Decision:
    if snap.state is E.RESIDUAL_HELD:
        return Rest()
    return Move(E.RESIDUAL_HELD, why)


def _close(snap: Snapshot, timing: Timing, now: datetime) -> Decision:
    """Bring both legs down to `closing_to`, side by side, repriced each round."""
    if snap.state is not E.CLOSING:
        return Move(E.CLOSING, "close asked for")
    rest = [max(leg.open_qty - snap.closing_to, ZERO) for leg in snap.legs]
    if not any(rest):
        whole = not any(leg.open_qty for leg in snap.legs)
        return Move(E.SETTLED, "both legs flat") if whole else Move(E.BALANCED, "closed in part")
    rounds = [leg.rounds(Purpose.CLOSE, since=snap.since) for leg in snap.legs]
    writes = tuple(
        Write(leg.index, Purpose.CLOSE, leg.side.opposite, qty, leg.next_attempt, rounds[leg.index])
        for leg, left in zip(snap.legs, rest, strict=True)
        if (qty := floor_to(left, leg.lot)) and (qty >= leg.min_qty or qty == leg.open_qty)
    )
    if not writes:
        left = " and ".join(map(text, rest))
        return _hold_residual(snap, f"left over: {left}, below the venues' minimum")
    if any(write.round_no >= timing.max_rounds for write in writes):
        return Move(E.QUARANTINED, f"not flat after {timing.max_rounds} closing orders")
    return _paced(writes, snap, timing, now)
