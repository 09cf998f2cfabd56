import json
import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ops import audit
from ops.actions.people import CreateUserInput, make_person, wrong_with
from ops.management.person import login_of_host
from ops.models import User


class Command(BaseCommand):
    help = (
        "The first people of a desk, together, while nobody is there who could approve them: "
        "founders --person alice:operator --person bob:operator --person rita:risk_manager"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--person", action="append", required=True, metavar="name:role")
        parser.add_argument(
            "--out", type=Path, help="write names and passwords here (mode 0600), not to stdout"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """The database refuses people without an approved request as soon as anybody is there."""
        if User.objects.exists():
            raise CommandError("people are here already: the next ones come by ops.create_user, approved")
        roles = _roles(options["person"])
        with audit.recorded():
            made = {name: make_person(name, role=role)[1] for name, role in roles.items()}
            audit.append_system(
                action="ops.founders",
                target="people",
                verdict="executed",
                reason=f"at the terminal, as os:{login_of_host()}",
                after=sorted(made),
            )
            if options["out"]:  # inside: people whose passwords could not be told must not remain
                _write(made, options["out"])
        if not options["out"]:
            self._tell(made)

    def _tell(self, made: dict[str, str]) -> None:
        for name, password in made.items():
            self.stdout.write(f"{name}\t{password}")


def _roles(words: list[str]) -> dict[str, str]:
    """Role by name. Raises CommandError."""
    found: dict[str, str] = {}
    for word in words:
        name, _, role = word.partition(":")
        if errors := wrong_with(CreateUserInput(username=name, role=role)):
            why = "; ".join(f"{e['field']}: {e['detail']}" for e in errors)
            raise CommandError(f"{word!r}: accepted: name:role; {why}")
        if name.lower() in {known.lower() for known in found}:
            raise CommandError(f"{word!r}: {name} is named twice; more roles come by ops.grant_role")
        found[name] = role
    return found


def _write(made: dict[str, str], out: Path) -> None:
    try:
        with open(os.open(out, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            json.dump(made, file, indent=1)
    except OSError as no:
        raise CommandError(f"{out}: {no.strerror}; nobody was made") from no
