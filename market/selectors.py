"""Reads of stored candles: one query each, ascending in time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market import database
from market.candles import Candles
from market.closing import closed_only, closed_time
from market.series import SeriesId

SELECT = "SELECT candle_time, open, high, low, close, volume FROM candles WHERE series_id = %s"
ASCENDING = " ORDER BY candle_time"
NEWEST_FIRST = " ORDER BY candle_time DESC LIMIT %s"
UP_TO = " AND candle_time <= %s"
BETWEEN = " AND candle_time BETWEEN %s AND %s"
COUNT = "SELECT count(*) FROM candles WHERE series_id = %s AND candle_time BETWEEN %s AND %s"
# Of each stretch: its place, series, after and end.
STRETCHES = """
SELECT wanted.column1, c.candle_time, c.open, c.high, c.low, c.close, c.volume
FROM (VALUES {values}) AS wanted JOIN candles c ON c.series_id = wanted.column2
AND c.candle_time BETWEEN coalesce({first}, 0) AND wanted.column4
ORDER BY 1, 2
"""
LOOKS_BACK = """(
    SELECT candle_time FROM candles
    WHERE series_id = wanted.column2 AND candle_time <= wanted.column3
    ORDER BY candle_time DESC LIMIT 1 OFFSET {skipped}
)"""
CLOSES = """
SELECT wanted.column1, c.close FROM (VALUES {values}) AS wanted
JOIN candles c ON c.series_id = wanted.column1 AND c.candle_time >= coalesce((
    SELECT candle_time FROM candles WHERE series_id = wanted.column1
    ORDER BY candle_time DESC LIMIT 1 OFFSET %s), 0)
ORDER BY wanted.column1, c.candle_time
"""
TIMES = (
    "SELECT candle_time FROM candles WHERE series_id = %s AND candle_time BETWEEN %s AND %s"
    " ORDER BY candle_time"
)


def candles_between(series_id: str, start: int, end: int) -> Candles:
    """Return the candles from `start` to `end`, both included."""
    return Candles.from_rows(database.rows(SELECT + BETWEEN + ASCENDING, [series_id, start, end]))


def candles_latest(series_id: str, limit: int, up_to: int | None = None) -> Candles:
    """Return the newest candles, at most `limit`, none later than `up_to`."""
    if up_to is None:
        return _reversed(SELECT + NEWEST_FIRST, [series_id, limit])
    return _reversed(SELECT + UP_TO + NEWEST_FIRST, [series_id, up_to, limit])


def candles_after(series_id: str, since: int, limit: int, up_to: int | None = None) -> Candles:
    """Return the first candles later than `since`, at most `limit`, none later than `up_to`."""
    sql, params = SELECT + " AND candle_time > %s", [series_id, since]
    if up_to is not None:
        sql, params = sql + UP_TO, [*params, up_to]
    return Candles.from_rows(database.rows(sql + ASCENDING + " LIMIT %s", [*params, limit]))


def candles_closed(series: SeriesId, since: int | None, limit: int, now: float) -> Candles:
    """Return the newest candles or those after `since`, without those that are not over."""
    if since is None:
        found = candles_latest(str(series), limit)
    else:
        after = closed_time(since, now, series.seconds)
        found = candles_after(str(series), after, limit)
    return closed_only(found, now, series.seconds)


@dataclass(frozen=True, slots=True)
class Stretch:
    """The candles of a series in (after, to_time], all of them up to there if `after` is None.

    With them go the `lookback` newest ones before.
    """

    series_id: str
    after: int | None
    lookback: int
    to_time: int


def candles_of_each(stretches: Sequence[Stretch]) -> list[Candles]:
    """Return the candles of each stretch, by one query for all that look back as far."""
    found: dict[int, Candles] = {}
    by_lookback: dict[int, list[int]] = {}
    for place, stretch in enumerate(stretches):
        by_lookback.setdefault(stretch.lookback, []).append(place)
    for lookback, places in by_lookback.items():
        found |= _stretched(lookback, {place: stretches[place] for place in places})
    return [found[place] for place in range(len(stretches))]


def _stretched(lookback: int, stretches: Mapping[int, Stretch]) -> dict[int, Candles]:
    """Return the candles of stretches that look back equally far, by their place."""
    first = LOOKS_BACK.format(skipped=lookback - 1) if lookback else "wanted.column3 + 1"
    values = ", ".join(["(%s, %s, CAST(%s AS bigint), %s)"] * len(stretches))
    params = [(n, s.series_id, s.after, s.to_time) for n, s in stretches.items()]
    rows = database.rows(
        STRETCHES.format(values=values, first=first), [value for row in params for value in row]
    )
    places, *columns = zip(*rows, strict=True) if rows else [()] * 7
    place, candles = np.array(places, np.int64), Candles.from_columns(*columns)
    ends = np.searchsorted(place, list(stretches), side="right").tolist()
    starts = [0, *ends]
    return {n: candles.take(slice(starts[i], ends[i])) for i, n in enumerate(stretches)}


def head_time(series_id: str) -> int | None:
    """Return the time of the newest candle."""
    return _number("SELECT max(candle_time) FROM candles WHERE series_id = %s", [series_id])


def head_times(series_ids: Sequence[str]) -> dict[str, int | None]:
    """Return the time of the newest candle of each of these series."""
    if not series_ids:
        return {}
    newest = "SELECT max(candle_time) FROM candles WHERE series_id = wanted.column1"
    values = ", ".join(["(%s)"] * len(series_ids))
    sql = f"SELECT column1, ({newest}) FROM (VALUES {values}) AS wanted"  # noqa: S608 (only marks)
    return dict(database.rows(sql, series_ids))


def closes_newest(series_ids: Sequence[str], count: int) -> dict[str, list[float]]:
    """Return the closes of the `count` newest candles of each of these series, by one query."""
    found: dict[str, list[float]] = {name: [] for name in series_ids}
    if found:
        values = ", ".join(["(%s)"] * len(series_ids))
        for name, close in database.rows(CLOSES.format(values=values), [*series_ids, count - 1]):
            found[name].append(close)
    return found


def first_time(series_id: str) -> int | None:
    """Return the time of the oldest candle."""
    return _number("SELECT min(candle_time) FROM candles WHERE series_id = %s", [series_id])


def floor_time(series_id: str, at: int) -> int | None:
    """Return the time of the newest candle at or before `at`."""
    sql = "SELECT max(candle_time) FROM candles WHERE series_id = %s AND candle_time <= %s"
    return _number(sql, [series_id, at])


def candle_count(series_id: str, start: int, end: int) -> int:
    """Return how many candles there are from `start` to `end`, both included."""
    return _number(COUNT, [series_id, start, end]) or 0


def times_stored(series_id: str, times: Sequence[int]) -> frozenset[int]:
    """Return those of these times at which a candle is stored."""
    if not times:
        return frozenset()
    marks = ", ".join(["%s"] * len(times))
    sql = f"SELECT candle_time FROM candles WHERE series_id = %s AND candle_time IN ({marks})"  # noqa: S608 (only marks)
    return frozenset(time for (time,) in database.rows(sql, [series_id, *times]))


def times_between(series_id: str, start: int, end: int) -> NDArray[np.int64]:
    """Return the times of the candles from `start` to `end`, both included."""
    rows = database.rows(TIMES, [series_id, start, end])
    return np.fromiter((time for (time,) in rows), np.int64, len(rows))


def _reversed(sql: str, params: list[Any]) -> Candles:
    return Candles.from_rows(reversed(database.rows(sql, params)))


def _number(sql: str, params: list[Any]) -> int | None:
    number: int | None = database.value(sql, params)
    return number


def any_candle() -> bool:
    """Say whether a candle of any series is stored."""
    return database.value("SELECT 1 FROM candles LIMIT 1", []) is not None


def series_stored() -> list[str]:
    """Return the series that have candles, in text order."""
    return sorted(database.series_in("candles"))
