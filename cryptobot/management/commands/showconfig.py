import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser


class Command(BaseCommand):
    help = "The environment this desk runs with, every variable; secrets and addresses with passwords hidden."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        shown = settings.ENV.redacted()
        if options["json"]:
            self.stdout.write(json.dumps(shown, indent=1))
            return
        for name, value in shown.items():
            self.stdout.write(f"{name}={value}")
