"""Tell the ground floor how far each ledger is ready."""

from django.apps import AppConfig


class LedgerConfig(AppConfig):
    """Registers the announced heads with the sockets' hub."""

    name = "ledger"

    def ready(self) -> None:
        """Give the hub its reader; models are loaded by now."""
        from ledger.selectors import announced_heads
        from market import hub

        hub.register_heads(announced_heads)
