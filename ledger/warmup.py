"""Warm-up: after a read of candles, bring the ledger of their series up to them."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings
from django.db import DatabaseError

from ledger.advance import IngestPipelineError
from ledger.sync import WARMUP_WAIT, LedgerSyncService
from market.debug_events import Level, emit

COOLDOWN = 2.0
EVENT = "read.http.market_candles_ledger_warmup"


@dataclass(slots=True)
class _Series:
    in_flight: bool = False
    target: int = -1
    ran_at: float = float("-inf")


class MarketLedgerWarmupService:
    """Refreshes a series at most once in a while, one run at a time; its errors stay here."""

    def __init__(
        self,
        sync: LedgerSyncService | None = None,
        *,
        cooldown: float = COOLDOWN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sync = sync or LedgerSyncService(WARMUP_WAIT)
        self._cooldown = max(0.1, cooldown)
        self._clock = clock
        self._lock = threading.Lock()
        self._series: dict[str, _Series] = {}

    def ensure_ledgers_warm(self, series_id: str, store_head_time: int | None) -> bool:
        """Refresh up to the newest candle; say whether that was tried.

        Does nothing while switched off, without a candle, while one runs, or again within the
        cooldown unless there is a newer candle. A series that another writer holds is left out.
        """
        if not settings.TRADE_CANVAS_ENABLE_READ_LEDGER_WARMUP or not store_head_time:
            return False
        if not self._acquire(series_id, store_head_time):
            return False
        try:
            self._warm(series_id, store_head_time)
        finally:
            self._release(series_id)
        return True

    def _warm(self, series_id: str, target: int) -> None:
        """Refresh, and tell what came of it."""
        factor, overlay = self._sync.head_snapshot(series_id)
        about: dict[str, object] = {
            "target_time": target,
            "factor_head_before": factor,
            "overlay_head_before": overlay,
        }
        level: Level = "info"
        try:
            done = self._sync.refresh_if_needed(series_id, target)
            factor, overlay = done.factor_head_time, done.overlay_head_time
            about["steps"] = done.step_names
        except (IngestPipelineError, DatabaseError) as error:
            level = "warn"
            about |= {"steps": [], "error": str(error)}
        about |= {"factor_head_after": factor, "overlay_head_after": overlay}
        emit(EVENT, "read", series_id, level, data=about)

    def _acquire(self, series_id: str, target: int) -> bool:
        with self._lock:
            known = self._series.setdefault(series_id, _Series())
            recent = self._clock() - known.ran_at < self._cooldown
            if known.in_flight or (recent and target <= known.target):
                return False
            known.in_flight, known.target, known.ran_at = True, target, self._clock()
            return True

    def _release(self, series_id: str) -> None:
        with self._lock:
            known = self._series[series_id]
            known.in_flight, known.ran_at = False, self._clock()
