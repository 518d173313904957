"""The one place that resolves aligned time, refreshes ledgers and says whether they are ready.

Reads, replay prepare, read repair, warm-up, start-up sync and recovery all come here; a test walks
the code for any second way.
"""

import logging
from dataclasses import dataclass, field

from django.conf import settings
from django.db import DatabaseError

from ledger.advance import refresh_series_sync
from ledger.alignment import Heads, NoDataError
from ledger.selectors import Look, heads_of, look_at
from market import database, selectors

logger = logging.getLogger(__name__)

# How long each caller waits for the lock of a series, in seconds.
INGEST_WAIT, PREPARE_WAIT, WARMUP_WAIT, STARTUP_WAIT = database.WRITE_WAIT, 5.0, 0.0, 30.0


@dataclass(frozen=True, slots=True)
class AlignedPoint:
    """A time that was asked for, and the newest closed candle at or before it."""

    requested_time: int
    aligned_time: int


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh did: the steps that ran, and the heads afterwards."""

    factor_head_time: int | None
    overlay_head_time: int | None
    step_names: list[str] = field(default_factory=list)

    @property
    def refreshed(self) -> bool:
        """Whether any step ran, even if no head moved."""
        return bool(self.step_names)


class LedgerSyncService:
    """Aligned time, refresh and readiness of one series' ledger. Holds nothing but its wait.

    `wait` is how many seconds a refresh waits for other writers before it gives up.
    """

    def __init__(self, wait: float = INGEST_WAIT) -> None:
        self.wait = wait

    def aligned_time(self, series_id: str, at_time: int) -> int | None:
        """Return the newest closed candle at or before a time, None if there is none."""
        return selectors.floor_time(series_id, at_time)

    def look(self, series_id: str, at_time: int | None, looks_back: int) -> Look:
        """Return heads and aligned time of a read, and what is stored of its window.

        Without a time it is aligned to where all heads have come. `looks_back` is in seconds.
        """
        return look_at(series_id, at_time, looks_back)

    def resolve_aligned_point(
        self, series_id: str, to_time: int | None, code: str, detail: str = "no_data"
    ) -> AlignedPoint:
        """Return what `to_time`, or by default the candle head, is aligned to.

        Raises `NoDataError` without a candle, or with none at or before the time.
        """
        requested = selectors.head_time(series_id) if to_time is None else to_time
        aligned = None if requested is None else self.aligned_time(series_id, requested)
        if requested is None or aligned is None:
            raise NoDataError(detail, code)
        return AlignedPoint(requested, aligned)

    def head_snapshot(self, series_id: str) -> tuple[int | None, int | None]:
        """Return factor and overlay head; never raises: what cannot be read is None."""
        try:
            heads = heads_of(series_id)
        except DatabaseError:
            logger.warning("ledger.heads_unreadable %s", series_id, exc_info=True)
            return None, None
        return heads.factor, heads.overlay

    def refresh(self, series_id: str, up_to_time: int) -> Refreshed:
        """Bring factors and drawings up to a time at least, never beyond the candles.

        Raises `IngestPipelineError` if a rule does, `DatabaseError` if no turn came.
        """
        steps = refresh_series_sync({series_id: up_to_time}, wait=self.wait)
        factor, overlay = self.head_snapshot(series_id)
        return Refreshed(factor, overlay, [step.name for step in steps])

    def refresh_if_needed(self, series_id: str, up_to_time: int) -> Refreshed:
        """Refresh unless both heads reach the time and nothing before it is to be recomputed."""
        try:
            heads = heads_of(series_id)
        except DatabaseError:
            return self.refresh(series_id, up_to_time)
        if self.is_ready(heads, up_to_time):
            return Refreshed(heads.factor, heads.overlay)
        return self.refresh(series_id, up_to_time)

    def is_ready(self, heads: Heads, time: int) -> bool:
        """Say whether factors and drawings cover a time, as far as they are switched on."""
        if not settings.TRADE_CANVAS_ENABLE_FACTOR_INGEST:
            return True
        drawn = heads.covers(heads.overlay, time)
        return heads.covers(heads.factor, time) and (
            drawn or not settings.TRADE_CANVAS_ENABLE_OVERLAY_INGEST
        )

    def require_factor_ready(self, heads: Heads, aligned_time: int, code: str = "") -> None:
        """Raise `OutOfSyncError` unless factors cover the time."""
        heads.require_factor(aligned_time, code)

    def require_overlay_ready(self, heads: Heads, aligned_time: int, code: str = "") -> None:
        """Raise `OutOfSyncError` unless drawings cover the time."""
        heads.require_overlay(aligned_time, code)

    def require_heads_ready(
        self,
        series_id: str,
        aligned_time: int,
        factor_code: str = "",
        overlay_code: str = "",
        *,
        heads: Heads | None = None,
    ) -> Heads:
        """Return the heads if both cover the time, else raise `OutOfSyncError`, factors first.

        `heads` are those that the caller already read, from the same state of the database.
        """
        known = heads_of(series_id) if heads is None else heads
        self.require_factor_ready(known, aligned_time, factor_code)
        self.require_overlay_ready(known, aligned_time, overlay_code)
        return known
