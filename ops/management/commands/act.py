import getpass
import sys
from typing import Any

from django.contrib.auth import authenticate
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ops import context, logins
from ops.actions import registry, runner
from ops.actions.base import Action, Actor, Credential, Refusal, Source
from ops.actions.texts import as_data
from ops.api.json import dumps
from ops.models import User


class Command(BaseCommand):
    help = "Do one action as a person: act ops.hold --user alice --reason 'lunch' [name=value ...]"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", help="its name, e.g. ops.hold")
        parser.add_argument("input", nargs="*", metavar="name=value", help="the fields of its input")
        parser.add_argument("--user", required=True, help="who you are")
        parser.add_argument("--password-stdin", action="store_true", help="read the password from stdin")
        parser.add_argument("--reason", default="")
        parser.add_argument("--json", action="store_true", help="the answer as REST gives it")

    def handle(self, *args: Any, **options: Any) -> None:
        context.begin()
        try:
            action = registry.get(options["action"])
            texts = _texts(options["input"])
            actor = Actor(_person(options["user"], _password(options)), Credential.PASSWORD)
            outcome = runner.submit(
                action.name,
                actor=actor,
                data=as_data(action.Input, texts),
                reason=options["reason"],
                source=Source.CLI,
            )
        except Refusal as no:
            self._refused(no, as_json=options["json"])
            sys.exit(1)
        self._done(action, outcome.as_dict(), as_json=options["json"])

    def _done(self, action: Action[Any], body: dict[str, Any], *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(dumps(body).decode())
            return
        self.stdout.write(f"{action.name}: {body['status']} (audit {body['audit_seq']})")
        if approval := body.get("approval"):
            self.stdout.write(f"request {approval['id']}, digest {approval['digest']}")

    def _refused(self, no: Refusal, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(dumps({"status": "refused", **no.as_dict()}).decode())
            return
        self.stderr.write(f"refused: {no.code}: {no.detail}")


def _texts(pairs: list[str]) -> dict[str, str]:
    if wrong := [pair for pair in pairs if "=" not in pair]:
        raise CommandError(f"{wrong[0]!r}: accepted: name=value")
    return dict(pair.split("=", 1) for pair in pairs)


def _password(options: dict[str, Any]) -> str:
    return sys.stdin.readline().rstrip("\n") if options["password_stdin"] else getpass.getpass()


def _person(name: str, password: str) -> User:
    """Wrong name and wrong password look the same, and both are on record."""
    user = authenticate(username=name, password=password)
    if not isinstance(user, User):
        logins.record(name, user=None, source=Source.CLI)
        raise Refusal("auth.failed", "wrong name or password", status=401)
    return user
