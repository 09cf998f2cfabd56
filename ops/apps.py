from typing import Any

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.db.models.signals import post_migrate


class DeskAdminConfig(AdminConfig):
    default_site = "ops.admin_site.DeskAdminSite"


class OpsConfig(AppConfig):
    name = "ops"

    def ready(self) -> None:
        from ops import checklist, checks, components, config, digests, metrics, overview, roles
        from ops.actions import credentials, desk_mode, incidents, notifications, people, permissions
        from ops.config import ControlConfig
        from ops.models import IncidentEvent
        from ops.notifications.config import NotificationsConfig

        config.register_section("control", ControlConfig)
        config.register_section("notifications", NotificationsConfig)
        digests.register(IncidentEvent)
        assert checklist
        assert checks
        assert credentials
        assert desk_mode
        assert incidents
        assert notifications
        assert people
        assert permissions
        assert overview  # its check
        components.register_all()
        metrics.register_all()
        post_migrate.connect(_singletons, sender=self)
        # Without a sender: after every app's migrations, so that the last run sees all permissions and
        # models.
        post_migrate.connect(roles.sync, dispatch_uid="ops.roles")


def _singletons(sender: AppConfig, **_: Any) -> None:
    """Rows that must always be there. Not in a migration: test runs flush what migrations wrote."""
    for name in ("DeskState", "AuditHead"):
        sender.get_model(name)._default_manager.get_or_create(pk=1)
