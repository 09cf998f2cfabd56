"""A closing plan: reduce-only orders out of an open pair, and what they would realise."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from trading.domain.edge import InsufficientDepthError, LegMarket, Walk, take
from trading.domain.market import Instrument, Side, TimeInForce
from trading.domain.money import BPS, ZERO, common_step, floor_to
from trading.domain.plan import (
    IMMEDIATE,
    CloseBounds,
    CloseEstimate,
    Intent,
    LimitedBy,
    Plan,
    PlanLeg,
    Style,
    UnplannableError,
)
from trading.domain.planning import collared, depth_within, hard_leg_of
from trading.domain.pnl import Position, released_cost
from trading.domain.scenarios import Drafts, LegDraft, closing_steps, rescue_scenarios

NOTHING = Walk(filled=ZERO, cost=ZERO, worst_price=ZERO)


@dataclass(frozen=True, slots=True)
class OpenLeg:
    market: LegMarket
    position: Position


def closing_plan(
    long: OpenLeg,
    short: OpenLeg,
    *,
    pair: str,
    bounds: CloseBounds,
    now: datetime,
    qty: Decimal | None = None,
    style: Style = IMMEDIATE,
) -> Plan:
    """Reduce-only orders out of both legs. qty: base coin, so much of each leg; None: all that is open.

    All of it: each leg its own quantity, also where they differ. Where the books within the collar cannot
    take it all, a slice equal on both legs, so that nothing gets less hedged. Floors of notional do not
    apply to a reduction; below a venue's smallest quantity is dust and stays as residual. A flat leg comes
    with quantity 0 and is not to be sent. Raises UnplannableError: position.none | position.sides |
    size.below_minimum | book.depth.
    """
    if long.position.net < 0 or short.position.net > 0:
        raise UnplannableError(
            "position.sides", f"{long.position.net} is not long or {short.position.net} not short"
        )
    if qty is not None and qty <= 0:
        raise ValueError(f"a quantity to close is positive, not {qty}")
    if not (long.position.net or short.position.net):
        raise UnplannableError("position.none", "both legs are flat")
    try:
        drafts, limited_by = _closing_drafts(long, short, bounds, qty)
        walks = tuple(take(d.market.book, d.side, d.qty) if d.qty else NOTHING for d in drafts)
    except InsufficientDepthError as error:
        raise UnplannableError(error.code, str(error)) from error
    hard_leg = hard_leg_of(style, short.market)
    estimate = _close_estimate(drafts, (walks[0], walks[1]), (long.position, short.position))
    return Plan(
        intent=Intent.CLOSE,
        pair=pair,
        priced_at=now,
        legs=(_close_leg(drafts[0], walks[0]), _close_leg(drafts[1], walks[1])),
        policy=style.policy,
        hard_leg=hard_leg,
        limited_by=limited_by,
        bounds=None,
        edge=None,
        exit_estimate=None,
        close_bounds=bounds,
        close=estimate,
        steps=closing_steps(drafts, policy=style.policy, hard_leg=hard_leg),
        rescue=rescue_scenarios(drafts, notional=max(walks[0].cost, walks[1].cost), closing=True),
    )


def _closing_drafts(
    long: OpenLeg, short: OpenLeg, bounds: CloseBounds, qty: Decimal | None
) -> tuple[Drafts, LimitedBy]:
    legs = (
        _exit(long, Side.SELL, bounds.max_slippage_bps),
        _exit(short, Side.BUY, bounds.max_slippage_bps),
    )
    step = common_step(long.market.instrument.lot, short.market.instrument.lot)
    wanted = [_sendable(leg.market.instrument, abs(leg.position.net), qty, step) for leg in (long, short)]
    if not any(wanted):
        raise UnplannableError("size.below_minimum", "what is left is below the venues' smallest quantities")
    limited_by = LimitedBy.POSITION if qty is None else LimitedBy.REQUEST
    room = [min(depth_within(leg), leg.market.instrument.max_qty) for leg in legs]
    if any(amount > most for amount, most in zip(wanted, room, strict=True)):
        wanted, limited_by = _matched_slice(legs, wanted, room, step), LimitedBy.DEPTH
    return (replace(legs[0], qty=wanted[0]), replace(legs[1], qty=wanted[1])), limited_by


def _exit(leg: OpenLeg, side: Side, max_slippage_bps: Decimal) -> LegDraft:
    """A flat leg needs no price, and must not keep the other one in for want of a book."""
    if leg.position.net:
        return collared(leg.market, side, max_slippage_bps)
    return LegDraft(market=leg.market, side=side, qty=ZERO, limit_price=ZERO)


def _sendable(instrument: Instrument, open_qty: Decimal, qty: Decimal | None, step: Decimal) -> Decimal:
    part = open_qty if qty is None or qty >= open_qty else floor_to(qty, step)
    on_grid = floor_to(part, instrument.lot)
    return on_grid if on_grid >= instrument.min_qty else ZERO


def _matched_slice(legs: Drafts, wanted: list[Decimal], room: list[Decimal], step: Decimal) -> list[Decimal]:
    """The same quantity out of each leg that is open: what the thinner book can take."""
    involved = [i for i in (0, 1) if wanted[i]]
    slice_qty = floor_to(min(min(wanted[i], room[i]) for i in involved), step)
    least = max(legs[i].market.instrument.min_qty for i in involved)
    if slice_qty < max(least, step):
        found = " and ".join(f"{room[i]} on {legs[i].venue}" for i in involved)
        raise UnplannableError(
            "book.depth", f"the books take {found} within the collar; the least is {least}, a step {step}"
        )
    return [slice_qty if amount else ZERO for amount in wanted]


def _close_leg(draft: LegDraft, walk: Walk) -> PlanLeg:
    return PlanLeg(
        venue=draft.venue,
        symbol=draft.market.instrument.symbol,
        side=draft.side,
        qty=draft.qty,
        limit_price=draft.limit_price,
        tif=TimeInForce.IOC,
        post_only=False,
        reduce_only=True,
        est_price=walk.avg_price,
        est_fee=draft.market.fees.taker * walk.cost,
    )


def _close_estimate(
    drafts: Drafts, walks: tuple[Walk, Walk], positions: tuple[Position, Position]
) -> CloseEstimate:
    realised = fees = ZERO
    for draft, walk, position in zip(drafts, walks, positions, strict=True):
        realised -= draft.side.sign * walk.cost + released_cost(position, draft.qty)
        fees += draft.market.fees.taker * walk.cost
    return CloseEstimate(
        realised=realised,
        fees=fees,
        exit_bps=exit_bps(*walks, fees=fees),
        residual_long=abs(positions[0].net) - drafts[0].qty,
        residual_short=abs(positions[1].net) - drafts[1].qty,
    )


def exit_bps(sold: Walk, bought: Walk, *, fees: Decimal) -> Decimal:
    """What leaving both legs brings, fees of the closing orders taken off, in bps of the dearer leg."""
    spread = (sold.avg_price - bought.avg_price) * min(sold.filled, bought.filled)
    return ((spread - fees) * BPS / max(sold.cost, bought.cost)).quantize(Decimal("0.0001"))
