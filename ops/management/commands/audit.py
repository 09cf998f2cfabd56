import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from ops import audit


class Command(BaseCommand):
    help = "verify: walk the audit chain from its first entry to its head. Exit code 1 when it does not hold."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=["verify"])
        parser.add_argument("--json", action="store_true", help="one JSON object instead of a sentence")

    def handle(self, *args: Any, **options: Any) -> None:
        found = audit.verify()
        if options["json"]:
            self.stdout.write(json.dumps(asdict(found), default=str))
        elif found.ok:
            self.stdout.write(f"the audit chain holds: {found.entries} entries, head {found.head}")
        else:
            self.stdout.write(f"the audit chain is broken at entry {found.bad_seq}: {found.problem}")
        if found.remark and not options["json"]:
            self.stdout.write(f"but: {found.remark}")
        if not found.ok:
            sys.exit(1)
