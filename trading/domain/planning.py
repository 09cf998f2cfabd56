"""An opening plan from two books: direction, quantity, collars, estimate. Pure: same inputs, same plan."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from trading.domain.basis import ExitEstimate
from trading.domain.edge import (
    Assumptions,
    InsufficientDepthError,
    LegMarket,
    pair_edge,
    take,
    touch,
)
from trading.domain.execution_state import Policy
from trading.domain.market import Instrument, Side, TimeInForce
from trading.domain.money import BPS, ZERO, common_step, floor_to
from trading.domain.plan import (
    IMMEDIATE,
    Bounds,
    Intent,
    LimitedBy,
    Plan,
    PlanLeg,
    Style,
    UnplannableError,
)
from trading.domain.scenarios import Drafts, LegDraft, opening_steps, rescue_scenarios


@dataclass(frozen=True, slots=True)
class Opening:
    """What is asked for. exits: expected exit spread by long venue, one per direction that may be chosen."""

    pair: str
    bounds: Bounds
    exits: Mapping[str, ExitEstimate]
    assumptions: Assumptions
    style: Style = IMMEDIATE


def opening_plan(
    a: LegMarket, b: LegMarket, wanted: Opening, *, now: datetime, long_venue: str | None = None
) -> Plan:
    """The better direction by net edge, or the one asked for; the same quantity on both legs.

    Raises UnplannableError when no direction gives a plan, ValueError for a venue that is not one of the
    two or a bound that cannot be. A plan that does not pay is still a plan: see `plan.breaches`.
    """
    venues = {a.instrument.venue, b.instrument.venue}
    if len(venues) != 2 or long_venue not in venues | {None}:
        raise ValueError(f"a pair is two venues, long on one of {sorted(venues)}, not {long_venue}")
    if wanted.bounds.notional <= 0:
        raise ValueError(f"notional must be positive, not {wanted.bounds.notional}")
    if wanted.style.policy is Policy.HARD_LEG_FIRST and wanted.style.hard_venue not in venues:
        raise ValueError(f"the hard leg is on one of {sorted(venues)}, not {wanted.style.hard_venue}")
    plans: list[tuple[Decimal, Plan]] = []
    refusals: list[UnplannableError] = []
    for long, short in ((a, b), (b, a)):
        if long_venue in (None, long.instrument.venue):
            try:
                plans.append(_open(long, short, wanted, now))
            except UnplannableError as refusal:
                refusals.append(refusal)
    if not plans:
        raise refusals[0]
    return max(plans, key=lambda found: found[0])[1]


def limit_price(instrument: Instrument, side: Side, at: Decimal, *, max_slippage_bps: Decimal) -> Decimal:
    """The collar: touch `at` +- slippage, rounded to the tick towards the touch: never past the bound."""
    if not 0 <= max_slippage_bps < BPS:
        raise ValueError(f"max_slippage_bps must be at least 0 and below {BPS}, not {max_slippage_bps}")
    return instrument.collar_price(at * (BPS + side.sign * max_slippage_bps) / BPS, side)


def depth_within(draft: LegDraft) -> Decimal:
    """Base coin that the draft's side can take at its limit or better."""
    levels = draft.market.book.opposite(draft.side)
    return sum((x.qty for x in levels if (draft.limit_price - x.price) * draft.side.sign >= 0), ZERO)


def hard_leg_of(style: Style, short: LegMarket) -> int:
    """0: the long leg is the hard one (or none is), 1: the short."""
    return int(style.hard_venue == short.instrument.venue)


def collared(market: LegMarket, side: Side, max_slippage_bps: Decimal) -> LegDraft:
    """A draft without quantity: where the leg's limit is."""
    limit = limit_price(market.instrument, side, touch(market.book, side), max_slippage_bps=max_slippage_bps)
    return LegDraft(market=market, side=side, qty=ZERO, limit_price=limit)


def _open(long: LegMarket, short: LegMarket, wanted: Opening, now: datetime) -> tuple[Decimal, Plan]:
    """(net bps, plan) of one direction."""
    hard_leg = hard_leg_of(wanted.style, short)
    try:
        drafts, limited_by = _opening_drafts(long, short, wanted.bounds)
        makers = _makers(wanted.style, hard_leg)
        exit_estimate = wanted.exits[long.instrument.venue]
        edge = pair_edge(
            long,
            short,
            qty=drafts[0].qty,
            exit_spread_bps=exit_estimate.bps,
            assumptions=wanted.assumptions,
            now=now,
            makers=makers,
        )
    except InsufficientDepthError as error:
        raise UnplannableError(error.code, str(error)) from error
    drafts = (_rested(drafts[0], makers), _rested(drafts[1], makers))
    plan = Plan(
        intent=Intent.OPEN,
        pair=wanted.pair,
        priced_at=now,
        legs=(_open_leg(drafts[0], wanted.style, makers), _open_leg(drafts[1], wanted.style, makers)),
        policy=wanted.style.policy,
        hard_leg=hard_leg,
        limited_by=limited_by,
        bounds=wanted.bounds,
        edge=edge,
        exit_estimate=exit_estimate,
        close_bounds=None,
        close=None,
        steps=opening_steps(drafts, policy=wanted.style.policy, hard_leg=hard_leg),
        rescue=rescue_scenarios(drafts, notional=edge.notional, closing=False),
    )
    return edge.net_bps, plan


def _opening_drafts(long: LegMarket, short: LegMarket, bounds: Bounds) -> tuple[Drafts, LimitedBy]:
    """Both collars and the common quantity: notional, largest order, depth within the collar and depth to
    get out again, whichever is least, on the lot grid of both."""
    legs = tuple(
        collared(market, side, bounds.max_slippage_bps)
        for market, side in ((long, Side.BUY), (short, Side.SELL))
    )
    dearest = max(touch(leg.market.book, leg.side) for leg in legs)
    room = {
        LimitedBy.NOTIONAL: bounds.notional / dearest,
        LimitedBy.MAX_QTY: min(leg.market.instrument.max_qty for leg in legs),
        LimitedBy.DEPTH: min(min(depth_within(leg), _depth_out(leg)) for leg in legs),
    }
    limited_by = min(room, key=lambda reason: room[reason])
    step = common_step(long.instrument.lot, short.instrument.lot)
    qty = floor_to(room[limited_by], step)
    drafts = (replace(legs[0], qty=qty), replace(legs[1], qty=qty))
    for draft in drafts:
        _require_minimum(draft, limited_by, step)
    return drafts, limited_by


def _depth_out(leg: LegDraft) -> Decimal:
    return sum((level.qty for level in leg.market.book.opposite(leg.side.opposite)), ZERO)


def _require_minimum(draft: LegDraft, limited_by: LimitedBy, step: Decimal) -> None:
    """The venue's floors; the smallest notional counts at the limit price, as the venue would count it."""
    instrument, value = draft.market.instrument, draft.qty * draft.limit_price
    if draft.qty >= max(instrument.min_qty, step) and value >= instrument.min_notional:
        return
    code = "book.depth" if limited_by is LimitedBy.DEPTH else "size.below_minimum"
    raise UnplannableError(
        code,
        f"{instrument.venue} {instrument.symbol}: {draft.qty} worth {value}, limited by {limited_by}; "
        f"the least is quantity {instrument.min_qty}, notional {instrument.min_notional}, "
        f"and a step of both legs {step}",
    )


def _makers(style: Style, hard_leg: int) -> frozenset[Side]:
    """The sides that rest: the hard leg alone when the other follows its fills, else both."""
    if not style.post_only:
        return frozenset()
    sides = (Side.BUY, Side.SELL)
    return frozenset({sides[hard_leg]} if style.policy is Policy.HARD_LEG_FIRST else sides)


def _rested(draft: LegDraft, makers: frozenset[Side]) -> LegDraft:
    """A post-only leg joins its own side's best price."""
    if draft.side not in makers:
        return draft
    return replace(draft, limit_price=touch(draft.market.book, draft.side.opposite))


def _open_leg(draft: LegDraft, style: Style, makers: frozenset[Side]) -> PlanLeg:
    rests = draft.side in makers
    walk = take(draft.market.book, draft.side, draft.qty)
    fees = draft.market.fees
    return PlanLeg(
        venue=draft.venue,
        symbol=draft.market.instrument.symbol,
        side=draft.side,
        qty=draft.qty,
        limit_price=draft.limit_price,
        tif=TimeInForce.GTC if rests else style.tif,
        post_only=rests,
        reduce_only=False,
        est_price=walk.avg_price,
        est_fee=(fees.maker if rests else fees.taker) * walk.cost,
    )
