"""The application config of `market`: its system checks."""

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.utils.translation import gettext_lazy

from market import derived
from market.whitelist import BadWhitelistError, whitelist_read


class MarketConfig(AppConfig):
    """Candles: the ground floor."""

    name = "market"
    verbose_name = gettext_lazy("Candles")

    def ready(self) -> None:
        """Register the checks; timeframes that cannot be derived stop the start."""
        derived.settings_check()
        register(check_whitelist)


def check_whitelist(**_: object) -> list[CheckMessage]:
    """Refuse a whitelist that nobody could read."""
    try:
        whitelist_read(settings.TRADE_CANVAS_WHITELIST_PATH)
    except (BadWhitelistError, OSError) as error:
        return [Error(str(error), id="market.E001")]
    return []
