"""Commands that a person gives at a terminal: who they are, what they ask, what came of it.

Exit codes: 0 done, 1 refused, 3 waits for approval. Nothing prompts without a terminal; errors go to stderr.
Secrets are asked for, or are the lines of `--password-stdin`, the person's password first: everybody on a
host can read its command lines.
"""

import getpass
import os
import pwd
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ops import context, logins
from ops.actions import registry, runner
from ops.actions.base import Actor, Credential, Outcome, Refusal, Source, Status
from ops.actions.inputs import InputField, describe
from ops.actions.texts import as_data
from ops.api.json import dumps

PENDING_EXIT = 3


class PersonCommand(BaseCommand):
    """Subclasses say what to do in `carry_out`."""

    factor_at_login = True

    def add_arguments(self, parser: CommandParser) -> None:
        who = parser.add_mutually_exclusive_group(required=True)
        who.add_argument("--user", help="who you are; the password is asked for")
        who.add_argument("--as-os", action="store_true", help="as the login of this host: stops only")
        parser.add_argument("--password-stdin", action="store_true", help="secrets come by stdin, one a line")
        parser.add_argument("--totp", default="", help="a fresh code, where you have a second factor")
        parser.add_argument("--key", default="", help="Idempotency-Key: the same key gives the first answer")
        parser.add_argument("--json", action="store_true", help="the answer as REST gives it")

    def handle(self, *args: Any, **options: Any) -> None:
        context.begin()
        try:
            outcome = self.carry_out(self.actor(options), options)
        except Refusal as no:
            self._refused(no, as_json=options["json"])
            sys.exit(1)
        if outcome is not None:
            self._done(outcome, as_json=options["json"])
            if outcome.status is Status.PENDING:
                sys.exit(PENDING_EXIT)

    def carry_out(self, actor: Actor, options: dict[str, Any]) -> Outcome | None:
        raise NotImplementedError

    def actor(self, options: dict[str, Any]) -> Actor:
        if options["as_os"]:
            return Actor.of_host(login_of_host())
        user = logins.come_in(
            logins.at_the_machine(),
            name=options["user"],
            password=_secret("password", options),
            totp=options["totp"] if self.factor_at_login else None,
            source=Source.CLI,
        )
        return Actor(user, Credential.PASSWORD)

    def _done(self, outcome: Outcome, *, as_json: bool) -> None:
        body = outcome.as_dict()
        if as_json:
            self.stdout.write(dumps(body).decode())
            return
        self.stdout.write(f"{body['status']} (audit {body['audit_seq']})")
        if approval := body.get("approval"):
            self.stdout.write(f"request {approval['id']} is {approval['state']}, digest {approval['digest']}")

    def _refused(self, no: Refusal, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(dumps({"status": "refused", **no.as_dict()}).decode())
            return
        self.stderr.write(f"refused: {no.code}: {no.detail}")


class ActionCommand(PersonCommand):
    """One action by name, its input as flags: `class Command(ActionCommand): action = "ops.hold"`."""

    action = ""

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--reason", default="")
        parser.add_argument("--dry-run", action="store_true", help="say what it would do, and do nothing")
        for field in _open_fields(self.action) if self.action else []:
            parser.add_argument(_flag(field), help=field.help, choices=field.choices or None)

    def carry_out(self, actor: Actor, options: dict[str, Any]) -> Outcome | None:
        fields = _open_fields(self.action)
        texts = {
            f.name: text for f in fields if (text := options[_flag(f)[2:].replace("-", "_")]) is not None
        }
        return self.submit(self.action, texts, actor, options)

    def submit(
        self, name: str, texts: dict[str, str], actor: Actor, options: dict[str, Any]
    ) -> Outcome | None:
        action = registry.get(name)
        data = as_data(action.Input, {**texts, **_secrets(name, texts, options)})
        asked = {"actor": actor, "data": data, "reason": options["reason"], "source": Source.CLI}
        if not options["dry_run"]:
            return runner.submit(action.name, **asked, idempotency_key=options["key"])
        self.stdout.write(dumps(runner.rehearse(action.name, **asked).as_dict()).decode())
        return None


def login_of_host() -> str:
    """Who runs this process; a number where the host does not know a name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _flag(field: InputField) -> str:
    """Not the name of one of our own options."""
    name = field.name.replace("_", "-")
    return f"--for-{name}" if name in {"user", "reason", "key", "json", "totp"} else f"--{name}"


def _open_fields(action: str) -> list[InputField]:
    return [field for field in describe(registry.get(action).Input) if not field.secret]


def _secrets(action: str, texts: dict[str, str], options: dict[str, Any]) -> dict[str, str]:
    """The input's secret fields, in their order. A login of the host has none to give."""
    names = [field.name for field in describe(registry.get(action).Input) if field.secret]
    if said := [name for name in names if name in texts]:
        raise CommandError(f"{', '.join(said)}: not on the command line; typed when asked, or by stdin")
    return {} if options["as_os"] else {name: _secret(name, options) for name in names}


def _secret(name: str, options: dict[str, Any]) -> str:
    if options["password_stdin"]:
        return sys.stdin.readline().rstrip("\n")
    if not sys.stdin.isatty():
        raise CommandError(f"no terminal to ask for the {name}: use --password-stdin")
    return getpass.getpass(f"{name.capitalize()}: ")
