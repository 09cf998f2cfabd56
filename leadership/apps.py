import secrets
from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class LeadershipConfig(AppConfig):
    name = "leadership"

    def ready(self) -> None:
        from leadership import services, status
        from ops import hooks

        hooks.provide_fence(services.current)
        status.register()
        post_migrate.connect(_lease, sender=self)


def _lease(sender: AppConfig, **_: Any) -> None:
    sender.get_model("Lease")._default_manager.get_or_create(pk=1, defaults={"nonce": secrets.token_hex(4)})
