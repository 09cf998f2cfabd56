import secrets
from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class LeadershipConfig(AppConfig):
    name = "leadership"

    def ready(self) -> None:
        from leadership import actions, metrics, readiness, services, status
        from ops import checklist, hooks

        assert actions
        hooks.provide_fence(services.current, services.hold_term)
        hooks.provide_fact("lease", readiness.lease_facts)
        hooks.provide_fact("lease_deadline", readiness.deadline_facts)
        for item in readiness.ITEMS:
            checklist.register(item)
        status.register()
        metrics.register()
        post_migrate.connect(_lease, sender=self)


def _lease(sender: AppConfig, **_: Any) -> None:
    """The one row. Held by whoever migrates while the lock is off: a desk on one host is its own leader."""
    from django.conf import settings

    alone = not settings.ENV.feature_leader_lock
    sender.get_model("Lease")._default_manager.get_or_create(
        pk=1,
        defaults={
            "nonce": secrets.token_hex(4),
            "owner": settings.INSTANCE if alone else "",
            "state": "HELD" if alone else "FREE",
        },
    )
