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
    path("api/replay/prepare", api.replay_prepare),
    path("api/dev/repair/overlay", api.repair_overlay),
    path("api/ledger/digest", api.ledger_digest),
    path("api/ledger/diff", api.ledger_diff),
]
