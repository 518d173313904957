"""The HTTP routes of `market`."""

from django.urls import path

from market.api import CandlesView, WhitelistView

urlpatterns = [
    path("api/market/candles", CandlesView.as_view()),
    path("api/market/whitelist", WhitelistView.as_view()),
]
