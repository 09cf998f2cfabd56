from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from cryptobot.demo_desk import make_demo_desk


class Command(BaseCommand):
    help = "Make the people of the demo desk (paper only). Idempotent; secrets go to DATA_DIR/demo-desk.json."

    def handle(self, *args: Any, **options: Any) -> None:
        make_demo_desk(settings.ENV)
