"""The risk gate's decision: aggregates and an intent in, a verdict out (spec 3.4). No clock, no rows.

A cap is data: a name, a refusal code and what it measures. A limit puts a value on a cap at one level, as in
`desk`, `venue:okx`, `instrument:okx:BTC/USDT:USDT` or `strategy:capture`; every limit of every level that the
intent touches must pass, so several limits on one cap come to the lowest. The cost is the same however many
orders are open: the snapshot holds sums.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

ZERO, BPS = Decimal(0), Decimal(10_000)
DESK = "desk"

Key = tuple[str, str]  # venue, symbol


@dataclass(frozen=True, slots=True)
class LegIntent:
    """qty: signed base coin, a buy above 0. price: the order's own limit, quote currency."""

    venue: str
    symbol: str
    qty: Decimal
    price: Decimal

    @property
    def key(self) -> Key:
        return self.venue, self.symbol

    @property
    def levels(self) -> tuple[str, ...]:
        return DESK, f"venue:{self.venue}", f"instrument:{self.venue}:{self.symbol}"


@dataclass(frozen=True, slots=True)
class OrderIntent:
    """All legs pass or none. levels: what else it belongs to, such as `strategy:capture` or
    `operator:anna`. edge_bps: what it promises, None where it promises nothing. repeats: executions of the
    same pair and direction in the last hour; alike: orders just like one of its legs in the last minute."""

    legs: tuple[LegIntent, ...]
    levels: tuple[str, ...] = ()
    edge_bps: Decimal | None = None
    repeats: int = 0
    alike: int = 0


@dataclass(frozen=True, slots=True)
class InstrumentState:
    """One (venue, symbol). net: base coin, signed. working_*: base coin of orders working or in flight, >= 0.

    mark_price: quote currency, None when there is no fresh one.
    """

    net: Decimal = ZERO
    working_buy: Decimal = ZERO
    working_sell: Decimal = ZERO
    mark_price: Decimal | None = None

    @property
    def counted(self) -> bool:
        """Already among the open or the reserved positions."""
        return bool(self.net or self.working_buy or self.working_sell)

    def reduced_by(self, qty: Decimal) -> bool:
        """Whether an order of signed `qty` can only bring |net| down, never past 0, even if all that is
        working on its side fills first. Judged by quantity: no flag of the order is believed."""
        if not qty or qty * self.net >= 0:
            return False
        working = self.working_sell if qty < 0 else self.working_buy
        return abs(qty) + working <= abs(self.net)


UNKNOWN_INSTRUMENT = InstrumentState()


@dataclass(frozen=True, slots=True)
class Exposure:
    """Sums of one level. Notionals: gross quote currency (USDT), positions at mark, reservations worst case.
    A position without a fresh mark makes position_notional infinite: then nothing opens at that level.

    open_positions: instruments with a net; reserved_positions: flat instruments with a working opening order.
    deltas: by symbol, signed USDT over all venues of the level. equity, daily_loss: USDT, None where it is
    not known. orders, cancels, collar_bps: sums of the last minute. gap_bps: the jump of one
    instrument alone that the stress figure supposes.
    """

    position_notional: Decimal = ZERO
    reserved_notional: Decimal = ZERO
    open_positions: int = 0
    reserved_positions: int = 0
    deltas: Mapping[str, Decimal] = field(default_factory=dict)
    equity: Decimal | None = None
    daily_loss: Decimal | None = None
    orders: int = 0
    cancels: int = 0
    collar_bps: Decimal = ZERO
    gap_bps: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """exposures: by level; `desk` must be there. instruments: at least those of the intent."""

    exposures: Mapping[str, Exposure]
    instruments: Mapping[Key, InstrumentState]

    def instrument(self, key: Key) -> InstrumentState:
        return self.instruments.get(key, UNKNOWN_INSTRUMENT)


@dataclass(slots=True)
class Addition:
    """What the opening legs of an intent add to one level.

    deltas: by symbol, signed USDT. largest_*: of a single leg. collar_bps: how far the legs' limits reach
    beyond the mark, together and the furthest. held_after: the largest |position| in USDT on one instrument.
    """

    intent: OrderIntent
    notional: Decimal = ZERO
    positions: int = 0
    orders: int = 0
    deltas: dict[str, Decimal] = field(default_factory=dict)
    largest_notional: Decimal = ZERO
    largest_qty: Decimal = ZERO
    collar_bps: Decimal = ZERO
    largest_collar_bps: Decimal = ZERO
    held_after: Decimal = ZERO


Measure = Callable[[Exposure, Addition], Decimal | int | None]


@dataclass(frozen=True, slots=True)
class Cap:
    """measure: the level's figure if the intent were let through, None where it cannot be told: that denies.
    A limit is the largest figure that passes."""

    name: str
    reason: str
    measure: Measure


def _notional_after(now: Exposure, adds: Addition) -> Decimal:
    return now.position_notional + now.reserved_notional + adds.notional


def _positions_after(now: Exposure, adds: Addition) -> int:
    return now.open_positions + now.reserved_positions + adds.positions


def _delta_after(now: Exposure, adds: Addition) -> Decimal:
    """The largest of the coins that the intent touches; a pair adds as much as it takes away."""
    return max(
        (abs(now.deltas.get(symbol, ZERO) + delta) for symbol, delta in adds.deltas.items()), default=ZERO
    )


def _leverage_after(now: Exposure, adds: Addition) -> Decimal | None:
    if now.equity is None or now.equity <= 0:
        return None
    return _notional_after(now, adds) / now.equity


def _stress_after(now: Exposure, adds: Addition) -> Decimal | None:
    """What a gap on one instrument costs while the other leg stands still."""
    return None if now.gap_bps is None else adds.held_after * now.gap_bps / BPS


MAX_TOTAL_NOTIONAL = Cap("max_total_notional_usdt", "risk.max_notional", _notional_after)
MAX_OPEN_POSITIONS = Cap("max_open_positions", "risk.max_open_positions", _positions_after)
MAX_ORDER_NOTIONAL = Cap(
    "max_order_notional_usdt", "risk.max_order_notional", lambda _, a: a.largest_notional
)
MAX_ORDER_QTY = Cap("max_order_qty", "risk.max_order_qty", lambda _, a: a.largest_qty)
MAX_DELTA = Cap("max_delta_usdt", "risk.max_delta", _delta_after)
MAX_LEVERAGE = Cap("max_leverage", "risk.max_leverage", _leverage_after)
MAX_DAILY_LOSS = Cap("max_daily_loss_usdt", "risk.daily_loss", lambda now, _: now.daily_loss)
MAX_ORDERS = Cap("max_orders_per_min", "risk.order_rate", lambda now, a: now.orders + a.orders)
MAX_CANCELS = Cap("max_cancels_per_min", "risk.cancel_rate", lambda now, _: now.cancels)
MAX_COLLAR = Cap("max_collar_bps", "risk.collar", lambda _, a: a.largest_collar_bps)
MAX_COLLAR_SUM = Cap(
    "max_collar_bps_per_min", "risk.collar_sum", lambda now, a: now.collar_bps + a.collar_bps
)
MAX_EDGE = Cap("max_edge_bps", "risk.implausible_edge", lambda _, a: a.intent.edge_bps or ZERO)
MAX_REPEATS = Cap("max_repeats_per_hour", "risk.repeated", lambda _, a: a.intent.repeats + 1)
MAX_ALIKE = Cap("max_alike_per_min", "risk.duplicate", lambda _, a: a.intent.alike + 1)
MAX_STRESS = Cap("max_stress_loss_usdt", "risk.stress", _stress_after)
CAPS = {
    cap.name: cap
    for cap in (
        MAX_TOTAL_NOTIONAL,
        MAX_OPEN_POSITIONS,
        MAX_ORDER_NOTIONAL,
        MAX_ORDER_QTY,
        MAX_DELTA,
        MAX_LEVERAGE,
        MAX_DAILY_LOSS,
        MAX_ORDERS,
        MAX_CANCELS,
        MAX_COLLAR,
        MAX_COLLAR_SUM,
        MAX_EDGE,
        MAX_REPEATS,
        MAX_ALIKE,
        MAX_STRESS,
    )
}
#: Without these on the desk nothing opens (FIA 2024 §1.1: no limit set, no order).
REQUIRED = (MAX_TOTAL_NOTIONAL, MAX_OPEN_POSITIONS)


@dataclass(frozen=True, slots=True)
class Limit:
    """The largest `cap` figure allowed at `level`. value None: the operator has set none; it denies."""

    cap: Cap
    value: Decimal | None
    level: str = DESK
    has_value: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "has_value", self.value is not None and self.value.is_finite())


@dataclass(frozen=True, slots=True)
class Decision:
    """reason: `ok`, `disabled`, `reducing`, or the code of the refusal. detail: figures for the operator."""

    allowed: bool
    reason: str
    cap: str | None = None
    detail: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """`{"allowed", "reason"}`, with `cap` and `detail` where there is something to say."""
        body: dict[str, object] = {"allowed": self.allowed, "reason": self.reason}
        if self.cap is not None:
            body["cap"] = self.cap
        if self.detail:
            body["detail"] = dict(self.detail)
        return body


class RiskGovernor:
    """The caps in force: of several limits on one cap at one level the lowest, one without a value first.
    Built anew whenever one changes; immutable, so a decision reads one set of limits."""

    __slots__ = ("_by_level", "_judged", "_only_desk", "_unset", "enabled")

    def __init__(self, limits: Iterable[Limit] = (), *, enabled: bool = True) -> None:
        lowest: dict[str, dict[str, Limit]] = {}
        for limit in limits:
            known = lowest.setdefault(limit.level, {}).get(limit.cap.name)
            if known is None or (known.has_value and not (limit.has_value and limit.value >= known.value)):  # type: ignore[operator]
                lowest[limit.level][limit.cap.name] = limit
        self._by_level = {level: tuple(found.values()) for level, found in lowest.items()}
        self._judged = {
            level: tuple(
                (limit.cap.measure, limit.value if limit.has_value else None, limit.cap) for limit in found
            )
            for level, found in self._by_level.items()
        }
        self._only_desk = self._by_level.keys() <= {DESK}
        self._unset = next((cap for cap in REQUIRED if cap.name not in lowest.get(DESK, {})), None)
        self.enabled = enabled

    def at(self, level: str) -> tuple[Limit, ...]:
        return self._by_level.get(level, ())

    def judged(self, level: str) -> tuple[tuple[Measure, Decimal | None, Cap], ...]:
        """What is measured at this level and the largest figure that passes, ready to be looped over."""
        return self._judged.get(level, ())

    @property
    def levels(self) -> frozenset[str]:
        return frozenset(self._by_level)

    def unset(self) -> Cap | None:
        """The first required cap that the desk says nothing about."""
        return self._unset

    def touched(self, legs: list[LegIntent], shared: tuple[str, ...]) -> dict[str, list[LegIntent]]:
        """Levels with limits that these legs belong to, the desk first; each sees its own legs only."""
        if self._only_desk:
            return {DESK: legs}
        levels: dict[str, list[LegIntent]] = {}
        for leg in legs:
            for level in dict.fromkeys(leg.levels + shared):
                if level in self._by_level:
                    levels.setdefault(level, []).append(leg)
        return levels


def decide(snapshot: Snapshot, intent: OrderIntent, governor: RiskGovernor) -> Decision:
    """Whether the whole intent may go out. Fails closed for anything that opens: no limit, no fresh mark,
    figures that are no numbers. What only reduces passes, with no floors, headroom or prices asked."""
    if not governor.enabled:
        return Decision(allowed=True, reason="disabled")
    if fault := _fault(intent):
        return _denied("risk.bad_intent", detail={"fault": fault})
    opening = [leg for leg in intent.legs if not snapshot.instrument(leg.key).reduced_by(leg.qty)]
    if not opening:
        return Decision(allowed=True, reason="reducing")
    return (
        _unpriceable(snapshot, opening, governor) or _over_limit(snapshot, opening, intent, governor) or _OK
    )


_OK = Decision(allowed=True, reason="ok")


def _denied(reason: str, *, cap: str | None = None, detail: Mapping[str, str] | None = None) -> Decision:
    return Decision(allowed=False, reason=reason, cap=cap, detail=detail or {})


def _fault(intent: OrderIntent) -> str | None:
    if not intent.legs:
        return "no legs"
    if len({leg.key for leg in intent.legs}) < len(intent.legs):
        return "two legs on one instrument"
    if not all(_sane(leg) for leg in intent.legs):
        return "a quantity or a price that is no number, or not above zero"
    return None


def _unpriceable(snapshot: Snapshot, opening: list[LegIntent], governor: RiskGovernor) -> Decision | None:
    if (unset := governor.unset()) is not None:
        return _denied("risk.no_limit", cap=unset.name)
    for leg in opening:
        if not _priced(snapshot.instrument(leg.key).mark_price):
            return _denied("risk.no_price", detail={"instrument": ":".join(leg.key)})
    return None


def _sane(leg: LegIntent) -> bool:
    return leg.qty.is_finite() and leg.qty != 0 and leg.price.is_finite() and leg.price > 0


def _priced(mark: Decimal | None) -> bool:
    return mark is not None and mark.is_finite() and mark > 0


def _over_limit(
    snapshot: Snapshot, opening: list[LegIntent], intent: OrderIntent, governor: RiskGovernor
) -> Decision | None:
    for level, legs in governor.touched(opening, intent.levels).items():
        exposure = snapshot.exposures.get(level)
        if exposure is None:
            return _denied("risk.no_data", detail={"level": level})
        if not exposure.position_notional.is_finite():
            return _denied("risk.no_price", detail={"level": level})
        adds = _addition(snapshot, intent, legs)
        for measure, value, cap in governor.judged(level):
            if value is None:
                return _denied("risk.no_limit", cap=cap.name, detail={"level": level})
            after = measure(exposure, adds)
            if after is None:
                return _denied("risk.no_data", cap=cap.name, detail={"level": level})
            if after > value:
                figures = {"level": level, "limit": f"{value:f}", "after": f"{after:f}"}
                return _denied(cap.reason, cap=cap.name, detail=figures)
    return None


def _addition(snapshot: Snapshot, intent: OrderIntent, legs: list[LegIntent]) -> Addition:
    adds = Addition(intent)
    for leg in legs:
        state, signed, price = snapshot.instrument(leg.key), leg.qty, leg.price
        mark, qty = state.mark_price or price, abs(signed)
        notional = qty * max(price, mark)
        adds.notional += notional
        adds.positions += not state.counted
        adds.orders += 1
        adds.deltas[leg.symbol] = adds.deltas.get(leg.symbol, ZERO) + signed * mark
        adds.largest_notional = max(adds.largest_notional, notional)
        adds.largest_qty = max(adds.largest_qty, qty)
        adds.held_after = max(adds.held_after, abs(state.net + signed) * mark)
        beyond = price - mark if signed > 0 else mark - price
        if beyond > 0:
            collar = beyond * BPS / mark
            adds.collar_bps += collar
            adds.largest_collar_bps = max(adds.largest_collar_bps, collar)
    return adds


def worst_notional(leg: LegIntent, mark_price: Decimal | None) -> Decimal:
    """Gross USDT of a leg: at mark, or at its own limit where that is dearer. This is what to reserve."""
    return abs(leg.qty) * max(leg.price, mark_price or ZERO)
