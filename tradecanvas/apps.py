"""The application config of the composition root (its templates and commands)."""

from django.apps import AppConfig


class TradeCanvasConfig(AppConfig):
    """The composition root, installed so that its commands and checks are found."""

    name = "tradecanvas"
