"""The execution state machine against a world that fills, rejects, times out, lies late and dies.

Whatever happens, in whatever order, an execution ends where its two open quantities are safe. Invariants:
  1. it ends: flat, hedged, held below the venue's minimum, or quarantined with people called;
  2. never two open orders on one leg, never more than the target opened, never flipped through zero;
  3. an order is sent at most once, and never after its quote's time to live;
  4. only legal moves, of orders and of executions.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.domain import execution_state as es
from trading.domain.execution_state import ExecutionState as E
from trading.domain.execution_state import LegView, OrderView, Policy, Purpose, Snapshot
from trading.domain.market import Side
from trading.domain.money import floor_to
from trading.domain.order_state import OrderState, may_move
from trading.domain.rescue import Rescue, Ways

START = datetime(2026, 1, 1, tzinfo=UTC)
TIMING = es.Timing(
    quote_ttl=timedelta(seconds=3),
    send_timeout=timedelta(seconds=4),
    refresh=timedelta(milliseconds=50),
    unknown_refresh=timedelta(milliseconds=500),
    resting_ttl=timedelta(seconds=10),
    unknown_max=timedelta(seconds=30),
    naked_max=timedelta(seconds=10),
    max_rounds=6,
)
FATES = [
    "fill",
    "part",
    "none",
    "reject",
    "lost_filled",
    "lost_none",
    "lost_never",
    "die_before",
    "die_after",
]


WAYS = {
    "proceed": Ways(proceed=Decimal(1), reverse=Decimal(9), budget=Decimal(5), worst=Decimal(100)),
    "reverse": Ways(proceed=Decimal(9), reverse=Decimal(1), budget=Decimal(10), worst=Decimal(100)),
    "too dear": Ways(proceed=Decimal(6), reverse=Decimal(9), budget=Decimal(5), worst=Decimal(100)),
    "no price": Ways(proceed=None, reverse=None, budget=Decimal(5), worst=Decimal(100)),
}


@dataclass
class World:
    """Plays the rows and the venues: applies decisions, draws what the venue does, checks the invariants."""

    snap: Snapshot
    draw: st.DataObject
    now: datetime = START
    next_id: int = 1
    truth: dict[int, tuple[Decimal, OrderState]] = field(default_factory=dict)
    sends: dict[int, int] = field(default_factory=dict)
    calm: bool = False
    resting: bool = False  # opening orders rest, until they are cancelled or fill
    moves: list[E] = field(default_factory=list)

    def change(self, order: OrderView, **changes: object) -> None:
        after = replace(order, **changes)  # type: ignore[arg-type]
        if after.state is not order.state:
            assert may_move(order.state, after.state), (order.state, after.state)
        legs = [
            replace(leg, orders=tuple(after if o.id == order.id else o for o in leg.orders))
            for leg in self.snap.legs
        ]
        self.snap = replace(self.snap, legs=(legs[0], legs[1]))

    def order(self, order_id: int) -> OrderView:
        return next(o for o in self.snap.orders if o.id == order_id)

    def write(self, leg_index: int, purpose: Purpose, qty: Decimal, attempt: int) -> None:
        leg = self.snap.legs[leg_index]
        assert qty > 0
        assert qty == floor_to(qty, leg.lot)
        assert all(o.state.terminal for o in leg.orders), "two open orders on one leg"
        assert attempt not in {o.attempt for o in leg.orders}
        if not purpose.opens:
            assert qty <= leg.open_qty, "would flip through zero"
        order = OrderView(
            self.next_id,
            leg_index,
            attempt,
            purpose,
            qty,
            Decimal(0),
            OrderState.INTENT_WRITTEN,
            self.resting and purpose is Purpose.OPEN,
            self.now,
            None,
        )
        self.next_id += 1
        legs = list(self.snap.legs)
        legs[leg_index] = replace(leg, orders=(*leg.orders, order))
        self.snap = replace(self.snap, legs=(legs[0], legs[1]))

    def send(self, order_id: int) -> None:
        order = self.order(order_id)
        assert self.now - order.written_at <= TIMING.quote_ttl, "sent late"
        assert order.sent_at is None
        self.sends[order_id] = self.sends.get(order_id, 0) + 1
        self.change(order, state=OrderState.SENDING, sent_at=self.now)
        order = self.order(order_id)
        fate = "fill" if self.calm else self.draw.draw(st.sampled_from(FATES), label=f"fate {order_id}")
        lot = self.snap.legs[order.leg].lot
        part = floor_to(order.qty / 2, lot)
        truths = {
            "fill": (order.qty, OrderState.FILLED),
            "part": (part, OrderState.CANCELED if part < order.qty else OrderState.FILLED),
            "none": (Decimal(0), OrderState.CANCELED),
            "reject": (Decimal(0), OrderState.REJECTED_DEFINITE),
            "lost_filled": (order.qty, OrderState.FILLED),
            "lost_none": (Decimal(0), OrderState.CANCELED),
            "lost_never": (Decimal(0), OrderState.RESOLVED_ABSENT),
            "die_before": (Decimal(0), OrderState.RESOLVED_ABSENT),
            "die_after": (order.qty, OrderState.FILLED),
        }
        self.truth[order_id] = truths[fate]
        if order.resting and fate in {"fill", "part", "none"}:
            self.change(self.order(order_id), state=OrderState.ACKED)
        elif fate.startswith("lost"):
            self.change(order, state=OrderState.UNKNOWN)
        elif not fate.startswith("die"):
            self.settle(order_id)

    def settle(self, order_id: int) -> None:
        filled, state = self.truth[order_id]
        self.change(self.order(order_id), filled=filled, state=state)

    def read(self, order_id: int, *, cancel: bool) -> None:
        order = self.order(order_id)
        if order.state is OrderState.ACKED and not cancel:
            self.change(order, read_at=self.now)
            return
        self.change(order, read_at=self.now)
        absent = self.truth[order_id][1] is OrderState.RESOLVED_ABSENT
        too_early = absent and self.now - (order.sent_at or self.now) < timedelta(seconds=6)
        silent = not self.calm and self.draw.draw(st.booleans(), label="venue silent")
        if not silent and not too_early:
            self.settle(order_id)

    def ways(self) -> Ways | None:
        name = "reverse" if self.calm else self.draw.draw(st.sampled_from(sorted(WAYS)), label="ways")
        return WAYS[name]

    def force(self, leg_index: int, qty: Decimal) -> None:
        """The venue closes so much of a leg by itself: a row that is written filled."""
        leg = self.snap.legs[leg_index]
        order = OrderView(
            *(self.next_id, leg_index, leg.next_attempt, Purpose.FORCED, qty, qty, OrderState.FILLED, False),
            *(self.now, self.now),
        )
        self.next_id += 1
        legs = list(self.snap.legs)
        legs[leg_index] = replace(leg, orders=(*leg.orders, order))
        self.snap = replace(self.snap, legs=(legs[0], legs[1]))

    def maybe_force(self) -> None:
        """Only what really is open at the venue: of a leg with nothing in doubt."""
        if self.calm or self.draw.draw(st.integers(0, 29), label="liquidated"):
            return
        leg = self.snap.legs[self.draw.draw(st.integers(0, 1), label="leg")]
        if leg.open_qty and all(o.state.terminal for o in leg.orders):
            whole = self.draw.draw(st.booleans(), label="whole")
            self.force(leg.index, leg.open_qty if whole else floor_to(leg.open_qty / 2, leg.lot) or leg.lot)

    def observe(self, order_id: int) -> None:
        """The venue's position shows the truth, or cannot be read."""
        seen = None
        if self.calm or self.draw.draw(st.booleans(), label="position unreadable") is False:
            seen = self.truth[order_id][0]
        self.change(self.order(order_id), observed=seen, observed_at=self.now)

    def apply(self, decision: es.Decision) -> bool:
        """False when there is nothing more to do."""
        match decision:
            case es.Rest():
                return False
            case es.Wait(until=until):
                assert until > self.now - timedelta(seconds=1)
                self.now = max(until, self.now + timedelta(milliseconds=1))
            case es.Move(to=to):
                assert to in es.LEGAL[self.snap.state], (self.snap.state, to)
                self.moves.append(to)
                closing = self.snap.closing and to not in es.FINAL | es.RESTING
                if to is E.QUARANTINED and self.snap.state is E.CLOSING:
                    closing = False
                since = self.now if to in {E.IMBALANCED, E.CLOSING} else self.snap.since
                self.snap = replace(self.snap, state=to, closing=closing, since=since)
            case es.Discard(orders=ids):
                for i in ids:
                    self.change(self.order(i), state=OrderState.DISCARDED)
            case es.Doubt(orders=ids):
                for i in ids:
                    self.change(self.order(i), state=OrderState.UNKNOWN)
            case es.Send(orders=ids):
                for i in ids:
                    self.send(i)
            case es.Read(orders=ids, cancel=cancel):
                for i in ids:
                    self.read(i, cancel=cancel)
            case es.Appraise():
                self.snap = replace(self.snap, ways=self.ways())
            case es.Observe(orders=ids):
                for i in ids:
                    self.observe(i)
            case tuple() as writes:
                for w in writes:
                    self.write(w.leg, w.purpose, w.qty, w.attempt)
                self.snap = replace(self.snap, ways=None)  # a price is good for one order
        self.now += timedelta(milliseconds=5)
        return True

    def watch(self) -> None:
        naked = self.snap.legs[0].open_qty != self.snap.legs[1].open_qty
        since = (self.snap.naked_since or self.now) if naked else None
        self.snap = replace(self.snap, naked_since=since)

    def run(self, limit: int = 800) -> None:
        for _ in range(limit):
            if not self.calm and self.draw.draw(st.integers(0, 9), label="pause") == 0:
                self.now += timedelta(seconds=self.draw.draw(st.integers(0, 8), label="seconds"))
            for leg in self.snap.legs:
                assert Decimal(0) <= leg.open_qty <= leg.target
            self.watch()
            self.maybe_force()
            if not self.calm and self.draw.draw(st.integers(0, 49), label="close asked for") == 0:
                self.snap = replace(self.snap, closing=self.snap.state not in es.FINAL)
            if not self.apply(es.decide(self.snap, timing=TIMING, now=self.now)):
                return
        pytest.fail(f"never rests: {self.snap.state} {self.moves[-6:]}")


def snapshot(
    *,
    policy: Policy = Policy.SIMULTANEOUS,
    lots: tuple[str, str] = ("0.001", "0.01"),
    target: str = "0.05",
    blocked: bool = False,
) -> Snapshot:
    legs = [
        LegView(i, side, Decimal(target), Decimal(lot), Decimal(lot), ())
        for i, (side, lot) in enumerate(zip((Side.BUY, Side.SELL), lots, strict=True))
    ]
    return Snapshot(E.ARMED, policy, 0, False, Decimal(0), blocked, None, (legs[0], legs[1]))


def armed(draw: st.DataObject, snap: Snapshot, *, resting: bool = False) -> World:
    world = World(snap, draw, resting=resting)
    for leg in snap.legs if snap.policy is Policy.SIMULTANEOUS else snap.legs[:1]:
        world.write(leg.index, Purpose.OPEN, leg.target, 1)
    return world


def assert_safe(snap: Snapshot) -> None:
    long, short = (leg.open_qty for leg in snap.legs)
    if snap.state in {E.SETTLED, E.ABORTED_CLEAN, E.FLAT_AFTER_RESCUE}:
        assert long == short == 0
    elif snap.state is E.BALANCED:
        assert long == short > 0
    elif snap.state is E.RESIDUAL_HELD:
        assert abs(long - short) < max(leg.min_qty for leg in snap.legs)
    else:
        assert snap.state is E.QUARANTINED


@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    policy=st.sampled_from(list(Policy)),
    lots=st.sampled_from([("0.001", "0.01"), ("0.01", "0.001"), ("0.001", "0.001")]),
)
def test_any_sequence_ends_safe_and_a_close_settles_it(
    data: st.DataObject, policy: Policy, lots: tuple[str, str]
) -> None:
    world = armed(data, snapshot(policy=policy, lots=lots), resting=data.draw(st.booleans(), label="resting"))
    world.run()
    assert_safe(world.snap)
    assert all(count == 1 for count in world.sends.values())
    if world.snap.state in es.CLOSABLE:
        world.snap = replace(world.snap, closing=True)
        world.run()
        assert_safe(world.snap)
        world.calm = True
        if world.snap.state in es.CLOSABLE:
            world.snap = replace(world.snap, closing=True)
            world.run()
            assert world.snap.state is E.SETTLED


class Scripted:
    """Stands in for hypothesis' data object: gives the fates in order, and a calm world otherwise."""

    def __init__(self, *fates: str) -> None:
        self.fates = list(fates)

    ways = "reverse"

    def draw(self, _strategy: object, label: str = "") -> object:
        if label.startswith("fate"):
            return self.fates.pop(0) if self.fates else "fill"
        if label == "ways":
            return self.ways
        return 1 if label in {"pause", "liquidated", "close asked for"} else False


class Silent(Scripted):
    """A venue that never answers a question about an order."""

    def draw(self, strategy: object, label: str = "") -> object:
        return True if label == "venue silent" else super().draw(strategy, label)


def outcome(*fates: str, policy: Policy = Policy.SIMULTANEOUS, blocked: bool = False) -> World:
    world = armed(Scripted(*fates), snapshot(policy=policy, blocked=blocked))  # type: ignore[arg-type]
    world.run()
    return world


@pytest.mark.parametrize(
    ("fates", "state"),
    [
        (("fill", "fill"), E.BALANCED),
        (("none", "none"), E.ABORTED_CLEAN),
        (("reject", "reject"), E.ABORTED_CLEAN),
        (("fill", "reject"), E.FLAT_AFTER_RESCUE),
        (("reject", "fill"), E.FLAT_AFTER_RESCUE),
        (("fill", "lost_filled"), E.BALANCED),
        (("fill", "lost_never"), E.FLAT_AFTER_RESCUE),
        (("fill", "die_before"), E.FLAT_AFTER_RESCUE),
        (("fill", "die_after"), E.BALANCED),
        (("part", "fill"), E.BALANCED),
        (("fill", "reject", "none", "part"), E.FLAT_AFTER_RESCUE),
    ],
)
def test_how_each_pair_of_answers_ends(fates: tuple[str, ...], state: E) -> None:
    world = outcome(*fates)
    assert world.snap.state is state
    assert_safe(world.snap)


def test_a_rescue_never_opens_and_is_written_only_after_every_order_is_settled() -> None:
    world = outcome("fill", "lost_never")
    assert world.moves == [
        E.WORKING,
        E.UNKNOWN,
        E.IMBALANCED,
        E.RESCUE_REVERSE,
        E.FLAT_AFTER_RESCUE,
    ]
    assert [o.purpose for o in world.snap.legs[0].orders] == [Purpose.OPEN, Purpose.REVERSE]


class Cheap(Scripted):
    """Completing is the cheaper way."""

    ways = "proceed"


def test_the_cheaper_way_completes_the_missing_leg() -> None:
    world = armed(Cheap("fill", "reject"), snapshot())  # type: ignore[arg-type]
    world.run()
    assert world.snap.state is E.BALANCED
    assert world.moves == [E.WORKING, E.IMBALANCED, E.RESCUE_PROCEED, E.BALANCED]
    assert [o.purpose for o in world.snap.legs[1].orders] == [Purpose.OPEN, Purpose.PROCEED]
    assert world.snap.legs[1].open_qty == world.snap.legs[0].open_qty


def test_completing_is_judged_anew_before_each_order() -> None:
    """A part of it fills, then the price runs away: the rest is reversed."""
    world = armed(Cheap("fill", "reject", "part"), snapshot(lots=("0.001", "0.001")))  # type: ignore[arg-type]
    for _ in range(30):
        world.apply(es.decide(world.snap, timing=TIMING, now=world.now))
        if any(o.purpose is Purpose.PROCEED and o.filled for o in world.snap.orders):
            world.draw.ways = "too dear"  # type: ignore[attr-defined]
    world.run()
    assert world.moves[-3:] == [E.RESCUE_PROCEED, E.RESCUE_REVERSE, E.BALANCED]
    assert world.snap.legs[0].open_qty == world.snap.legs[1].open_qty == Decimal("0.025")


@pytest.mark.parametrize(
    "changes",
    [
        {"reducing_only": True},
        {"ordered": Rescue.REVERSE},
        {"naked_since": START - timedelta(seconds=11)},
    ],
)
def test_a_rescue_that_only_reverses(changes: dict[str, object]) -> None:
    world = armed(Cheap("fill", "reject"), snapshot())  # type: ignore[arg-type]
    for _ in range(20):
        if world.snap.state is E.IMBALANCED:
            world.snap = replace(world.snap, **changes)  # type: ignore[arg-type]
            break
        world.apply(es.decide(world.snap, timing=TIMING, now=world.now))
    world.run()
    assert E.RESCUE_PROCEED not in world.moves
    assert world.snap.state is E.FLAT_AFTER_RESCUE


def test_completing_that_never_fills_ends_in_reversing() -> None:
    world = armed(Cheap("fill", *["none"] * 7), snapshot())  # type: ignore[arg-type]
    world.run()
    assert world.moves[-3:] == [E.RESCUE_PROCEED, E.RESCUE_REVERSE, E.FLAT_AFTER_RESCUE]


def test_what_is_naked_whatever_the_unknown_order_did_is_hedged_at_once() -> None:
    """Long 0.05; short 0.025 filled, and an order for the other 0.025 in doubt... of which 0.02 is missing
    by its own size: the certain part does not wait for the resolver."""
    world = armed(Scripted("fill", "part"), snapshot(lots=("0.001", "0.001")))  # type: ignore[arg-type]
    for _ in range(2):
        world.apply(es.decide(world.snap, timing=TIMING, now=world.now))
    world.write(1, Purpose.PROCEED, Decimal("0.005"), 2)
    world.change(world.order(3), state=OrderState.SENDING, sent_at=world.now)
    world.change(world.order(3), state=OrderState.UNKNOWN)
    world.snap = replace(world.snap, state=E.UNKNOWN)
    (write,) = es.decide(world.snap, timing=TIMING, now=world.now)  # type: ignore[misc]
    assert (write.leg, write.purpose, write.qty) == (0, Purpose.REVERSE, Decimal("0.020"))


@pytest.mark.parametrize(("fate", "hedged"), [("lost_filled", False), ("lost_never", True)])
def test_a_quarantined_order_is_hedged_by_the_position_that_the_venue_shows(fate: str, hedged: bool) -> None:
    world = armed(Silent("fill", fate), snapshot(lots=("0.001", "0.001")))  # type: ignore[arg-type]
    for _ in range(400):
        world.apply(es.decide(world.snap, timing=TIMING, now=world.now))
    assert world.snap.state is E.QUARANTINED
    assert any(o.state is OrderState.UNKNOWN for o in world.snap.orders)
    assert (world.snap.legs[0].open_qty == 0) is hedged
    world.calm = True
    world.run()
    assert world.snap.state is (E.FLAT_AFTER_RESCUE if hedged else E.BALANCED)


@pytest.mark.parametrize("leg", [0, 1])
@pytest.mark.parametrize("qty", ["0.05", "0.03"])
def test_a_leg_that_the_venue_closed_is_hedged_out(leg: int, qty: str) -> None:
    """Never by opening it again, however cheap that would be."""
    world = armed(Cheap("fill", "fill"), snapshot(lots=("0.001", "0.001")))  # type: ignore[arg-type]
    world.run()
    assert world.snap.state is E.BALANCED
    world.force(leg, Decimal(qty))
    world.run()
    long, short = (each.open_qty for each in world.snap.legs)
    assert long == short == Decimal("0.05") - Decimal(qty)
    assert world.moves[-3:-1] == [E.IMBALANCED, E.RESCUE_REVERSE]
    assert not any(o.purpose is Purpose.PROCEED for o in world.snap.orders)


def test_both_legs_closed_by_their_venues() -> None:
    world = armed(Scripted("fill", "fill"), snapshot())  # type: ignore[arg-type]
    world.run()
    world.force(0, Decimal("0.05"))
    world.force(1, Decimal("0.05"))
    world.run()
    assert world.snap.state is E.FLAT_AFTER_RESCUE


def test_a_close_in_mid_flight_cancels_what_rests_and_takes_out_what_filled() -> None:
    """Early stop with one leg live: at once, not after the order's time."""
    world = armed(Scripted("fill", "part"), snapshot(), resting=True)  # type: ignore[arg-type]
    world.apply(es.decide(world.snap, timing=TIMING, now=world.now))
    world.apply(es.decide(world.snap, timing=TIMING, now=world.now))
    assert {o.state for o in world.snap.orders} == {OrderState.ACKED}
    world.snap = replace(world.snap, closing=True)
    world.run()
    assert world.snap.state is E.SETTLED
    assert world.now - START < timedelta(seconds=1)


def test_a_close_before_anything_was_sent() -> None:
    world = armed(Scripted(), snapshot())  # type: ignore[arg-type]
    world.snap = replace(world.snap, closing=True)
    world.run()
    assert (world.snap.state, world.sends) == (E.ABORTED_CLEAN, {})


def test_hold_before_anything_was_sent_aborts_clean() -> None:
    world = outcome(blocked=True)
    assert world.snap.state is E.ABORTED_CLEAN
    assert world.sends == {}


def test_hold_in_mid_flight_still_hedges_the_filled_leg() -> None:
    world = armed(Scripted("fill", "fill"), snapshot(policy=Policy.HARD_LEG_FIRST))  # type: ignore[arg-type]
    for _ in range(3):  # move to WORKING, send the hard leg, write the hedge
        world.apply(es.decide(world.snap, timing=TIMING, now=world.now))
    world.snap = replace(world.snap, opening_blocked=True)
    world.run()
    assert world.snap.state is E.BALANCED


def test_hard_leg_first_sizes_the_hedge_by_what_was_filled() -> None:
    world = outcome("part", "fill", policy=Policy.HARD_LEG_FIRST)
    easy = world.snap.legs[1]
    assert [o.qty for o in easy.orders] == [Decimal("0.02")]  # 0.025 filled, lot 0.01
    assert world.snap.state is E.BALANCED
    assert world.snap.legs[0].open_qty == Decimal("0.02")


def test_an_intent_that_outlived_its_quote_is_never_sent() -> None:
    world = armed(Scripted(), snapshot())  # type: ignore[arg-type]
    world.now += TIMING.quote_ttl + timedelta(seconds=1)
    world.run()
    assert world.sends == {}
    assert world.snap.state is E.ABORTED_CLEAN


def test_an_order_unknown_for_too_long_is_quarantined_and_still_asked_for() -> None:
    world = armed(Scripted("fill", "lost_filled"), snapshot())  # type: ignore[arg-type]
    world.draw = Silent("fill", "lost_filled")  # type: ignore[assignment]
    for _ in range(300):
        world.apply(es.decide(world.snap, timing=TIMING, now=world.now))
        if world.snap.state is E.QUARANTINED:
            break
    assert world.snap.state is E.QUARANTINED
    world.calm = True
    world.run()
    assert world.moves[-1] is E.BALANCED


def test_of_two_legs_written_a_millisecond_apart_none_goes_out_alone() -> None:
    world = armed(Scripted(), snapshot())  # type: ignore[arg-type]
    world.change(world.order(2), written_at=START + timedelta(milliseconds=1))
    at = START + TIMING.quote_ttl + timedelta(microseconds=500)
    assert es.decide(world.snap, timing=TIMING, now=at) == es.Discard(
        (1, 2), "older than the quote it was priced on"
    )


def test_rounds_are_paced_when_a_venue_refuses_at_once() -> None:
    """refresh · 1, 2, 4, … between them: six refusals take over a second, not a few milliseconds."""
    world = armed(Scripted(), snapshot())  # type: ignore[arg-type]
    world.draw = Scripted("fill", "reject", *["reject"] * 6)  # type: ignore[assignment]
    world.run()
    assert world.snap.state is E.QUARANTINED
    written = [o.written_at for o in world.snap.legs[0].orders if o.purpose is Purpose.REVERSE]
    gaps = [(b - a) / TIMING.refresh for a, b in pairwise(written)]
    assert [round(gap) for gap in gaps] == [1, 2, 4, 8, 16]


def test_an_acknowledged_order_that_cannot_be_read_is_asked_for_ever_more_rarely() -> None:
    asked = START + TIMING.send_timeout
    pauses = []
    for seconds in (0, 2, 10, 60):
        read_at = asked + timedelta(seconds=seconds)
        order = OrderView(
            *(1, 0, 1, Purpose.OPEN, Decimal(1), Decimal(0), OrderState.ACKED, False, START, START, read_at)
        )
        snap = snapshot()
        legs = (replace(snap.legs[0], orders=(order,)), snap.legs[1])
        decided = es.decide(replace(snap, state=E.QUARANTINED, legs=legs), timing=TIMING, now=read_at)
        assert isinstance(decided, es.Wait)
        pauses.append((decided.until - read_at).total_seconds())
    assert pauses == [0.05, 1, 5, 8]
