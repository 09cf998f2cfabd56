"""What a person may tell the machine when it cannot go on by itself: the 3 a.m. verbs (spec 4.6.9)."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.utils import timezone

from ops.actions.base import Action, Actor, Context, Danger, Outcome, Refusal, Status
from ops.actions.inputs import InvalidInput, arg
from ops.actions.registry import register
from ops.models import User
from trading import desk_config
from trading.domain.execution_state import ACTIVE, ExecutionState
from trading.domain.market import Side
from trading.domain.order_state import OrderState
from trading.domain.rescue import Rescue
from trading.execution import resolving
from trading.execution.nudge import nudge
from trading.models import Execution, OrderIntent
from trading.venues.interface import FillReport

RESCUABLE = (ACTIVE - {ExecutionState.ARMED}) | {ExecutionState.RESIDUAL_HELD}


def _execution(pk: UUID, *, lock: bool = False) -> Execution:
    rows = Execution.objects.select_for_update() if lock else Execution.objects.all()
    row = rows.filter(pk=pk).first()
    if row is None:
        raise Refusal("execution.unknown", f"no execution {pk}", status=404)
    return row


@dataclass(frozen=True, kw_only=True)
class RescueInput:
    execution_id: UUID = arg(help="The execution to bring out of imbalance")
    way: str = arg(
        help="reverse: out of the longer leg; proceed: complete the shorter one",
        choices=(Rescue.REVERSE.value, Rescue.PROCEED.value),
    )
    max_loss: Decimal | None = arg(
        help="proceed: the largest expected loss allowed, quote currency; beyond it the machine reverses",
        default=None,
    )


@register
class RescueExecution(Action[RescueInput]):
    name = "trading.rescue"
    title = "Direct a rescue"
    help = "Tells the machine which way out to take; it begins to count its orders anew. Works in every mode."
    danger = Danger.REDUCES
    Input = RescueInput
    locks_desk = False
    listed = False
    reason_required = False

    def risk(self, data: RescueInput) -> Danger:
        return Danger.INCREASES if data.way == Rescue.PROCEED else Danger.REDUCES

    def normalise(self, data: RescueInput, actor: Actor) -> RescueInput:
        proceed = data.way == Rescue.PROCEED
        if proceed and (data.max_loss is None or data.max_loss < 0):
            raise InvalidInput([{"field": "max_loss", "detail": "proceed needs one, 0 or more"}])
        if not proceed and data.max_loss is not None:
            raise InvalidInput(
                [{"field": "max_loss", "detail": "goes with proceed; reversing has no budget"}]
            )
        return data

    def target(self, data: RescueInput) -> str:
        return str(data.execution_id)

    def check(self, ctx: Context[RescueInput]) -> Outcome | None:
        row = _execution(ctx.input.execution_id)
        if ExecutionState(row.state) not in RESCUABLE:
            accepted = ", ".join(sorted(RESCUABLE))
            detail = f"execution {row.pk} is {row.state}; a rescue is accepted in {accepted}"
            raise Refusal("execution.not_rescuable", detail, status=409)
        return None

    def diff(self, ctx: Context[RescueInput]) -> list[dict[str, Any]]:
        row = _execution(ctx.input.execution_id)
        loss = ctx.input.max_loss
        return [
            {"field": "rescue", "before": row.ordered or "by cost", "after": ctx.input.way},
            {"field": "max_loss", "before": row.ordered_max_loss, "after": loss},
        ]

    def execute(self, ctx: Context[RescueInput]) -> Outcome:
        row = _execution(ctx.input.execution_id, lock=True)
        now = timezone.now()
        Execution.objects.filter(pk=row.pk).update(
            ordered=ctx.input.way, ordered_max_loss=ctx.input.max_loss, since=now, next_at=now, updated_at=now
        )
        nudge("trading.drive", row.pk)
        body = {"execution_id": str(row.pk), "location": f"/api/ui/executions/{row.pk}"}
        return Outcome(Status.ACCEPTED, body, after={"way": ctx.input.way, "max_loss": ctx.input.max_loss})


@dataclass(frozen=True, kw_only=True)
class ResolveInput:
    client_order_id: str = arg(help="The order in doubt, by our id")
    verdict: str = arg(
        help="absent: the venue never took it; filled: it did, as the next fields say",
        choices=("absent", "filled"),
    )
    evidence: str = arg(help="How this is known: the venue's support ticket, its web page, a statement")
    qty: Decimal | None = arg(help="filled: base coin, at most what was asked for", default=None)
    price: Decimal | None = arg(help="filled: average price, quote currency per coin", default=None)
    fee: Decimal | None = arg(help="filled: fee paid, settlement currency", default=None)
    trade_id: str = arg(
        help="filled: the venue's id of the trade, so that it is not counted again when it is heard of",
        default="",
    )


@register
class ResolveUnknown(Action[ResolveInput]):
    name = "trading.resolve_unknown"
    title = "Resolve an order in doubt"
    help = "Two people state what became of an order that the venue is silent about; the machine goes on."
    danger = Danger.INCREASES
    Input = ResolveInput
    listed = False

    def normalise(self, data: ResolveInput, actor: Actor) -> ResolveInput:
        errors = [("evidence", "say how it is known")] if not data.evidence.strip() else []
        given = {name: getattr(data, name) for name in ("qty", "price", "fee", "trade_id")}
        if data.verdict == "filled":
            errors += [(n, "needed with filled") for n, v in given.items() if v is None or v == ""]
            errors += [(n, "accepted: above 0") for n in ("qty", "price") if (given[n] or 1) <= 0]
        else:
            errors += [(n, "goes with filled") for n, v in given.items() if v not in (None, "")]
        if errors:
            raise InvalidInput([{"field": name, "detail": detail} for name, detail in errors])
        return data

    def target(self, data: ResolveInput) -> str:
        return data.client_order_id

    def check(self, ctx: Context[ResolveInput]) -> Outcome | None:
        order = OrderIntent.objects.filter(client_order_id=ctx.input.client_order_id).first()
        if order is None:
            raise Refusal("order.unknown", f"no order {ctx.input.client_order_id}", status=404)
        if order.state != OrderState.UNKNOWN:
            raise Refusal("order.not_in_doubt", f"{order.client_order_id} is {order.state}", status=409)
        most = order.qty - order.filled
        if ctx.input.qty is not None and ctx.input.qty > most:
            raise Refusal(
                "qty.invalid", f"qty {ctx.input.qty}: accepted: at most {most.normalize()}", status=422
            )
        self._not_too_early(order)
        return None

    def _not_too_early(self, order: OrderIntent) -> None:
        """While the venue may still take it, nobody can know that it did not."""
        assert order.sent_at is not None
        window = desk_config.active().trading.acceptance_window(order.venue)
        if timezone.now() < order.sent_at + window:
            seconds = window.total_seconds()
            raise Refusal("order.too_early", f"{order.venue} may take it for {seconds:.0f} s after sending")

    def diff(self, ctx: Context[ResolveInput]) -> list[dict[str, Any]]:
        after = (
            f"filled {ctx.input.qty} at {ctx.input.price}" if ctx.input.qty else "never taken by the venue"
        )
        return [{"field": ctx.input.client_order_id, "before": OrderState.UNKNOWN.value, "after": after}]

    def execute(self, ctx: Context[ResolveInput]) -> Outcome:
        order = OrderIntent.objects.select_related("leg").select_for_update(of=("self",))
        row = order.get(client_order_id=ctx.input.client_order_id)
        if row.state != OrderState.UNKNOWN:
            raise Refusal("order.not_in_doubt", f"{row.client_order_id} is {row.state}", status=409)
        state = resolving.settle(row, _fill(row, ctx.input))
        body = {"client_order_id": row.client_order_id, "state": state.value}
        return Outcome(Status.EXECUTED, body, after={**body, "evidence": ctx.input.evidence})


def _fill(order: OrderIntent, data: ResolveInput) -> FillReport | None:
    if data.qty is None or data.price is None or data.fee is None:
        return None
    return FillReport(
        venue=order.venue,
        symbol=order.symbol,
        trade_id=data.trade_id,
        venue_order_id=order.venue_order_id,
        client_order_id=order.client_order_id,
        side=Side(order.side),
        qty=data.qty,
        price=data.price,
        fee=data.fee,
        fee_currency=order.symbol.rsplit(":", 1)[-1],
        maker=False,
        at=order.sent_at or timezone.now(),
    )


@dataclass(frozen=True, kw_only=True)
class ResidualInput:
    execution_id: UUID = arg(help="An execution with a residual too small to trade")
    owner: str = arg(help="Username of who looks after it")


@register
class AssignResidual(Action[ResidualInput]):
    name = "trading.assign_residual"
    title = "Give a residual an owner"
    help = "A rest below the venue's minimum stays on the books: somebody has to remember it."
    danger = Danger.NEUTRAL
    Input = ResidualInput
    locks_desk = False
    listed = False
    reason_required = False

    def target(self, data: ResidualInput) -> str:
        return str(data.execution_id)

    def check(self, ctx: Context[ResidualInput]) -> Outcome | None:
        row = _execution(ctx.input.execution_id)
        if row.state != ExecutionState.RESIDUAL_HELD:
            raise Refusal("execution.no_residual", f"execution {row.pk} is {row.state}, not RESIDUAL_HELD")
        if not User.objects.filter(username=ctx.input.owner, is_active=True).exists():
            raise Refusal("user.unknown", f"no active person {ctx.input.owner!r}", status=422)
        return None

    def execute(self, ctx: Context[ResidualInput]) -> Outcome:
        row = _execution(ctx.input.execution_id, lock=True)
        row.residual_owner = User.objects.get(username=ctx.input.owner)
        row.save(update_fields=["residual_owner", "updated_at"])
        body = {"execution_id": str(row.pk), "owner": ctx.input.owner}
        return Outcome(Status.EXECUTED, body, after=body)
