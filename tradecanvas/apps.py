"""The application config of the composition root."""

from django.apps import AppConfig


class TradeCanvasConfig(AppConfig):
    """The composition root: settings, routes, and the pages that need all apps."""

    name = "tradecanvas"
