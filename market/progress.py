"""How filling a series goes, as its row in `backfill_progress` says. Blocking work.

A row that is running and was not touched for a minute belongs to nobody: its process is gone.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, Q
from django.db.models.functions import Now

from market.models import BackfillProgress, BackfillState

STALE = timedelta(seconds=60)
# SQLite keeps its own times to the millisecond, and as texts.
TICK = timedelta(milliseconds=1)


class BusyError(Exception):
    """Another process fills this series now."""


@dataclass(frozen=True, slots=True)
class Window:
    """Which candles of a series are wanted, both ends included, what for, and since when."""

    series_id: str
    start: int
    end: int
    reason: str
    requested_at: datetime | None = None


def progress_begin(window: Window, owner: str, missing: int, seconds: int) -> None:
    """Take the row of a series; raises `BusyError` while a living process has it."""
    BackfillProgress.objects.get_or_create(series_id=window.series_id)
    dead = Q(updated_at__lt=Now() - STALE) | Q(owner=owner)
    free = ~Q(state=BackfillState.RUNNING) | dead
    taken = BackfillProgress.objects.filter(free, series_id=window.series_id).update(
        state=BackfillState.RUNNING,
        owner=owner,
        reason=window.reason,
        window_start=window.start,
        window_end=window.end,
        started_at=Now(),
        updated_at=Now(),
        start_missing_seconds=missing * seconds,
        start_missing_candles=missing,
        current_missing_seconds=missing * seconds,
        current_missing_candles=missing,
        note="",
        error="",
    )
    if not taken:
        raise BusyError(f"{window.series_id} is being filled by another process")


def progress_step(series_id: str, owner: str, missing: int, seconds: int) -> None:
    """Say how much is still missing, and that we live."""
    BackfillProgress.objects.filter(series_id=series_id, owner=owner).update(
        current_missing_seconds=missing * seconds, current_missing_candles=missing, updated_at=Now()
    )


def progress_alive(series_id: str, owner: str) -> None:
    """Say that we live, while the exchange lets us wait."""
    BackfillProgress.objects.filter(series_id=series_id, owner=owner).update(updated_at=Now())


def progress_end(series_id: str, owner: str, *, note: str = "", error: str = "") -> None:
    """Say how it came out; a request that came while we filled stays."""
    state = BackfillState.FAILED if error else BackfillState.SUCCEEDED
    mine = BackfillProgress.objects.filter(series_id=series_id, owner=owner)
    mine.update(state=state, note=note, error=error[:2000], updated_at=Now())
    mine.filter(requested_at__lte=F("started_at")).update(requested_at=None)


def progress_refused(window: Window, error: str) -> None:
    """Say why a request cannot be served, and forget it; one that came meanwhile stays."""
    if window.requested_at is None:
        return
    BackfillProgress.objects.filter(
        series_id=window.series_id,
        wanted_start=window.start,
        wanted_end=window.end,
        requested_at__lt=window.requested_at + TICK,
    ).exclude(state=BackfillState.RUNNING).update(
        state=BackfillState.FAILED,
        reason=F("wanted_reason"),
        error=error[:2000],
        updated_at=Now(),
        requested_at=None,
    )


def progress_wanted() -> list[Window]:
    """Return what readers want filled and nobody fills, the newest window first."""
    free = ~Q(state=BackfillState.RUNNING) | Q(updated_at__lt=Now() - STALE)
    rows = BackfillProgress.objects.filter(free, requested_at__isnull=False)
    return [
        Window(
            row.series_id,
            row.wanted_start or 0,
            row.wanted_end or 0,
            row.wanted_reason,
            row.requested_at,
        )
        for row in rows.order_by("-wanted_end", "series_id")
    ]
