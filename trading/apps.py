from django.apps import AppConfig


class TradingConfig(AppConfig):
    name = "trading"

    def ready(self) -> None:
        from ops import config
        from trading.config import TradingConfig as Section

        config.register_section("trading", Section)
