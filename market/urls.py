"""The HTTP routes of `market`."""

from django.urls import path

from market.api import (
    AsyncApiView,
    CandlesView,
    HealthView,
    MetricsView,
    SeriesHealthView,
    TopMarketsStreamView,
    TopMarketsView,
    WhitelistView,
)

urlpatterns = [
    path("api/market/candles", CandlesView.as_view()),
    path("api/market/health", HealthView.as_view()),
    path("api/market/top_markets", TopMarketsView.as_view()),
    path("api/market/top_markets/stream", TopMarketsStreamView.as_view()),
    path("api/asyncapi", AsyncApiView.as_view()),
    path("api/market/whitelist", WhitelistView.as_view()),
    path("api/market/debug/series_health", SeriesHealthView.as_view()),
    path("api/market/debug/metrics", MetricsView.as_view()),
]
