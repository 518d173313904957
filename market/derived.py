"""Derived series: made from the stored candles of a base series of the same symbol.

Off unless `TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES` is on; then no series is derived here. One whose
id would be longer than ids may be does not exist.
"""

import math
from collections.abc import Mapping
from functools import lru_cache, reduce

import numpy as np
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from market import rollup, selectors
from market.candles import Candles
from market.rollup import BadTimeframesError, Times
from market.series import MAX_LENGTH, timeframe_seconds

NONE: Mapping[str, int] = {}


def settings_check() -> None:
    """Refuse timeframes that cannot be made, where derived timeframes are on."""
    if settings.TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES:
        try:
            rollup.lengths(*_asked())
        except BadTimeframesError as error:
            raise ImproperlyConfigured(f"TRADE_CANVAS_DERIVED_TIMEFRAMES: {error}") from error


def derived_from(series_id: str) -> Mapping[str, int]:
    """Return the series that are derived from this one, and how long their candles are."""
    if not settings.TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES:
        return NONE
    return _derived_from(series_id, *_asked())


def base_of(series_id: str) -> str | None:
    """Return the series that this one is derived from, None if it is not derived."""
    if not settings.TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES:
        return None
    base, timeframes = _asked()
    stem, _, timeframe = series_id.rpartition(":")
    name = f"{stem}:{base}"
    return name if timeframe in timeframes and len(name) <= MAX_LENGTH else None


def family_of(series_id: str) -> str:
    """Return the base of a derived series; any other series is its own."""
    return base_of(series_id) or series_id


def closed_by(series_id: str, times: Times) -> set[str]:
    """Return the derived series of which a base candle at one of these times ends a bucket."""
    lengths = derived_from(series_id)
    if not lengths:
        return set()
    ends = times + _step()
    ends = ends[ends % math.gcd(*lengths.values()) == 0]
    if not len(ends):  # as for most candles
        return set()
    return {name for name, seconds in lengths.items() if not np.all(ends % seconds)}


def touched_by(series_id: str, times: Times, head: int) -> dict[str, Times]:
    """Return when the buckets open that hold these times and could be whole, by derived series.

    `head` is the newest base candle: of a bucket that ends later, one is still to come.
    """
    step, found = _step(), {}
    for name, seconds in derived_from(series_id).items():
        opens = rollup.buckets(times, seconds)
        if len(over := opens[opens + seconds - step <= head]):
            found[name] = over
    return found


def made_from(
    base: str, opens: Mapping[str, Times], known: Candles | None = None
) -> dict[str, Candles]:
    """Return the candles of these buckets, as far as all base candles of them are stored.

    `known` are the base candles from some time to the newest, where the caller has them: only what
    lies before is read.
    """
    asked = {name: times for name, times in opens.items() if len(times)}
    if not asked:
        return {}
    lengths = derived_from(base)
    spans = rollup.spans((times, lengths[name]) for name, times in asked.items())
    candles = reduce(Candles.then, (_stored(base, *span, known) for span in spans))
    made = {}
    for name, times in asked.items():
        rolled = rollup.roll_up(candles, _step(), lengths[name])
        made[name] = rolled.take(np.isin(rolled.time, times))
    return {name: candles for name, candles in made.items() if len(candles)}


def _stored(base: str, start: int, end: int, known: Candles | None) -> Candles:
    """Return the base candles in [start, end), read as far as they are not known."""
    if known is None:
        return selectors.candles_between(base, start, end - 1)
    inside = known.take((known.time >= start) & (known.time < end))
    until = min(end, int(known.time[0]))
    if start >= until:
        return inside
    return selectors.candles_between(base, start, until - 1).then(inside)


def _asked() -> tuple[str, tuple[str, ...]]:
    """Return base timeframe and derived timeframes, as they are set."""
    return (
        settings.TRADE_CANVAS_DERIVED_BASE_TIMEFRAME,
        tuple(settings.TRADE_CANVAS_DERIVED_TIMEFRAMES),
    )


def _step() -> int:
    """Return the length of a base candle in seconds."""
    return timeframe_seconds(settings.TRADE_CANVAS_DERIVED_BASE_TIMEFRAME)


@lru_cache(maxsize=4096)
def _derived_from(series_id: str, base: str, timeframes: tuple[str, ...]) -> Mapping[str, int]:
    stem, _, timeframe = series_id.rpartition(":")
    if timeframe != base:
        return NONE
    lengths = rollup.lengths(base, timeframes)
    names = {f"{stem}:{name}": seconds for name, seconds in lengths.items()}
    return {name: seconds for name, seconds in names.items() if len(name) <= MAX_LENGTH}
