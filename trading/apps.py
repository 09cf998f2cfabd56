from django.apps import AppConfig


class TradingConfig(AppConfig):
    name = "trading"

    def ready(self) -> None:
        from ops import checklist, config, digests
        from ops.incidents import timeline
        from risk import exposure
        from trading import actions, incident_story, metrics, readiness, status
        from trading.config import TradingConfig as Section
        from trading.models import Attempt, ExecutionTransition, Fill

        assert actions
        config.register_section("trading", Section)
        exposure.register(readiness.holdings)
        timeline.register("trading", incident_story.tell)
        for journal in (Attempt, ExecutionTransition, Fill):
            digests.register(journal)
        for item in readiness.ITEMS:
            checklist.register(item)
        status.register()
        metrics.register()
