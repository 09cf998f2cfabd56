from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connection

from cryptobot.embedded.grants import grant
from cryptobot.embedded.paths import APP_ROLE


class Command(BaseCommand):
    help = "Migrate and give the application role its rights. Run with the owner's DATABASE_URL."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--app-role", default=APP_ROLE, help="the role the desk's processes log in as")

    def handle(self, *args: Any, app_role: str, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        with connection.cursor() as cursor:
            grant(cursor, app_role=app_role)
