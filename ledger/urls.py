"""Paths of the ledger's reads."""

from django.urls import path

from ledger import api

urlpatterns = [
    path("api/factor/slices", api.factor_slices),
    path("api/factor/health", api.factor_health_view),
    path("api/draw/delta", api.draw_delta),
    path("api/frame/live", api.frame_live),
    path("api/frame/at_time", api.frame_at_time),
    path("api/delta/poll", api.delta_poll),
]
