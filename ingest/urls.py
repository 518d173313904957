"""Paths that take candles in."""

from django.urls import path

from ingest import api

urlpatterns = [
    path("api/market/ingest/candle_closed", api.candle_closed),
    path("api/dev/market/ingest/candles_closed_batch", api.CandlesClosedBatchView.as_view()),
]
