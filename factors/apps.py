"""Load the factors and check that they fit together."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, register

from factors.engine import registry


def check_factor_order(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Report missing needs and cycles among the registered factors."""
    try:
        registry.ordered()
    except registry.FactorGraphError as error:
        return [Error(f"The factors do not fit together: {error}", id="factors.E001")]
    return []


class FactorsConfig(AppConfig):
    """Registers the factors at start."""

    name = "factors"

    def ready(self) -> None:
        """Load every plugin; a name used twice stops the start."""
        registry.load()
        register(check_factor_order)
