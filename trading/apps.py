from django.apps import AppConfig

JOURNALS = (
    "Attempt",
    "ExecutionTransition",
    "Fill",
    "FundingPayment",
    "LedgerEntry",
    "LedgerLine",
    "VenueBill",
)


class TradingConfig(AppConfig):
    name = "trading"

    def ready(self) -> None:
        from leadership import handover, store
        from ops import checklist, config, digests
        from ops.incidents import timeline
        from risk import exposure
        from trading import (
            actions,
            guards,
            incident_story,
            metrics,
            models,
            readiness,
            risk_inputs,
            status,
            takeover,
        )
        from trading.config import TradingConfig as Section

        assert actions
        config.register_section("trading", Section)
        exposure.register(risk_inputs.holdings)
        exposure.register_flow(risk_inputs.flow)
        handover.provide(takeover.work, takeover.window_sec, takeover.offset_sec)
        store.register_floor("SELECT max(fence) FROM trading_orderintent")
        timeline.register("trading", incident_story.tell)
        for journal in JOURNALS:
            digests.register(getattr(models, journal))
        for item in readiness.ITEMS:
            checklist.register(item)
        guards.register()
        status.register()
        metrics.register()
