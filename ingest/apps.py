"""Say which settings are set in vain, and fill what a socket looks at first."""

from django.apps import AppConfig
from django.conf import settings
from django.core import checks


class IngestConfig(AppConfig):
    """Where candles come from."""

    name = "ingest"

    def ready(self) -> None:
        """Register the check, and how a derived series gets its first candles."""
        checks.register(check_settings_without_effect)
        from ingest.catch_up import first_window as fill
        from market import first_window

        first_window.register(fill)


def check_settings_without_effect(**_: object) -> list[checks.CheckMessage]:
    """Name the settings of the earlier system that are accepted and do nothing."""
    return [
        checks.Warning(
            f"{name} has no effect",
            hint="A failed step loses no candle, and nothing limits what is computed: unset it.",
            id="ingest.W001",
        )
        for name in settings.SETTINGS_WITHOUT_EFFECT
    ]
