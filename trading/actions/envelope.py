"""Envelopes of executions, and the launch that may carry one: runbook §3 under one digest (spec 3.2)."""

from dataclasses import dataclass, fields
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from ops import checklist, desk, envelopes, hooks
from ops.actions.base import Action, Actor, Context, Danger, Outcome, Refusal, Status
from ops.actions.desk_mode import closed_causes, require_ready
from ops.actions.inputs import InvalidInput, arg
from ops.actions.registry import register
from ops.canonical import plain
from ops.models import ApprovalRequest, Envelope, HoldCause, Mode
from trading import desk_config
from trading.domain.envelope import EnvelopeBounds
from trading.models import Venue

COVERED = "trading.execute"
MOST_RUNS = 1000


@dataclass(frozen=True, kw_only=True)
class EnvelopeInput:
    pair: str = arg(help="Pair: BTCUSDT or BTC/USDT:USDT")
    venues: str = arg(help="Both legs on these: binanceusdm,okx", default="")
    max_notional: Decimal = arg(help="USDT per leg, at most")
    min_edge_bps: Decimal = arg(help="No execution that asks for a smaller net edge, in bps")
    max_slippage_bps: Decimal = arg(help="No execution that allows a fill further from the touch, in bps")
    count: int = arg(help="How many executions, 1 to 1000")
    minutes: int = arg(help="Valid for so many minutes, 1 to 720")


def bounds_of(data: Any) -> EnvelopeBounds:
    """Raises InvalidInput, a line for each field that does not fit."""
    config = desk_config.active().trading
    pair = config.pair(data.pair)
    names = tuple(sorted({v.strip() for v in data.venues.split(",") if v.strip()}))
    errors = []
    if pair is None:
        errors.append(("pair", f"{data.pair!r}; accepted: {', '.join(p.name for p in config.pairs)}"))
    elif names and (len(names) < 2 or not set(names) <= set(pair.venues)):
        errors.append(("venues", f"{data.venues!r}; accepted: two or more of {', '.join(pair.venues)}"))
    if not 0 < data.max_notional <= config.preflight.max_notional_usdt:
        errors.append(("max_notional", f"accepted: above 0, at most {config.preflight.max_notional_usdt}"))
    if data.max_slippage_bps < 0:
        errors.append(("max_slippage_bps", "accepted: 0 or more"))
    if not 1 <= data.count <= MOST_RUNS:
        errors.append(("count", f"accepted: 1 to {MOST_RUNS}"))
    if not 1 <= data.minutes <= envelopes.LONGEST.total_seconds() // 60:
        errors.append(("minutes", f"accepted: 1 to {int(envelopes.LONGEST.total_seconds() // 60)}"))
    if errors or pair is None:
        raise InvalidInput([{"field": name, "detail": detail} for name, detail in errors])
    return EnvelopeBounds(
        pair.symbol, names or tuple(pair.venues), data.max_notional, data.min_edge_bps, data.max_slippage_bps
    )


def _shown(bounds: EnvelopeBounds, data: Any) -> list[dict[str, Any]]:
    """Rows of a diff: what may happen without asking again."""
    rows = {**plain(bounds), "count": data.count, "minutes": data.minutes}
    rows["venues"] = ", ".join(bounds.venues)
    return [{"field": f"envelope {name}", "before": None, "after": value} for name, value in rows.items()]


def _venues(data: Any) -> list[Venue]:
    """All venues of the envelope, or none: a right to one does not open the others."""
    try:
        wanted = bounds_of(data).venues
    except InvalidInput:  # `normalise` says so
        return []
    rows = list(Venue.objects.filter(name__in=wanted))
    return rows if len(rows) == len(wanted) else []


def _grant(approval: ApprovalRequest | None, data: Any) -> Envelope:
    assert approval is not None
    return envelopes.grant(
        approval,
        action=COVERED,
        bounds=bounds_of(data),
        count=data.count,
        valid_for=timedelta(minutes=data.minutes),
    )


@register
class GrantEnvelope(Action[EnvelopeInput]):
    name = "trading.grant_envelope"
    title = "Envelope of executions"
    help = "One approval for several executions of one pair inside stated bounds. A HOLD ends it."
    danger = Danger.INCREASES
    Input = EnvelopeInput
    model = Venue

    def normalise(self, data: EnvelopeInput, actor: Actor) -> EnvelopeInput:
        bounds_of(data)
        return data

    def objects(self, data: EnvelopeInput) -> list[Venue]:
        return _venues(data)

    def target(self, data: EnvelopeInput) -> str:
        return data.pair

    def diff(self, ctx: Context[EnvelopeInput]) -> list[dict[str, Any]]:
        return _shown(bounds_of(ctx.input), ctx.input)

    def execute(self, ctx: Context[EnvelopeInput]) -> Outcome:
        row = envelopes.as_dict(_grant(ctx.approval, ctx.input))
        return Outcome(Status.EXECUTED, {"result": plain(row)}, after=row)


@dataclass(frozen=True, kw_only=True)
class RevokeEnvelopeInput:
    envelope_id: UUID = arg(help="The envelope to end")


@register
class RevokeEnvelope(Action[RevokeEnvelopeInput]):
    name = "trading.revoke_envelope"
    title = "End an envelope"
    help = "No further execution is covered by it."
    danger = Danger.REDUCES
    Input = RevokeEnvelopeInput
    reason_required = False
    stops = True

    def target(self, data: RevokeEnvelopeInput) -> str:
        return str(data.envelope_id)

    def check(self, ctx: Context[RevokeEnvelopeInput]) -> Outcome | None:
        row = Envelope.objects.select_for_update().filter(pk=ctx.input.envelope_id).first()
        if row is None:
            raise Refusal("envelope.unknown", f"no envelope {ctx.input.envelope_id}", status=404)
        if row.ended_at is not None:
            raise Refusal("envelope.ended", f"it ended already: {row.ended_why}")
        return None

    def execute(self, ctx: Context[RevokeEnvelopeInput]) -> Outcome:
        row = Envelope.objects.get(pk=ctx.input.envelope_id)
        envelopes.end(row, why=f"revoked by {ctx.actor.name}: {ctx.reason}".rstrip(": "))
        return Outcome(Status.EXECUTED, {"result": plain(envelopes.as_dict(row))}, after={"used": row.used})


@dataclass(frozen=True, kw_only=True)
class LaunchInput:
    at: str = arg(
        help="now: the last vote launches; start: the next start of the desk with SAFE_MODE=false does",
        default="now",
        choices=("now", "start"),
    )
    pair: str | None = arg(help="Envelope: pair, with all the fields below, or none of them", default=None)
    venues: str | None = arg(help="Envelope: both legs on these: binanceusdm,okx", default=None)
    max_notional: Decimal | None = arg(help="Envelope: USDT per leg, at most", default=None)
    min_edge_bps: Decimal | None = arg(help="Envelope: smallest net edge, in bps", default=None)
    max_slippage_bps: Decimal | None = arg(help="Envelope: largest slippage, in bps", default=None)
    count: int | None = arg(help="Envelope: how many executions, 1 to 1000", default=None)
    minutes: int | None = arg(help="Envelope: valid for so many minutes, 1 to 720", default=None)

    @property
    def envelope(self) -> EnvelopeInput | None:
        """Raises InvalidInput when it is there by half."""
        values = {f.name: getattr(self, f.name) for f in fields(EnvelopeInput)}
        values["venues"] = values["venues"] or ""
        missing = [name for name, value in values.items() if value is None]
        if len(missing) == len(values) - 1 and not values["venues"]:
            return None
        if missing:
            raise InvalidInput([{"field": n, "detail": "required for an envelope"} for n in missing])
        return EnvelopeInput(**values)


@register
class Launch(Action[LaunchInput]):
    """Leave HOLD and SAFE_MODE together: what the runbook's two operators confirm."""

    name = "ops.launch"
    title = "Launch"
    help = "Leave HOLD and switch SAFE_MODE off in one approval, now or at the next start of this build."
    danger = Danger.INCREASES
    Input = LaunchInput

    def normalise(self, data: LaunchInput, actor: Actor) -> LaunchInput:
        if data.envelope is not None:
            bounds_of(data.envelope)
        return data

    def waits_for_start(self, data: LaunchInput) -> bool:
        return data.at == "start"

    def approved_for(self, data: LaunchInput) -> timedelta:
        return timedelta(minutes=data.minutes) if data.minutes else super().approved_for(data)

    def prepare(self, ctx: Context[LaunchInput]) -> dict[str, Any]:
        return checklist.prepare()

    def check(self, ctx: Context[LaunchInput]) -> Outcome | None:
        state = desk.get_state()
        if desk.runs(state, hooks.fence()) and not state.safe_mode:
            raise Refusal("launch.running", "the desk runs already, with SAFE_MODE off")
        require_ready(ctx.evidence)
        return None

    def _causes(self, data: LaunchInput) -> list[HoldCause]:
        """Those that the approvers see. The start that consumes it adds one of its own, by rule."""
        return [c for c in desk.causes() if not (data.at == "start" and c.source == desk.STARTED)]

    def before(self, ctx: Context[LaunchInput]) -> dict[str, Any]:
        causes = sorted(str(c.pk) for c in self._causes(ctx.input))
        state = desk.get_state()
        now = {} if ctx.input.at == "start" else {"mode": state.mode, "safe_mode": state.safe_mode}
        return {"build": hooks.build(), "causes": causes, **now}

    def diff(self, ctx: Context[LaunchInput]) -> list[dict[str, Any]]:
        state, envelope = desk.get_state(), ctx.input.envelope
        return [
            {"field": "mode", "before": state.mode, "after": "RUN"},
            {"field": "SAFE_MODE", "before": state.safe_mode, "after": False},
            {"field": "build", "before": None, "after": hooks.build()},
            *closed_causes(self._causes(ctx.input)),
            *(_shown(bounds_of(envelope), envelope) if envelope else []),
        ]

    def execute(self, ctx: Context[LaunchInput]) -> Outcome:
        state = desk.lock()
        desk.close_causes()
        fence = hooks.fence().fence
        desk.change(state, mode=Mode.RUN, safe_mode=False, fence=fence, approval=ctx.approval)
        envelope = ctx.input.envelope
        granted = envelopes.as_dict(_grant(ctx.approval, envelope)) if envelope else None
        body = plain({"mode": state.mode, "safe_mode": state.safe_mode, "envelope": granted})
        return Outcome(Status.EXECUTED, {"result": body}, after=body)
