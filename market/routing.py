"""The socket routes of `market`."""

from django.urls import path

from market.consumers import DebugConsumer, MarketConsumer

websocket_urlpatterns = [
    path("ws/market", MarketConsumer.as_asgi()),
    path("ws/debug", DebugConsumer.as_asgi()),
]
