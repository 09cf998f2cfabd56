from typing import Any

from django.core.management.base import CommandError, CommandParser

from ops.actions.base import Actor, Outcome
from ops.management.person import ActionCommand


class Command(ActionCommand):
    help = "Do one action as a person: act ops.hold --user alice --reason 'lunch' [name=value ...]"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name", help="its name, e.g. ops.hold")
        parser.add_argument("input", nargs="*", metavar="name=value", help="the fields of its input")

    def carry_out(self, actor: Actor, options: dict[str, Any]) -> Outcome | None:
        if wrong := [pair for pair in options["input"] if "=" not in pair]:
            raise CommandError(f"{wrong[0]!r}: accepted: name=value")
        texts = dict(pair.split("=", 1) for pair in options["input"])
        return self.submit(options["name"], texts, actor, options)
