"""A plan: which legs, how much, at what limit, what it should pay, and what is done when a leg fails.

Made by `planning` and `closing`. legs[0] is the long leg, legs[1] the short. A plan says nothing about
permission: identity, expiry and signature are the services' (`plan id`); whether it may run is
preflight's, the gate's and the approvers'.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from trading.domain import canonical
from trading.domain.basis import ExitEstimate
from trading.domain.canonical import decimal_text as text
from trading.domain.edge import Edge
from trading.domain.execution_state import Policy
from trading.domain.market import Side, TimeInForce
from trading.domain.scenarios import RescueScenario, Step


class UnplannableError(Exception):
    """No plan can be made. code: size.below_minimum | book.depth | position.none | position.sides."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


class Intent(StrEnum):
    OPEN = "open"
    CLOSE = "close"


class LimitedBy(StrEnum):
    """What set the quantity."""

    NOTIONAL = "notional"
    MAX_QTY = "max_qty"
    DEPTH = "depth"
    POSITION = "position"
    REQUEST = "request"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an opening was approved for. notional: quote currency per leg, at most.

    max_slippage_bps: no fill further than this from the touch the plan saw; depth beyond it is not used.
    """

    notional: Decimal
    max_slippage_bps: Decimal
    min_edge_bps: Decimal
    max_plausible_edge_bps: Decimal


@dataclass(frozen=True, slots=True)
class CloseBounds:
    """min_exit_bps: least `CloseEstimate.exit_bps`. max_cost: largest loss, quote. None: no bound."""

    max_slippage_bps: Decimal
    min_exit_bps: Decimal | None = None
    max_cost: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Style:
    """hard_venue: whose leg goes first under HARD_LEG_FIRST. post_only: it rests (simultaneous: both do)."""

    policy: Policy = Policy.SIMULTANEOUS
    hard_venue: str | None = None
    tif: TimeInForce = TimeInForce.IOC
    post_only: bool = False


IMMEDIATE = Style()


@dataclass(frozen=True, slots=True)
class PlanLeg:
    """qty: base coin. limit_price: on the tick grid, within the bound. est_*: from the walked book."""

    venue: str
    symbol: str
    side: Side
    qty: Decimal
    limit_price: Decimal
    tif: TimeInForce
    post_only: bool
    reduce_only: bool
    est_price: Decimal
    est_fee: Decimal


@dataclass(frozen=True, slots=True)
class CloseEstimate:
    """realised: quote, before fees. exit_bps: long leg sold less short leg bought, depth and fees
    included, in bps of the long leg's value at the touch: 0 would be leaving for nothing. residual: base
    coin left, long and short.
    """

    realised: Decimal
    fees: Decimal
    exit_bps: Decimal
    residual_long: Decimal
    residual_short: Decimal

    @property
    def result(self) -> Decimal:
        return self.realised - self.fees


@dataclass(frozen=True, slots=True)
class Plan:
    """`edge`, `exit_estimate`, `bounds`: openings. `close`, `close_bounds`: closings."""

    intent: Intent
    pair: str
    priced_at: datetime
    legs: tuple[PlanLeg, PlanLeg]
    policy: Policy
    hard_leg: int
    limited_by: LimitedBy
    bounds: Bounds | None
    edge: Edge | None
    exit_estimate: ExitEstimate | None
    close_bounds: CloseBounds | None
    close: CloseEstimate | None
    steps: tuple[Step, ...]
    rescue: tuple[RescueScenario, ...]

    @property
    def long_venue(self) -> str:
        return self.legs[0].venue

    @property
    def short_venue(self) -> str:
        return self.legs[1].venue

    @property
    def digest(self) -> str:
        """SHA-256 over every field, hex."""
        return canonical.digest(self)

    def terms(self) -> dict[str, object]:
        """What an approval binds: no price, they are gone in a second (spec 3.2, point 2). JSON data."""
        return {
            "intent": self.intent.value,
            "pair": self.pair,
            "long_venue": self.long_venue,
            "short_venue": self.short_venue,
            "policy": self.policy.value,
            "bounds": canonical.encode(self.bounds or self.close_bounds),
        }

    def to_json(self) -> str:
        return canonical.canonical_json(self)

    @staticmethod
    def from_json(document: str) -> "Plan":
        """ValueError, with the path, for anything `to_json` would not have written."""
        return canonical.from_json(Plan, document)


def breaches(plan: Plan) -> tuple[str, ...]:
    """Which of its own bounds the plan breaks now, a sentence each for the operator; empty: within."""
    checks = _opening_checks(plan) if plan.intent is Intent.OPEN else _closing_checks(plan)
    return tuple(sentence for broken, sentence in checks if broken)


def _opening_checks(plan: Plan) -> tuple[tuple[bool, str], ...]:
    assert plan.edge
    assert plan.bounds
    net, least, most = plan.edge.net_bps, plan.bounds.min_edge_bps, plan.bounds.max_plausible_edge_bps
    return (
        (net < least, f"net edge {text(net)} bps is below the least, {text(least)}"),
        (net > most, f"net edge {text(net)} bps is above what is plausible, {text(most)}"),
    )


def _closing_checks(plan: Plan) -> tuple[tuple[bool, str], ...]:
    assert plan.close
    assert plan.close_bounds
    exit_bps, least = plan.close.exit_bps, plan.close_bounds.min_exit_bps
    loss, most = -plan.close.result, plan.close_bounds.max_cost
    return (
        (least is not None and exit_bps < least, f"exit at {text(exit_bps)} bps is below the least, {least}"),
        (most is not None and loss > most, f"closing costs {text(loss)}, above the most, {most}"),
    )
