from typing import Any

from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = "There is none here: see founders."

    def handle(self, *args: Any, **options: Any) -> None:
        raise CommandError(
            "a desk has no superuser: manage.py founders makes its first people, ops.create_user the next"
        )
