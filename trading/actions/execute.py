"""`trading.execute`: from a plan to order intents, in the order of judgement of spec 4.5.

body → SAFE_MODE (dry-run plan) → DRY_RUN → HOLD (423) → plan still valid (409) → approval (202) →
gate (skipped) → accepted (202). What is approved is the pair, the direction and the bounds, never a price.
"""

from dataclasses import dataclass, fields, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db.models.functions import Now

from ops import desk, envelopes, hooks
from ops.actions import approvals
from ops.actions.base import Action, Actor, Context, Danger, Outcome, Refusal, Status
from ops.actions.inputs import InvalidInput, arg
from ops.actions.registry import register
from ops.models import ApprovalRequest, Envelope, Mode
from risk.services import risk_gate
from trading import desk_config
from trading.domain.canonical import decimal_text
from trading.domain.envelope import EnvelopeBounds, Terms
from trading.domain.execution_state import FINAL
from trading.domain.plan import Plan
from trading.execution.creating import create_execution
from trading.models import Execution, Leg, Venue
from trading.services.answers import preview_json
from trading.services.plan_id import PlanTerms, unseal
from trading.services.preview import PreviewRequest, Priced, gate_intent, preview, terms_of


@dataclass(frozen=True, kw_only=True)
class ExecuteInput:
    """Either `plan_id` and `digest` from a preview, or the fields of a preview."""

    plan_id: str | None = arg(help="The plan's id, from a preview", default=None)
    digest: str | None = arg(help="The plan's digest, as displayed", default=None)
    symbol: str | None = arg(help="Pair: BTCUSDT or BTC/USDT:USDT", default=None)
    pair: str | None = arg(help="The same as symbol", default=None)
    notional: Decimal | None = arg(help="USDT per leg, at most", default=None)
    max_slippage_bps: Decimal | None = arg(help="Furthest fill from the touch, in bps", default=None)
    min_edge_bps: Decimal | None = arg(help="Least net edge, in bps", default=None)
    long_venue: str | None = arg(help="Where to buy", default=None)
    short_venue: str | None = arg(help="Where to sell", default=None)
    tif: str | None = arg(help="IOC or FOK", default=None, choices=("IOC", "FOK"))
    post_only: bool = arg(help="Rest as a maker instead of taking", default=False)
    uid: UUID | None = arg(help="Identity of the plan; a plan is executed once", default=None)


ZERO = Decimal(0)
PREVIEW_FIELDS = tuple(f.name for f in fields(PreviewRequest) if f.name != "intent")


@register
class Execute(Action[ExecuteInput]):
    name = "trading.execute"
    title = "Execute a plan"
    help = "Open a hedged pair. With SAFE_MODE on it answers with the dry-run plan and sends nothing."
    danger = Danger.INCREASES
    Input = ExecuteInput
    model = Venue
    reason_required = False  # a dry-run plan needs none; `check` asks for one before anything is real

    def normalise(self, data: ExecuteInput, actor: Actor) -> ExecuteInput:
        """The plan's terms spelled out: a signed id that expires cannot be what an approver looks at."""
        if data.plan_id is None:
            return self._defaults(data)
        extra = [n for n in PREVIEW_FIELDS if getattr(data, n) and n != "symbol"]
        if extra or data.symbol or data.pair:
            raise InvalidInput([{"field": n, "detail": "not beside plan_id"} for n in (*extra, "symbol")])
        ttl = timedelta(milliseconds=desk_config.active().trading.preflight.plan_ttl_ms)
        terms = unseal(data.plan_id, max_age=ttl)
        if data.digest != terms.digest:
            raise Refusal(
                "plan.digest", "digest is not that of this plan: send the one displayed", status=409
            )
        return _from_terms(terms)

    def _defaults(self, data: ExecuteInput) -> ExecuteInput:
        if data.symbol and data.pair and data.symbol != data.pair:
            raise InvalidInput([{"field": "pair", "detail": "symbol and pair name different things"}])
        if data.uid is not None and data.symbol and data.notional is not None:
            return data  # frozen before: exactly this
        priced = preview(_request(data))
        if isinstance(priced.plan, Plan):
            return _from_terms(terms_of(priced))
        return replace(data, uid=uuid4())  # SAFE_MODE and HOLD answer before "no plan can be made"

    def objects(self, data: ExecuteInput) -> list[Venue]:
        """Both venues of the pair, or none: a right to one of them does not open the other."""
        pair = desk_config.active().trading.pair(data.symbol or data.pair or "")
        rows = list(Venue.objects.filter(name__in=pair.venues)) if pair else []
        return rows if len(rows) == 2 else []

    def target(self, data: ExecuteInput) -> str:
        return f"{data.symbol or data.pair or '-'} {data.long_venue or '?'}>{data.short_venue or '?'}"

    def prepare(self, ctx: Context[ExecuteInput]) -> Priced:
        return preview(_request(ctx.input), plan_uid=str(ctx.input.uid or uuid4()))

    def check(self, ctx: Context[ExecuteInput]) -> Outcome | None:
        priced: Priced = ctx.evidence
        state = desk.get_state()
        if state.safe_mode:
            return Outcome(Status.DRY_RUN, preview_json(priced))
        if (earlier := _asked_before(ctx)) is not None:
            return earlier
        if not settings.ENV.dry_run:
            _require_run(state, priced)
            _require_maker(state, priced)
        if not ctx.reason.strip():
            raise Refusal("reason.required", "trading.execute needs a reason", status=422)
        _require_valid(ctx.input, priced)
        _require_unopposed(priced)
        return None

    def approvals_needed(self, ctx: Context[ExecuteInput], quorum: int) -> int:
        return 0 if settings.ENV.dry_run or ctx.approval or _envelope(ctx) else quorum

    def diff(self, ctx: Context[ExecuteInput]) -> list[dict[str, Any]]:
        """What the pair would add, at the prices of the request."""
        plan = ctx.evidence.plan
        legs = [
            {
                "field": f"{leg.side} on {leg.venue} {leg.symbol}",
                "before": None,
                "after": f"{decimal_text(leg.qty)} at {decimal_text(leg.limit_price)} or better",
            }
            for leg in plan.legs
        ]
        net = decimal_text(plan.edge.net_bps)
        return [*legs, {"field": "net edge when asked", "before": None, "after": f"{net} bps"}]

    def execute(self, ctx: Context[ExecuteInput]) -> Outcome:
        priced: Priced = ctx.evidence
        assert isinstance(priced.plan, Plan)
        if not settings.ENV.dry_run:
            verdict = risk_gate(gate_intent(priced.plan, ctx.actor.user.get_username()), marks=priced.marks)
            if not verdict.allowed:
                body = verdict.as_json()
                return Outcome(Status.SKIPPED, {"reason": body["reason"], "cap": body.get("cap")}, after=body)
        row = create_execution(
            priced,
            uid=ctx.input.uid or uuid4(),
            user=ctx.actor.user,
            reason=ctx.reason,
            approval=ctx.approval,
            envelope=None if settings.ENV.dry_run or ctx.approval else _envelope(ctx),
            dry_run=settings.ENV.dry_run,
        )
        return _accepted(row)


def _envelope(ctx: Context[ExecuteInput]) -> Envelope | None:
    """An approval for several executions that covers this one. Asked under the desk's lock; the database
    counts."""
    data, plan = ctx.input, ctx.evidence.plan
    if None in (data.notional, data.min_edge_bps, data.max_slippage_bps):
        return None
    terms = Terms(
        symbol=plan.pair,
        venues=frozenset(leg.venue for leg in plan.legs),
        notional=data.notional or ZERO,
        min_edge_bps=data.min_edge_bps if data.min_edge_bps is not None else ZERO,
        max_slippage_bps=data.max_slippage_bps if data.max_slippage_bps is not None else ZERO,
    )
    found = (row for row in envelopes.usable("trading.execute") if _bounds(row).covers(terms))
    return next(found, None)


def _bounds(row: Envelope) -> EnvelopeBounds:
    frozen = row.bounds
    numbers = {name: Decimal(frozen[name]) for name in ("max_notional", "min_edge_bps", "max_slippage_bps")}
    return EnvelopeBounds(symbol=frozen["symbol"], venues=tuple(frozen["venues"]), **numbers)


def _from_terms(terms: PlanTerms) -> ExecuteInput:
    shared = {f.name for f in fields(PlanTerms)} & set(PREVIEW_FIELDS)
    return ExecuteInput(uid=terms.uuid, **{name: getattr(terms, name) for name in shared})


def _request(data: ExecuteInput) -> PreviewRequest:
    values = {name: getattr(data, name) for name in PREVIEW_FIELDS}
    return PreviewRequest(**{**values, "symbol": data.symbol or data.pair})


def _asked_before(ctx: Context[ExecuteInput]) -> Outcome | None:
    """A plan is executed once: asking again gives the first answer."""
    if ctx.input.uid is None:
        return None
    done = Execution.objects.filter(plan_id=ctx.input.uid).first()
    if done is not None:
        return _accepted(done)
    if ctx.approval is not None:
        return None
    waiting = ApprovalRequest.objects.filter(
        action="trading.execute",
        payload__uid=str(ctx.input.uid),
        requested_by=ctx.actor.user,
        state__in=ApprovalRequest.OPEN,
        expires_at__gt=Now(),
    ).first()
    return Outcome(Status.PENDING, {"approval": approvals.as_dict(waiting)}) if waiting else None


def _accepted(row: Execution) -> Outcome:
    body = {"execution_id": str(row.pk), "location": f"/api/ui/executions/{row.pk}"}
    after = {"execution": row.pk, "state": row.state, "envelope": row.envelope_id}
    return Outcome(Status.ACCEPTED, body, after=after)


def _require_run(state: Any, priced: Priced) -> None:
    causes = [b.removeprefix("hold:") for b in priced.verdict.blocked_by if b.startswith("hold:")]
    if state.mode != Mode.RUN or causes:
        raise Refusal(
            "desk.hold",
            f"the desk is in HOLD: {', '.join(causes) or 'no cause recorded'}",
            status=423,
            errors=[{"cause": cause} for cause in causes],
        )
    term = hooks.fence()
    if not term.leader:
        raise Refusal("leader.not_leader", "this instance does not lead", status=423)
    if not desk.runs(state, term):
        raise Refusal("desk.hold", f"term {term.fence} has not been resumed yet", status=423)
    if state.reduce_only:
        raise Refusal("desk.reduce_only", "REDUCE_ONLY is on: nothing new may open", status=423)


def _require_maker(state: Any, priced: Priced) -> None:
    """POST_ONLY may have been switched on after this plan was priced."""
    if state.post_only and isinstance(priced.plan, Plan) and not any(g.post_only for g in priced.plan.legs):
        raise Refusal("desk.post_only", "POST_ONLY is on and the plan takes: preview it again", status=423)


def _require_valid(data: ExecuteInput, priced: Priced) -> None:
    """Re-priced now: outside its bounds or with a red check it is no longer the plan that was asked for; and
    without bounds of its own (no plan could be made when it was asked for) nobody can approve it."""
    if data.notional is not None and isinstance(priced.plan, Plan) and priced.verdict.viable:
        return
    red = [
        {"check": c.name, "class": c.cls.value, "detail": c.detail}
        for c in priced.verdict.checks
        if not c.passes and c.cls.value != "mode"
    ]
    detail = "; ".join(f"{r['check']}: {r['detail']}" for r in red) or "no plan can be made"
    raise Refusal("plan.not_viable", detail, status=409, errors=red)


def _require_unopposed(priced: Priced) -> None:
    """Two executions pulling one instrument both ways could not be told apart on the venue (spec 4.6.6)."""
    assert isinstance(priced.plan, Plan)
    for leg in priced.plan.legs:
        opposed = Leg.objects.filter(
            venue=leg.venue, symbol=leg.symbol, side=leg.side.opposite.value, execution__dry_run=False
        ).exclude(execution__state__in=sorted(FINAL))
        if (found := opposed.first()) is not None:
            raise Refusal(
                "plan.opposite_open",
                f"execution {found.execution_id} holds the opposite on {leg.venue}: close it first",
                status=409,
            )
