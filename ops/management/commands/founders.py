import json
import os
from pathlib import Path
from typing import Any

from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ops import audit
from ops.actions.people import make_person
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
        with audit.recorded():
            made = dict(_make(word) for word in options["person"])
            audit.append_system(
                action="ops.founders",
                target="people",
                verdict="executed",
                reason=f"at the terminal, as os:{login_of_host()}",
                after=sorted(made),
            )
        self._tell(made, options["out"])

    def _tell(self, made: dict[str, str], out: Path | None) -> None:
        if out is None:
            for name, password in made.items():
                self.stdout.write(f"{name}\t{password}")
            return
        with open(os.open(out, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            json.dump(made, file, indent=1)


def _make(word: str) -> tuple[str, str]:
    name, _, role = word.partition(":")
    if not name or not Group.objects.filter(name=role).exists():
        known = ", ".join(Group.objects.order_by("name").values_list("name", flat=True))
        raise CommandError(f"{word!r}; accepted: name:role, role one of {known}")
    return name, make_person(name, role=role)[1]
