import sys
from typing import Any

from django.core.management.base import BaseCommand

from cryptobot.supervisor.main import main


class Command(BaseCommand):
    help = "Run the whole desk (services, web, workers, beat) until Ctrl-C. manage.py runs it without Django."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        sys.exit(main())
