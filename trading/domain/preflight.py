"""Preflight: a frozen snapshot of both venues and the desk in, checks and a verdict out (spec 4.5).

Three classes. *System*: could an order go out and be trusted. *Opportunity*: is this plan worth it. *Mode*:
may the desk do it now. viable = system and opportunity green; executable = viable and nothing in
`blocked_by`. For a reduction the checks are made and shown, but most do not block: an exit does not wait for
fresh data.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain

from trading.domain.plan import Intent, Plan, UnplannableError, breaches
from trading.domain.venue_checks import Check, CheckClass, Thresholds, VenueState, system_checks


@dataclass(frozen=True, slots=True)
class DeskState:
    """hold_causes: sources of open causes that cover this plan's desk, venues, instruments or strategy.

    guards_worst: worst state of the P0 guards, `OK` the only good one; None: this desk has none, and no line
    claims one. approval_needed: and none at hand.
    """

    hold_causes: tuple[str, ...]
    leads: bool
    guards_worst: str | None
    safe_mode: bool
    reduce_only: bool
    approval_needed: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """blocked_by: `hold:<source>`, `safe_mode`, `reduce_only`, `leader`, `guards`, `approval`."""

    checks: tuple[Check, ...]
    blocked_by: tuple[str, ...]

    @property
    def system_green(self) -> bool:
        """All that leaving HOLD asks of preflight: a quiet market must not keep the desk in HOLD."""
        return self._green(CheckClass.SYSTEM)

    @property
    def viable(self) -> bool:
        return self.system_green and self._green(CheckClass.OPPORTUNITY)

    @property
    def executable(self) -> bool:
        return self.viable and not self.blocked_by

    def _green(self, cls: CheckClass) -> bool:
        """No checks made is not green."""
        mine = [check for check in self.checks if check.cls is cls]
        return bool(mine) and all(check.passes for check in mine)


def judge(
    venues: Iterable[VenueState],
    desk: DeskState,
    thresholds: Thresholds,
    *,
    intent: Intent,
    plan: Plan | UnplannableError,
    now: datetime,
) -> Verdict:
    """The whole preflight of a plan, or of the reason why there is none."""
    states = tuple(venues)
    made = plan if isinstance(plan, Plan) else None
    checks = (
        *chain.from_iterable(
            system_checks(state, thresholds, intent=intent, plan=made, now=now) for state in states
        ),
        *_opportunity(states, thresholds, plan, now),
        *_mode(desk, intent),
    )
    return Verdict(checks=checks, blocked_by=tuple(_blocked_by(desk, intent)))


def _opportunity(
    states: tuple[VenueState, ...], thresholds: Thresholds, plan: Plan | UnplannableError, now: datetime
) -> Iterator[Check]:
    cls = CheckClass.OPPORTUNITY
    if isinstance(plan, UnplannableError):
        yield Check(name="size", cls=cls, ok=False, detail=f"{plan.code}: {plan.detail}")
        return
    age = max((now - plan.priced_at) // timedelta(milliseconds=1), 0)
    sizes = ", ".join(f"{leg.qty} on {leg.venue}" for leg in plan.legs)
    yield Check(name="size", cls=cls, ok=True, detail=f"{sizes} (limited by {plan.limited_by})", age_ms=age)
    broken = breaches(plan)
    name = "edge" if plan.intent is Intent.OPEN else "exit"
    yield Check(name=name, cls=cls, ok=not broken, detail="; ".join(broken) or _worth(plan), age_ms=age)
    if plan.intent is Intent.OPEN:
        yield _funding_window(states, thresholds, now)


def _worth(plan: Plan) -> str:
    if plan.edge:
        return f"net {plan.edge.net_bps:f} bps, gross {plan.edge.gross_bps:f}"
    return f"result {plan.close.result:.4f}" if plan.close else ""


def _funding_window(states: tuple[VenueState, ...], thresholds: Thresholds, now: datetime) -> Check:
    name, cls = "funding_window", CheckClass.OPPORTUNITY
    unknown = [state.venue for state in states if state.funding is None]
    if unknown:
        return Check(name=name, cls=cls, ok=False, detail=f"no funding known on {', '.join(unknown)}")
    next_at, venue = min((state.funding.next_at, state.venue) for state in states if state.funding)
    left = next_at - now
    ok = not timedelta(0) <= left < thresholds.funding_quiet
    return Check(name=name, cls=cls, ok=ok, detail=f"{venue} in {left // timedelta(seconds=1)} s")


def _mode(desk: DeskState, intent: Intent) -> Iterator[Check]:
    """The same facts as `blocked_by`, one line each, green ones too."""
    blocking = intent is Intent.OPEN
    for name, ok, detail in (
        ("hold", not desk.hold_causes, ", ".join(desk.hold_causes) or "no open cause"),
        ("leader", desk.leads, "this instance leads" if desk.leads else "this instance does not lead"),
        ("guards", _guarded(desk), f"worst P0 guard: {desk.guards_worst}"),
        ("safe_mode", not desk.safe_mode, "on: nothing is sent" if desk.safe_mode else "off"),
        ("reduce_only", not desk.reduce_only, "on" if desk.reduce_only else "off"),
        ("approval", not desk.approval_needed, "needed" if desk.approval_needed else "at hand or not needed"),
    ):
        if name != "guards" or desk.guards_worst is not None:
            yield Check(name=name, cls=CheckClass.MODE, ok=ok, detail=detail, blocking=blocking)


def _guarded(desk: DeskState) -> bool:
    return desk.guards_worst in {None, "OK"}


def _blocked_by(desk: DeskState, intent: Intent) -> Iterator[str]:
    """Stopping is one step, always possible: nothing of the desk's mode blocks a close (spec 3.1)."""
    if intent is Intent.CLOSE:
        return
    yield from (f"hold:{source}" for source in desk.hold_causes)
    for blocked, name in (
        (desk.safe_mode, "safe_mode"),
        (desk.reduce_only, "reduce_only"),
        (not desk.leads, "leader"),
        (not _guarded(desk), "guards"),
        (desk.approval_needed, "approval"),
    ):
        if blocked:
            yield name
