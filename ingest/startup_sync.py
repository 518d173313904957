"""Start-up sync: fill the newest candles of each followed series, then bring its ledger up."""

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError
from dataclasses import asdict, dataclass, field

from django.db import OperationalError

from ledger.sync import STARTUP_WAIT, LedgerSyncService
from market import clock, selectors
from market.closing import expected_closed_time
from market.debug_events import emit
from market.series import BadSeriesIdError, SeriesId

logger = logging.getLogger(__name__)

Backfill = Callable[[SeriesId, int, int], int]
"""Fills a series so that `n` candles end with `to_time`; returns how many of them there are."""


@dataclass(frozen=True, slots=True)
class SeriesResult:
    """How one series came out; `error` is empty if all went well."""

    series_id: str
    target_time: int = 0
    before_head_time: int | None = None
    after_head_time: int | None = None
    covered_candles: int = 0
    refreshed: bool = False
    error: str = ""

    @property
    def lagging(self) -> bool:
        """Whether the newest candle that should be over is not there, though nothing failed."""
        behind = self.after_head_time is None or self.after_head_time < self.target_time
        return not self.error and self.target_time > 0 and behind


@dataclass(slots=True)
class StartupSync:
    """How a start-up sync came out."""

    enabled: bool
    target_candles: int
    duration_ms: float = 0.0
    series_results: list[SeriesResult] = field(default_factory=list)

    @property
    def series_total(self) -> int:
        """How many series were looked at."""
        return len(self.series_results)

    @property
    def series_synced(self) -> int:
        """How many are up to date."""
        return sum(not result.lagging and not result.error for result in self.series_results)

    @property
    def series_lagging(self) -> int:
        """How many are up to their newest candle, which is not the newest that closed."""
        return sum(result.lagging for result in self.series_results)

    @property
    def series_errors(self) -> int:
        """How many failed."""
        return sum(bool(result.error) for result in self.series_results)


def run_startup_kline_sync(  # noqa: PLR0913 (what to fill, how far, by whom, when)
    *,
    backfill: Backfill,
    series_ids: Iterable[str],
    enabled: bool,
    target_candles: int,
    now_time: float | None = None,
    ledger_sync: LedgerSyncService | None = None,
) -> StartupSync:
    """Sync each series, one after another in text order; one that fails does not stop the next.

    All take the same `now_time`. A series that another process holds for too long is `busy`. A fill
    that raises `CancelledError` ends it all.
    """
    result = StartupSync(enabled, target_candles)
    if not enabled:
        return result
    began, now = time.perf_counter(), clock.now() if now_time is None else now_time
    sync = ledger_sync or LedgerSyncService(STARTUP_WAIT)
    for series_id in sorted({name.strip() for name in series_ids} - {""}):
        done = _sync(series_id, backfill, target_candles, now, sync)
        _tell_series(done)
        result.series_results.append(done)
    result.duration_ms = (time.perf_counter() - began) * 1000
    _tell(result)
    return result


def _tell_series(done: SeriesResult) -> None:
    data = asdict(done) | {"lagging": done.lagging, "error": done.error or None}
    emit(
        "write.startup.kline_sync.series_done",
        "write",
        done.series_id,
        "error" if done.error else "info",
        data=data,
    )


def _tell(result: StartupSync) -> None:
    data = {
        "target_candles": result.target_candles,
        "series_total": result.series_total,
        "series_synced": result.series_synced,
        "series_lagging": result.series_lagging,
        "series_errors": result.series_errors,
        "duration_ms": result.duration_ms,
    }
    emit("write.startup.kline_sync.done", "write", data=data)


def _sync(
    series_id: str, backfill: Backfill, candles: int, now: float, sync: LedgerSyncService
) -> SeriesResult:
    try:
        series = SeriesId.parse(series_id)
    except BadSeriesIdError:
        return SeriesResult(series_id, error="invalid_series_timeframe")
    target = expected_closed_time(now, series.seconds)
    if target <= 0:
        return SeriesResult(series_id)
    before = selectors.head_time(series_id)
    covered, refreshed, error = 0, False, ""
    try:
        covered = backfill(series, candles, target)
        refreshed = sync.refresh_if_needed(series_id, target).refreshed
    except OperationalError:
        error = "busy"
    except CancelledError:
        raise
    except Exception as failure:
        logger.exception("write.startup.kline_sync.failed %s", series_id)
        error = f"{type(failure).__name__}: {failure}"
    after = selectors.head_time(series_id)
    return SeriesResult(series_id, target, before, after, covered, refreshed, error)
