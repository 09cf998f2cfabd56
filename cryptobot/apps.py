from django.apps import AppConfig


class CryptobotConfig(AppConfig):
    name = "cryptobot"

    def ready(self) -> None:
        # The import does it: the Celery app becomes the default of this process, the checks are registered.
        import cryptobot.celery
        import cryptobot.checks  # noqa: F401
