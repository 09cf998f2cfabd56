from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.utils.module_loading import import_string

from cryptobot.demo_desk import make_demo_desk

# What must be true before the first process of a desk starts: callables without arguments, in order.
STEPS = (
    "ops.config.ensure_first_version",
    "ops.desk.desk_started",
    "trading.services.venues.sync_venues",
    "trading.panic_import.take_over",
)


class Command(BaseCommand):
    help = "Bring a desk to its starting state (HOLD) before its processes start. Idempotent."

    def handle(self, *args: Any, **options: Any) -> None:
        for step in STEPS:
            import_string(step)()
        make_demo_desk(settings.ENV)
        call_command("collectstatic", interactive=False, verbosity=0)
