from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class RiskConfig(AppConfig):
    name = "risk"

    def ready(self) -> None:
        from ops import checklist, config
        from risk import actions, status
        from risk.config import RiskConfig as Section

        assert actions
        config.register_section("risk", Section)
        checklist.register(status.GUARDS_LINE)
        status.register()
        post_migrate.connect(_singletons, sender=self)


def _singletons(sender: AppConfig, **_: Any) -> None:
    """The gate's lock row: made here, not in a migration, because test runs flush what migrations wrote."""
    sender.get_model("GateLock").objects.get_or_create(pk=1)  # type: ignore[attr-defined]
