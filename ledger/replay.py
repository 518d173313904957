"""Prepare a series for replay: align, refresh if need be, demand both heads."""

import logging
from dataclasses import dataclass

from django.db import OperationalError

from ledger.alignment import Heads
from ledger.sync import PREPARE_WAIT, LedgerSyncService, Refreshed
from market.debug_events import emit

logger = logging.getLogger(__name__)

WINDOW, LEAST_WINDOW, MOST_WINDOW = 2000, 100, 5000


@dataclass(frozen=True, slots=True)
class Prepared:
    """A ledger that covers `aligned_time`; `computed` says whether that took a refresh."""

    requested_time: int
    aligned_time: int
    window_candles: int
    heads: Heads
    computed: bool


class ReplayPrepareService:
    """The one call of the read side that may compute."""

    def __init__(self, sync: LedgerSyncService | None = None) -> None:
        self.sync = sync or LedgerSyncService(PREPARE_WAIT)

    def prepare(
        self, *, series_id: str, to_time: int | None = None, window_candles: int | None = None
    ) -> Prepared:
        """Bring the ledger up to a time, by default the newest candle.

        Raises `NoDataError`, `OutOfSyncError`, or `IngestPipelineError` if a rule raises.
        """
        point = self.sync.resolve_aligned_point(series_id, to_time, "replay_prepare.no_data")
        window = min(MOST_WINDOW, max(LEAST_WINDOW, window_candles or WINDOW))
        done = self._refresh(series_id, point.aligned_time)
        heads = self.sync.require_heads_ready(
            series_id,
            point.aligned_time,
            "replay_prepare.ledger_out_of_sync.factor",
            "replay_prepare.ledger_out_of_sync.overlay",
        )
        about = {
            "requested_time": point.requested_time,
            "aligned_time": point.aligned_time,
            "window_candles": window,
            "factor_head_time": heads.factor,
            "overlay_head_time": heads.overlay,
            "computed": done.refreshed,
        }
        emit("read.http.replay_prepare", "read", series_id, data=about)
        return Prepared(
            point.requested_time, point.aligned_time, window, heads, computed=done.refreshed
        )

    def _refresh(self, series_id: str, aligned_time: int) -> Refreshed:
        """Refresh; where no turn came in time, the heads decide."""
        try:
            return self.sync.refresh_if_needed(series_id, aligned_time)
        except OperationalError:
            logger.warning("ledger.busy %s", series_id)
            return Refreshed(*self.sync.head_snapshot(series_id))
