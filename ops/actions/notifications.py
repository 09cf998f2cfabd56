"""`ops.test_notification`: prove that a route reaches somebody."""

from dataclasses import dataclass

from ops.actions.base import Action, Context, Danger, Outcome, Refusal, Status
from ops.actions.inputs import arg
from ops.actions.registry import register
from ops.notifications import service


@dataclass(frozen=True, kw_only=True)
class TestInput:
    route: str = arg(help="The route, as the configuration names it")


@register
class TestNotification(Action[TestInput]):
    name = "ops.test_notification"
    title = "Send a test message"
    help = "The same way as an alarm; its delivery row says whether it arrived."
    danger = Danger.NEUTRAL
    Input = TestInput
    reason_required = False
    locks_desk = False

    def target(self, data: TestInput) -> str:
        return data.route

    def check(self, ctx: Context[TestInput]) -> Outcome | None:
        known = service.routes()
        if ctx.input.route not in known:
            accepted = ", ".join(known) or "none is configured"
            raise Refusal("route.unknown", f"route {ctx.input.route!r}; accepted: {accepted}", status=422)
        return None

    def execute(self, ctx: Context[TestInput]) -> Outcome:
        row = service.test_send(ctx.input.route)
        body = {"delivery_id": row.pk, "route": row.route}
        return Outcome(Status.ACCEPTED, body, after={"route": row.route})
