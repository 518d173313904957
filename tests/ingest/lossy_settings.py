"""The settings of a server whose channel layer loses hints."""

from tradecanvas.settings import *  # noqa: F403 (the same settings, but for one)
from tradecanvas.settings import CHANNEL_LAYERS as LAYERS

LAYER = LAYERS["default"] | {"BACKEND": "tests.ingest.lossy_layer.LossyRedisLayer"}
CHANNEL_LAYERS = {"default": LAYER}
