"""`trading.setup_venue`: put an account into the state that the active configuration names (spec 4.1)."""

from dataclasses import dataclass

from ops.actions.base import Action, Context, Danger, Outcome, Refusal, Status
from ops.actions.inputs import arg
from ops.actions.registry import register
from trading import desk_config
from trading.execution.nudge import nudge
from trading.models import Venue


@dataclass(frozen=True, kw_only=True)
class SetupVenueInput:
    venue: str = arg(help="The venue whose account is set")


@register
class SetupVenue(Action[SetupVenueInput]):
    """Position mode and leverage come from the configuration alone, which two people approved: there is
    nothing to choose here, and doing it twice is doing it once."""

    name = "trading.setup_venue"
    title = "Set up a venue's account"
    help = "One-way mode and the configured leverage on every instrument of the desk, as the venue takes it."
    danger = Danger.NEUTRAL
    locks_desk = False  # no order depends on it: preflight reads what the venue says
    Input = SetupVenueInput
    model = Venue

    def objects(self, data: SetupVenueInput) -> list[Venue]:
        return list(Venue.objects.filter(name=data.venue))

    def target(self, data: SetupVenueInput) -> str:
        return data.venue

    def check(self, ctx: Context[SetupVenueInput]) -> Outcome | None:
        known = desk_config.active().trading.venues
        if ctx.input.venue not in known:
            raise Refusal(
                "venue.unknown",
                f"unknown venue {ctx.input.venue!r}; accepted: {', '.join(known)}",
                status=422,
            )
        return None

    def execute(self, ctx: Context[SetupVenueInput]) -> Outcome:
        nudge("trading.setup_venue", ctx.input.venue)
        wanted = desk_config.active().trading.setup_of(ctx.input.venue)
        body = {"venue": ctx.input.venue, "wanted": wanted, "location": "/api/deriv/status"}
        return Outcome(Status.ACCEPTED, body, after={"wanted": wanted})
