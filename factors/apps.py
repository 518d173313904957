"""Load the factors and check that they fit together."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy

from factors.engine import registry
from factors.engine.registry import FactorGraphError
from factors.engine.rules import BadParameterError


def check_factor_order(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Report missing needs and cycles among the registered factors."""
    try:
        registry.known()
    except FactorGraphError as error:
        return [Error(f"The factors do not fit together: {error}", id="factors.E001")]
    return []


class FactorsConfig(AppConfig):
    """Registers the factors at start."""

    name = "factors"
    verbose_name = gettext_lazy("Factors")

    def ready(self) -> None:
        """Load every plugin; what the settings ask for in vain, or a name used twice, stops it."""
        registry.load()
        register(check_factor_order)
        from factors.services import current_rules

        try:
            current_rules()
        except FactorGraphError as error:
            if "missing_factor" not in str(error):
                return  # the check says it in words
            raise ImproperlyConfigured(f"TRADE_CANVAS_EXTRA_FACTORS: {error}") from error
        except BadParameterError as error:
            raise ImproperlyConfigured(f"TRADE_CANVAS_FACTOR_PARAMS: {error}") from error
