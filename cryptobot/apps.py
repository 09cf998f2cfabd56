from django.apps import AppConfig


class CryptobotConfig(AppConfig):
    name = "cryptobot"
