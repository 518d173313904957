"""Say which settings are set in vain, and fill what a socket looks at first."""

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.utils.translation import gettext_lazy


class IngestConfig(AppConfig):
    """Where candles come from."""

    name = "ingest"
    verbose_name = gettext_lazy("Feeds")

    def ready(self) -> None:
        """Register the checks, and how a derived series gets its first candles."""
        checks.register(check_settings_without_effect)
        checks.register(check_feeds, deploy=True)
        from ingest.catch_up import first_window as fill
        from market import first_window

        first_window.register(fill)


def check_settings_without_effect(**_: object) -> list[checks.CheckMessage]:
    """Name the settings of the earlier system that are accepted and do nothing."""
    return [
        checks.Warning(
            f"{name} has no effect",
            hint="What it asked for is always so, or not needed any more: unset it.",
            id="ingest.W001",
        )
        for name in settings.SETTINGS_WITHOUT_EFFECT
    ]


def check_feeds(**_: object) -> list[checks.CheckMessage]:
    """Say what a server that others reach should not leave open."""
    found: list[checks.CheckMessage] = []
    if not settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL:
        found.append(
            checks.Warning(
                "TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL is off",
                hint="A feed that fails knocks every two seconds, and the exchange may ban you.",
                id="ingest.W002",
            )
        )
    if settings.TRADE_CANVAS_ENABLE_ONDEMAND_INGEST and not settings.TRADE_CANVAS_ONDEMAND_MAX_JOBS:
        found.append(
            checks.Warning(
                "TRADE_CANVAS_ONDEMAND_MAX_JOBS is 0, which is no limit",
                hint="Whoever may watch could let any number of series be followed: set a limit.",
                id="ingest.W003",
            )
        )
    return found
