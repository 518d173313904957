"""The HTTP routes of `market`."""

from django.urls import path

from market.api import CandlesView, HealthView, WhitelistView

urlpatterns = [
    path("api/market/candles", CandlesView.as_view()),
    path("api/market/health", HealthView.as_view()),
    path("api/market/whitelist", WhitelistView.as_view()),
]
