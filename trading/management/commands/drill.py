import sys
from typing import Any

from django.core.management.base import BaseCommand

from trading import drill


class Command(BaseCommand):
    help = "Exercise the kill switch and flatten on paper venues of its own; the result is an audit entry."

    def handle(self, *_: Any, **__: Any) -> None:
        passed = drill.run(self.stdout.write)
        self.stdout.write("passed" if passed else "FAILED")
        sys.exit(0 if passed else 1)
