"""Preflight and priced plan of a pair, now (spec 4.5). Reads only: nothing is stored, nothing is sent."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

from django.conf import settings
from django.utils import timezone

from ops import desk, hooks
from ops.actions.base import Refusal
from risk import guards
from risk.domain.gate import LegIntent, OrderIntent
from trading import desk_config, risk_inputs
from trading.config import PairConfig, PreflightConfig, TradingConfig
from trading.domain.closing import OpenLeg, closing_plan
from trading.domain.edge import Assumptions, LegMarket
from trading.domain.execution_state import Policy
from trading.domain.market import TimeInForce
from trading.domain.plan import Bounds, CloseBounds, Intent, Plan, Style, UnplannableError
from trading.domain.planning import Opening, opening_plan
from trading.domain.pnl import Position as Held
from trading.domain.preflight import DeskState, Verdict, judge
from trading.domain.venue_checks import AccountSetup, Thresholds, VenueState
from trading.models import Position
from trading.services.gather import EXIT_BASIS, Gathered, VenueFacts, gather, missing
from trading.services.plan_id import PlanTerms
from trading.venues import get_hub
from trading.venues.interface import DeadManScope, VenueError
from trading.venues.interface import Verdict as VenueVerdict


class BadRequest(Refusal):
    """The request names something that this desk does not have, or an amount that cannot be."""


@dataclass(frozen=True, slots=True)
class PreviewRequest:
    """What to price. None: the configured default. notional in USDT per leg."""

    symbol: str | None = None
    notional: Decimal | None = None
    max_slippage_bps: Decimal | None = None
    min_edge_bps: Decimal | None = None
    long_venue: str | None = None
    short_venue: str | None = None
    tif: str | None = None
    post_only: bool = False
    intent: str = "open"


@dataclass(frozen=True, slots=True)
class Priced:
    """A request resolved against config, with everything that was read and judged for it."""

    pair: PairConfig
    gathered: Gathered
    plan: Plan | UnplannableError
    verdict: Verdict
    plan_uid: str
    price_ms: float

    @property
    def marks(self) -> dict[tuple[str, str], Decimal]:
        return {
            (v.venue, v.symbol): v.funding.mark_price for v in self.gathered.venues if v.funding is not None
        }


def preview(request: PreviewRequest, *, plan_uid: str | None = None) -> Priced:
    """Price and check.

    plan_uid: keeps a plan's identity when it is priced again for execution.

    Raises:
        BadRequest: 422 with `pair.unknown`, `venue.unknown`, `notional.invalid`, ... before any venue is
        asked.
    """
    config = desk_config.active().trading
    pair = _resolve(request, config)
    gathered = gather(pair, config.preflight)
    started = time.perf_counter()
    plan = _plan(request, pair, gathered, config)
    verdict = judge(
        [_venue_state(facts, config, _switch(facts.venue, plan)) for facts in gathered.venues],
        _desk_state(pair),
        _thresholds(config.preflight),
        intent=Intent(request.intent),
        plan=plan,
        now=timezone.now(),
    )
    uid = plan_uid or str(uuid4())
    return Priced(pair, gathered, plan, verdict, uid, (time.perf_counter() - started) * 1000)


# --- the request -------------------------------------------------------------


def _resolve(request: PreviewRequest, config: TradingConfig) -> PairConfig:
    pair = config.pair(request.symbol) if request.symbol else config.pairs[0]
    if pair is None:
        known = ", ".join(p.name for p in config.pairs)
        raise BadRequest("pair.unknown", f"unknown symbol {request.symbol!r}; accepted: {known}", status=422)
    for code, fault in _faults(request, pair, config.preflight):
        raise BadRequest(code, fault, status=422)
    return pair


def _faults(request: PreviewRequest, pair: PairConfig, limits: PreflightConfig) -> Iterator[tuple[str, str]]:
    notional, slippage = request.notional, request.max_slippage_bps
    if notional is not None and not 0 < notional <= limits.max_notional_usdt:
        yield (
            "notional.invalid",
            f"notional {notional}: accepted: above 0, at most {limits.max_notional_usdt} USDT",
        )
    if slippage is not None and not 0 <= slippage <= limits.max_slippage_bps:
        yield (
            "slippage.invalid",
            f"max_slippage_bps {slippage}: accepted: 0 to {limits.max_slippage_bps}",
        )
    if request.min_edge_bps is not None and request.min_edge_bps < limits.min_edge_bps:
        yield (
            "edge.invalid",
            f"min_edge_bps {request.min_edge_bps}: accepted: {limits.min_edge_bps} or more (config)",
        )
    for name, venue in (("long_venue", request.long_venue), ("short_venue", request.short_venue)):
        if venue is not None and venue not in pair.venues:
            yield "venue.unknown", f"{name} {venue!r}; accepted for {pair.name}: {', '.join(pair.venues)}"
    if request.long_venue and request.long_venue == request.short_venue:
        yield "venue.same", f"long and short are both {request.long_venue}; a pair is two venues"
    if request.tif is not None and request.tif not in {"IOC", "FOK"}:
        yield "tif.invalid", f"tif {request.tif!r}; accepted: IOC, FOK (a resting order is post_only)"
    if request.intent not in {"open", "close"}:
        yield "intent.invalid", f"intent {request.intent!r}; accepted: open, close"


def _long_venue(request: PreviewRequest, pair: PairConfig) -> str | None:
    if request.long_venue or not request.short_venue:
        return request.long_venue
    return next(venue for venue in pair.venues if venue != request.short_venue)


# --- the plan ----------------------------------------------------------------


def _plan(
    request: PreviewRequest, pair: PairConfig, gathered: Gathered, config: TradingConfig
) -> Plan | UnplannableError:
    lines = missing(gathered.venues)
    markets = [facts.market() for facts in gathered.venues]
    if lines or markets[0] is None or markets[1] is None:
        return UnplannableError("market.missing", "; ".join(lines) or "a venue gave no price")
    try:
        if request.intent == "close":
            return _closing(request, pair, (markets[0], markets[1]), config.preflight)
        return _opening(request, pair, (markets[0], markets[1]), config.preflight)
    except UnplannableError as reason:
        return reason


def _opening(
    request: PreviewRequest,
    pair: PairConfig,
    markets: tuple[LegMarket, LegMarket],
    config: PreflightConfig,
) -> Plan:
    now = timezone.now()
    exits = {}
    for long, short in (markets, markets[::-1]):
        if long.book.bids and long.book.asks and short.book.asks and short.book.bids:
            exits[long.instrument.venue] = EXIT_BASIS.estimate(long, short, config, now=now)
    if len(exits) < 2:
        raise UnplannableError("book.depth", "a side of a book is empty")
    bounds = Bounds(
        notional=request.notional or pair.notional_usdt,
        max_slippage_bps=_or(request.max_slippage_bps, config.max_slippage_bps),
        min_edge_bps=_or(request.min_edge_bps, config.min_edge_bps),
        max_plausible_edge_bps=config.max_plausible_edge_bps,
    )
    wanted = Opening(
        pair=pair.symbol,
        bounds=bounds,
        exits=exits,
        assumptions=Assumptions(
            config.latency_allowance_bps, timedelta(minutes=config.expected_hold_minutes)
        ),
        style=_style(request, pair),
    )
    return opening_plan(*markets, wanted, now=now, long_venue=_long_venue(request, pair))


def _style(request: PreviewRequest, pair: PairConfig) -> Style:
    """Under the desk's POST_ONLY what opens rests, whatever was asked for; a hedge still takes."""
    hard = pair.hard_venue if pair.policy is Policy.HARD_LEG_FIRST else None
    rests = request.post_only or desk.get_state().post_only
    return Style(pair.policy, hard, TimeInForce(request.tif or "IOC"), rests)


def _or(asked: Decimal | None, default: Decimal) -> Decimal:
    return default if asked is None else asked


def _closing(
    request: PreviewRequest,
    pair: PairConfig,
    markets: tuple[LegMarket, LegMarket],
    config: PreflightConfig,
) -> Plan:
    """Everything this desk holds of the pair, out."""
    rows = {row.venue: row for row in Position.objects.filter(symbol=pair.symbol, venue__in=pair.venues)}
    legs = [
        OpenLeg(market, _held(rows.get(market.instrument.venue)))
        for market in sorted(markets, key=lambda m: _held(rows.get(m.instrument.venue)).net, reverse=True)
    ]
    return closing_plan(
        legs[0],
        legs[1],
        pair=pair.symbol,
        bounds=CloseBounds(_or(request.max_slippage_bps, config.max_slippage_bps)),
        now=timezone.now(),
    )


def _held(row: Position | None) -> Held:
    return Held(row.net, row.cost, row.realised, row.fees) if row else Held()


# --- the checks --------------------------------------------------------------


def _thresholds(config: PreflightConfig) -> Thresholds:
    return Thresholds(
        max_clock_offset_ms=config.max_clock_skew_ms,
        max_book_age_ms=config.max_book_age_ms,
        # A fact may be asked for a moment before it turns too old; give the check the same moment.
        max_account_age_ms=config.facts_max_age_ms + 1_000,
        margin_buffer=config.margin_buffer,
        funding_quiet=timedelta(seconds=config.funding_quiet_sec),
    )


def _switch(venue: str, plan: Plan | UnplannableError) -> bool | None:
    """Whether the venue has a dead-man switch; None where nothing of the plan rests there."""
    if not isinstance(plan, Plan) or not any(leg.post_only and leg.venue == venue for leg in plan.legs):
        return None
    try:
        return get_hub().venue(venue).dead_man.scope is not DeadManScope.NONE
    except VenueError:
        return False


def _venue_state(facts: VenueFacts, config: TradingConfig, dead_man: bool | None) -> VenueState:
    account, errors = facts.account, facts.errors
    oldest = max((facts.ages.get(kind, 0) for kind in ("balance", "account", "clock")), default=0)
    return VenueState(
        venue=facts.venue,
        reachable=not any(e.verdict is VenueVerdict.AMBIGUOUS for e in errors.values()) and bool(facts.ages),
        seen_at=timezone.now() - timedelta(milliseconds=oldest),
        clock_offset_ms=facts.clock.offset_ms if facts.clock else None,
        book=facts.book,
        continuous=True,  # a REST answer is a whole book; sequences come with the streams
        funding=facts.funding,
        instrument=facts.instrument,
        free_balance=facts.balance.free if facts.balance else None,
        setup=AccountSetup(account.position_mode, account.margin_mode, account.leverage) if account else None,
        wanted=AccountSetup("one_way", "cross", config.venues[facts.venue].leverage),  # type: ignore[index]
        can_trade=account.can_trade if account else None,
        can_withdraw=account.can_withdraw if account else None,
        dead_man_armed=dead_man,
        maintenance=any(e.verdict is VenueVerdict.MAINTENANCE for e in errors.values()),
    )


def _desk_state(pair: PairConfig) -> DeskState:
    state = desk.get_state()
    scopes = {("venue", v) for v in pair.venues} | {("instrument", f"{v}:{pair.symbol}") for v in pair.venues}
    return DeskState(
        hold_causes=tuple(desk.blocking_sources(scopes)),
        leads=hooks.fence().leader,
        guards_worst=guards.worst()[0].value,
        safe_mode=state.safe_mode,
        reduce_only=state.reduce_only,
        approval_needed=not settings.ENV.dry_run,
    )


# --- the plan's identity ----------------------------------------------------


def terms_of(priced: Priced) -> PlanTerms:
    plan = priced.plan
    assert isinstance(plan, Plan)
    bounds = plan.bounds or Bounds(Decimal(0), Decimal(0), Decimal(0), Decimal(0))
    return PlanTerms(
        uid=priced.plan_uid,
        symbol=plan.pair,
        long_venue=plan.long_venue,
        short_venue=plan.short_venue,
        notional=bounds.notional,
        max_slippage_bps=bounds.max_slippage_bps,
        min_edge_bps=bounds.min_edge_bps,
        tif=next((leg.tif.value for leg in plan.legs if not leg.post_only), "IOC"),
        post_only=any(leg.post_only for leg in plan.legs),
        digest=plan.digest,
    )


def gate_intent(plan: Plan, operator: str) -> OrderIntent:
    """The plan's legs as the gate counts them, and what was lately done just like it."""
    legs = tuple(
        LegIntent(leg.venue, leg.symbol, leg.qty * leg.side.sign, leg.limit_price) for leg in plan.legs
    )
    return OrderIntent(
        legs,
        levels=(risk_inputs.operator_level(operator),),
        edge_bps=plan.edge.net_bps if plan.edge else None,
        repeats=risk_inputs.repeats(plan.pair, plan.long_venue),
        alike=max(
            risk_inputs.alike(leg.venue, leg.symbol, leg.side, leg.qty, leg.limit_price) for leg in plan.legs
        ),
    )
