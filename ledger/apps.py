"""Tell the ground floor how far each ledger is ready."""

from django.apps import AppConfig
from django.conf import settings
from django.utils.translation import gettext_lazy


class LedgerConfig(AppConfig):
    """Registers the announced heads with the sockets' hub, and the warm-up after reads."""

    name = "ledger"
    verbose_name = gettext_lazy("Ledger")

    def ready(self) -> None:
        """Give the hub its reader and reads their warm-up; models are loaded by now."""
        from ledger.selectors import announced_heads
        from ledger.warmup import MarketLedgerWarmupService
        from market import after_read, hub

        hub.register_heads(announced_heads)
        after_read.register(
            MarketLedgerWarmupService().ensure_ledgers_warm,
            lambda: settings.TRADE_CANVAS_ENABLE_READ_LEDGER_WARMUP,
        )
