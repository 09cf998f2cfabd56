import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from trading import panic
from trading.venues import get_hub

#: The prefix of every order of this desk, unless its configuration says otherwise.
PREFIX = "cb"


class Command(BaseCommand):
    """Asks nobody: who is at the machine may stop."""

    help = (
        "Cancel our orders and, with --flatten, close every position, straight at the venues: works with the "
        "database, the broker and the leader gone. Exit 0: the venues confirm it; 1: not all of it."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--venue", action="append", help="only this one; may be given again")
        parser.add_argument("--flatten", action="store_true", help="close every position too")
        parser.add_argument("--prefix", default=PREFIX, help="of our client order ids")

    def handle(self, *_: Any, **options: Any) -> None:
        env, hub = settings.ENV, get_hub()
        known = hub.names()
        venues = options["venue"] or list(known)
        if unknown := sorted(set(venues) - set(known)):
            self.stderr.write(f"no such venue: {', '.join(unknown)}; there are: {', '.join(known)}")
            sys.exit(2)
        journal = panic.Journal(env.data_dir / panic.LOG, settings.AUDIT_HMAC_KEY, self.stdout.write)
        done = panic.run(hub, venues, prefix=options["prefix"], flatten=options["flatten"], journal=journal)
        hub.close()
        self.stdout.write("confirmed by the venues" if done else "UNVERIFIED: look at the venues' own pages")
        sys.exit(0 if done else 1)
