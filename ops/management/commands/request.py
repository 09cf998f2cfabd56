from typing import Any

from django.core.management.base import CommandParser

from ops.actions import approvals
from ops.actions.base import Actor, Outcome, Source
from ops.management.votes import RequestCommand

VERBS = {"apply": approvals.apply, "cancel": approvals.cancel, "withdraw": approvals.withdraw}


class Command(RequestCommand):
    help = "apply an approved request again, cancel one's own, or withdraw one's vote."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("verb", choices=sorted(VERBS))
        super().add_arguments(parser)

    def carry_out(self, actor: Actor, options: dict[str, Any]) -> Outcome:
        do = VERBS[options["verb"]]
        return do(options["request"], actor=actor, source=Source.CLI, idempotency_key=options["key"])
