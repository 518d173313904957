"""What readers want filled, and how filling goes: one row a series, which `ingest` works on.

A read never asks the exchange. It writes what it wants into the row, and answers from what is
stored.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Case, Q, When
from django.db.models.functions import Greatest, Least, Now
from django.utils import timezone

from market import selectors
from market.closing import expected_closed_time
from market.database import alias
from market.derived import family_of
from market.health import Filling
from market.models import BackfillProgress, BackfillState
from market.progress import STALE
from market.series import SeriesId

COOLDOWN = timedelta(seconds=2)


def filling_read(series_id: str) -> Filling:
    """Return how filling goes; a series without a row was never filled."""
    row = BackfillProgress.objects.using(alias()).filter(series_id=series_id).first()
    if row is None:
        return Filling()
    is_dead = row.state == BackfillState.RUNNING and _is_stale(row.updated_at)
    return Filling(
        state=BackfillState.FAILED if is_dead else row.state,
        started_at=_seconds(row.started_at),
        updated_at=_seconds(row.updated_at),
        reason=row.reason or None,
        note=row.note or None,
        error="its process ended" if is_dead else row.error or None,
        start_missing_seconds=row.start_missing_seconds,
        start_missing_candles=row.start_missing_candles,
        current_missing_seconds=row.current_missing_seconds,
        current_missing_candles=row.current_missing_candles,
    )


def tails_are_filled() -> bool:
    """Say whether a read of the newest candles may have the exchange asked for more."""
    return bool(
        settings.TRADE_CANVAS_ENABLE_MARKET_AUTO_TAIL_BACKFILL
        and settings.TRADE_CANVAS_ENABLE_CCXT_BACKFILL
        and settings.TRADE_CANVAS_ENABLE_CCXT_BACKFILL_ON_READ
    )


def gaps_are_filled() -> bool:
    """Say whether a gap that a subscriber meets may have the exchange asked."""
    return bool(
        settings.TRADE_CANVAS_ENABLE_MARKET_GAP_BACKFILL
        and settings.TRADE_CANVAS_ENABLE_CCXT_BACKFILL
    )


def tail_wanted(series_id: str, count: int, now: float) -> bool:
    """Want the newest `count` closed candles; say whether that was new.

    Derived candles come from their base, so its candles are wanted. What is stored already is not
    wanted, and a series is asked for once in two seconds.
    """
    most = settings.TRADE_CANVAS_MARKET_AUTO_TAIL_BACKFILL_MAX_CANDLES
    series, base = SeriesId.parse(series_id), SeriesId.parse(family_of(series_id))
    end = expected_closed_time(now, base.seconds)
    length = min(count, most or count) * series.seconds
    start = max(base.seconds, end - length + base.seconds)
    expected = (end - start) // base.seconds + 1
    if expected <= 0 or selectors.candle_count(str(base), start, end) >= expected:
        return False
    return _want(str(base), start, end, "tail_coverage")


def gap_wanted(series_id: str, start: int, end: int) -> bool:
    """Want the candles that a subscriber misses, at most as many as may be read back at once."""
    series, base = SeriesId.parse(series_id), SeriesId.parse(family_of(series_id))
    end += series.seconds - base.seconds
    most = settings.TRADE_CANVAS_MARKET_GAP_BACKFILL_READ_LIMIT * base.seconds
    return _want(str(base), max(start, end - most + base.seconds), end, "gap")


def _want(series_id: str, start: int, end: int, reason: str) -> bool:
    """Write a request into the row of a series, unless one was written or served just now.

    A window that still waits there is made wider.
    """
    row, _ = BackfillProgress.objects.get_or_create(series_id=series_id)
    lately = Q(requested_at__gte=Now() - COOLDOWN) | Q(updated_at__gte=Now() - COOLDOWN)
    wanted = BackfillProgress.objects.filter(pk=row.pk).exclude(
        lately & Q(wanted_start__lte=start, wanted_end__gte=end)
    )
    waits = Q(requested_at__isnull=False)
    return bool(
        wanted.update(
            requested_at=Now(),
            wanted_start=Case(When(waits, then=Least("wanted_start", start)), default=start),
            wanted_end=Case(When(waits, then=Greatest("wanted_end", end)), default=end),
            wanted_reason=reason,
        )
    )


def _is_stale(time: datetime | None) -> bool:
    return time is None or time < timezone.now() - STALE


def _seconds(time: datetime | None) -> int | None:
    return None if time is None else int(time.timestamp())
