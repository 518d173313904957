"""How whole the stored candles of a series are; counted by the database."""

from dataclasses import asdict, dataclass
from typing import Any

from market import database
from market.series import SeriesId

BASE_TIMEFRAME, BASE_SECONDS = "1m", 60
STEPS = (
    "SELECT candle_time, candle_time - lag(candle_time) OVER (ORDER BY candle_time) AS step"
    " FROM candles WHERE series_id = %s"
)
WHOLE = (
    "SELECT count(*), min(candle_time), max(candle_time), max(step),"  # noqa: S608 (our text)
    f" coalesce(sum(CASE WHEN step > %s THEN 1 ELSE 0 END), 0) FROM ({STEPS}) AS steps"
)
GAPS = (
    f"SELECT candle_time, step FROM ({STEPS}) AS steps WHERE step > %s"  # noqa: S608 (our text)
    " ORDER BY candle_time DESC LIMIT %s"
)
BASE_ENDS = "SELECT min(candle_time), max(candle_time) FROM candles WHERE series_id = %s"
BUCKETS = (
    "SELECT candle_time - candle_time %% %s AS bucket, count(*) FROM candles"
    " WHERE series_id = %s AND candle_time >= %s GROUP BY 1"
)


@dataclass(frozen=True, slots=True)
class Gap:
    """Two neighbours that are further apart than one candle."""

    prev_time: int
    next_time: int
    delta_seconds: int
    missing_candles: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many minutes of a candle's time are stored."""

    bucket_open_time: int
    expected_minutes: int
    actual_minutes: int
    missing_minutes: int


def series_health(
    series: SeriesId, now: int, *, most_gaps: int, most_buckets: int
) -> dict[str, Any]:
    """Return counts, gaps and the newest buckets of the base series, from one state."""
    seconds = series.seconds
    base = f"{str(series).rpartition(':')[0]}:{BASE_TIMEFRAME}"
    with database.reading():
        ((count, first, head, largest, gaps),) = database.rows(WHOLE, [seconds, str(series)])
        recent = _gaps(series, most_gaps) if gaps else []
        buckets = [] if seconds == BASE_SECONDS else _buckets(base, seconds, most_buckets)
    return {
        "series_id": str(series),
        "timeframe_seconds": seconds,
        "now_time": now,
        "first_time": first,
        "head_time": head,
        "lag_seconds": None if head is None else max(0, now - head),
        "candle_count": count,
        "gap_count": gaps,
        "max_gap_seconds": largest,
        "recent_gaps": [asdict(gap) for gap in recent],
        "base_series_id": base,
        "base_bucket_completeness": [asdict(bucket) for bucket in buckets],
    }


def _gaps(series: SeriesId, most: int) -> list[Gap]:
    """Return the newest gaps, newest first."""
    seconds = series.seconds
    return [
        Gap(time - step, time, step, max(0, step // seconds - 1))
        for time, step in database.rows(GAPS, [str(series), seconds, most])
    ]


def _buckets(base: str, seconds: int, most: int) -> list[Bucket]:
    """Return the newest buckets that the base series reaches, oldest first."""
    ((first, head),) = database.rows(BASE_ENDS, [base])
    if head is None:
        return []
    newest = head - head % seconds
    oldest = max(first - first % seconds, newest - (most - 1) * seconds)
    stored = dict(database.rows(BUCKETS, [seconds, base, oldest]))
    expected = seconds // BASE_SECONDS
    return [
        Bucket(time, expected, stored.get(time, 0), max(0, expected - stored.get(time, 0)))
        for time in range(oldest, newest + 1, seconds)
    ]
