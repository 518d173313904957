"""Paths that take candles in, and the one that shows the feeds."""

from django.urls import path

from ingest import api

urlpatterns = [
    path("api/market/ingest/candle_closed", api.candle_closed),
    path("api/market/debug/ingest_state", api.ingest_state_view),
    path("api/ingest/feed", api.feed_state_view),
    path("api/market/ingest/candle_forming", api.candle_forming),
    path("api/dev/market/ingest/candles_closed_batch", api.CandlesClosedBatchView.as_view()),
]
