"""The risk gate's decision: aggregates and an intent in, a verdict out (spec 3.4). No clock, no rows.

A cap is data: a name, a refusal code and what it measures. A limit puts a value on a cap at one level, as in
`desk`, `venue:okx`, `instrument:okx:BTC/USDT:USDT` or `strategy:capture`; every limit of every level that the
intent touches must pass, so several limits on one cap come to the lowest. The cost is the same however many
orders are open: the snapshot holds sums.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

ZERO = Decimal(0)
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
    `operator:anna`."""

    legs: tuple[LegIntent, ...]
    levels: tuple[str, ...] = ()


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
    """

    position_notional: Decimal = ZERO
    reserved_notional: Decimal = ZERO
    open_positions: int = 0
    reserved_positions: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """exposures: by level; `desk` must be there. instruments: at least those of the intent."""

    exposures: Mapping[str, Exposure]
    instruments: Mapping[Key, InstrumentState]

    def instrument(self, key: Key) -> InstrumentState:
        return self.instruments.get(key, UNKNOWN_INSTRUMENT)


@dataclass(frozen=True, slots=True)
class Addition:
    """What the opening legs of an intent add to one level."""

    notional: Decimal
    positions: int


@dataclass(frozen=True, slots=True)
class Cap:
    """measure: the level's figure if the intent were let through. A limit is the largest figure that
    passes."""

    name: str
    reason: str
    measure: Callable[[Exposure, Addition], Decimal]


def _notional_after(now: Exposure, adds: Addition) -> Decimal:
    return now.position_notional + now.reserved_notional + adds.notional


def _positions_after(now: Exposure, adds: Addition) -> Decimal:
    return Decimal(now.open_positions + now.reserved_positions + adds.positions)


MAX_TOTAL_NOTIONAL = Cap("max_total_notional_usdt", "risk.max_notional", _notional_after)
MAX_OPEN_POSITIONS = Cap("max_open_positions", "risk.max_open_positions", _positions_after)
#: Without these on the desk nothing opens (FIA 2024 §1.1: no limit set, no order).
REQUIRED = (MAX_TOTAL_NOTIONAL, MAX_OPEN_POSITIONS)


@dataclass(frozen=True, slots=True)
class Limit:
    """The largest `cap` figure allowed at `level`. value None: the operator has set none; it denies."""

    cap: Cap
    value: Decimal | None
    level: str = DESK


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
    """The caps in force. Built anew whenever one changes; immutable, so a decision reads one set of
    limits."""

    __slots__ = ("_by_level", "enabled")

    def __init__(self, limits: Iterable[Limit] = (), *, enabled: bool = True) -> None:
        by_level: dict[str, tuple[Limit, ...]] = {}
        for limit in limits:
            by_level[limit.level] = (*by_level.get(limit.level, ()), limit)
        self._by_level = by_level
        self.enabled = enabled

    def at(self, level: str) -> tuple[Limit, ...]:
        return self._by_level.get(level, ())

    def unset(self) -> Cap | None:
        """The first required cap that the desk says nothing about."""
        known = {limit.cap.name for limit in self.at(DESK)}
        return next((cap for cap in REQUIRED if cap.name not in known), None)


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
        _unpriceable(snapshot, opening, governor)
        or _over_limit(snapshot, opening, intent.levels, governor)
        or Decision(allowed=True, reason="ok")
    )


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
    snapshot: Snapshot, opening: list[LegIntent], shared: tuple[str, ...], governor: RiskGovernor
) -> Decision | None:
    for level, legs in _by_level(opening, shared).items():
        limits = governor.at(level)
        if not limits:
            continue
        exposure = snapshot.exposures.get(level)
        if exposure is None:
            return _denied("risk.no_data", detail={"level": level})
        if not exposure.position_notional.is_finite():
            return _denied("risk.no_price", detail={"level": level})
        adds = _addition(snapshot, legs)
        for limit in limits:
            if refusal := _judge(limit, exposure, adds):
                return refusal
    return None


def _by_level(opening: list[LegIntent], shared: tuple[str, ...]) -> dict[str, list[LegIntent]]:
    """Each level sees its own legs only; the desk first."""
    levels: dict[str, list[LegIntent]] = {}
    for leg in opening:
        for level in dict.fromkeys(leg.levels + shared):
            levels.setdefault(level, []).append(leg)
    return levels


def _addition(snapshot: Snapshot, legs: list[LegIntent]) -> Addition:
    adds = Addition(notional=ZERO, positions=0)
    for leg in legs:
        state = snapshot.instrument(leg.key)
        adds = Addition(
            notional=adds.notional + worst_notional(leg, state.mark_price),
            positions=adds.positions + (not state.counted),
        )
    return adds


def worst_notional(leg: LegIntent, mark_price: Decimal | None) -> Decimal:
    """Gross USDT of a leg: at mark, or at its own limit where that is dearer. This is what to reserve."""
    return abs(leg.qty) * max(leg.price, mark_price or ZERO)


def _judge(limit: Limit, exposure: Exposure, adds: Addition) -> Decision | None:
    if limit.value is None or not limit.value.is_finite():
        return _denied("risk.no_limit", cap=limit.cap.name, detail={"level": limit.level})
    after = limit.cap.measure(exposure, adds)
    if after <= limit.value:
        return None
    figures = {"level": limit.level, "limit": f"{limit.value:f}", "after": f"{after:f}"}
    return _denied(limit.cap.reason, cap=limit.cap.name, detail=figures)
