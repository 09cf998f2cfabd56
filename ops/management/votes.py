"""What people do to a request, at a terminal."""

from typing import Any
from uuid import UUID

from django.core.management.base import CommandParser

from ops.actions import approvals
from ops.actions.base import Actor, Outcome, Source
from ops.management.person import PersonCommand


class RequestCommand(PersonCommand):
    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("request", type=UUID, help="the request's id")


class VoteCommand(RequestCommand):
    """One code of `--totp` is enough: the vote itself asks for it."""

    verdict = ""
    factor_at_login = False

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--digest", required=True, help="of the request, as it was displayed to you")
        parser.add_argument("--comment", default="", help="why; required to reject")

    def carry_out(self, actor: Actor, options: dict[str, Any]) -> Outcome:
        return approvals.vote(
            options["request"],
            actor=actor,
            verdict=self.verdict,
            digest=options["digest"],
            comment=options["comment"],
            totp=options["totp"],
            source=Source.CLI,
            idempotency_key=options["key"],
        )
