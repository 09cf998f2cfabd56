from django.apps import AppConfig
from django.conf import settings


class CryptobotConfig(AppConfig):
    name = "cryptobot"

    def ready(self) -> None:
        # The import does it: the Celery app becomes the default of this process, the checks are registered,
        # the Celery processes get their heartbeat.
        import cryptobot.celery
        import cryptobot.checks
        import cryptobot.pulse  # noqa: F401
        from cryptobot import names
        from cryptobot.build import build_id
        from cryptobot.supervisor import children
        from ops import heartbeat, hooks

        names.translate()
        hooks.provide_build(build_id)
        heartbeat.expect(child.name for child in children.desk(settings.ENV))
