"""Longer candles from shorter ones: which can be made, and how. Imports no framework.

A bucket of a timeframe opens at a multiple of its length since 1970, so all its base candles lie
in one day. It is whole when there is a base candle at each of its steps; candles between the steps
belong to no bucket. The volume is the exact sum of the stored doubles, rounded once (`math.fsum`):
the same whatever the order and batch in which the candles came. A sum beyond the greatest double is
that double.
"""

import math
import sys
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from market.candles import Candle, Candles
from market.series import BadSeriesIdError, timeframe_seconds

DAY = 86_400
Times = NDArray[np.int64]


class BadTimeframesError(ValueError):
    """Some timeframes cannot be made from the base; the message names them."""


def lengths(base: str, timeframes: Iterable[str]) -> dict[str, int]:
    """Return the length of each timeframe in seconds, or raise `BadTimeframesError`.

    >>> lengths("1m", ["5m", "1d"])
    {'5m': 300, '1d': 86400}
    """
    step = _seconds(base)
    if step is None:
        raise BadTimeframesError(f"{base!r} is not a timeframe")
    found = {name: _seconds(name) for name in timeframes}
    good = {
        name: seconds
        for name, seconds in found.items()
        if seconds and seconds > step and not seconds % step and not DAY % seconds
    }
    if bad := [name for name in found if name not in good]:
        raise BadTimeframesError(
            f"{', '.join(bad)}: not whole multiples of {base} that divide a day"
        )
    return good


def _seconds(timeframe: str) -> int | None:
    try:
        return timeframe_seconds(timeframe)
    except BadSeriesIdError:
        return None


def buckets(times: Times, seconds: int) -> Times:
    """Return when the buckets open that hold these times, each once.

    >>> buckets(np.array([60, 240, 300]), 300).tolist()
    [0, 300]
    """
    return np.unique(times - times % seconds)


def spans(opens: Iterable[tuple[Times, int]]) -> list[tuple[int, int]]:
    """Return stretches of time, ascending and apart, that cover buckets of several lengths.

    Each pair is when buckets open and how long they last; stretches less than a day apart are one.

    >>> spans([(np.array([0, 300]), 300), (np.array([0]), 3600), (np.array([172800]), 300)])
    [(0, 3600), (172800, 173100)]
    """
    pairs = list(opens)
    start = np.concatenate([times for times, _ in pairs])
    end = np.concatenate([times + seconds for times, seconds in pairs])
    order = np.argsort(start, kind="stable")
    start, end = start[order], np.maximum.accumulate(end[order])
    is_first = np.append(np.ones(1, dtype=bool), start[1:] - end[:-1] >= DAY)
    firsts = np.flatnonzero(is_first)
    lasts = np.append(firsts[1:] - 1, len(start) - 1)
    return list(zip(start[firsts].tolist(), end[lasts].tolist(), strict=True))


def roll_up(base: Candles, step: int, seconds: int) -> Candles:
    """Return the candles of all whole buckets; `base` ascends, its candles are `step` long."""
    base = base.take(base.time % step == 0)
    opens = base.time - base.time % seconds
    starts = np.flatnonzero(np.diff(opens, prepend=-1))
    sizes = np.diff(starts, append=len(opens))
    whole = starts[sizes == seconds // step]
    rows = whole[:, None] + np.arange(seconds // step)
    return Candles(
        opens[whole],
        base.open[whole],
        base.high[rows].max(axis=1),
        base.low[rows].min(axis=1),
        base.close[rows[:, -1]],
        np.array([total(row) for row in base.volume[rows].tolist()], dtype=np.float64),
    )


def total(volumes: Iterable[float]) -> float:
    """Return the sum of volumes, the same for any order; never more than the greatest double.

    >>> total([0.1] * 10)
    1.0
    """
    try:
        return math.fsum(volumes)
    except OverflowError:
        return sys.float_info.max


def forming(stored: Candles, candle: Candle, seconds: int) -> Candle:
    """Return the candle of the bucket that a forming base candle is in, as far as it has come.

    `stored` ascends; those of the bucket that are earlier than the forming one are merged with it.
    Holes are left open: what is forming is only shown.
    """
    opened = candle.candle_time - candle.candle_time % seconds
    earlier = stored.take((stored.time >= opened) & (stored.time < candle.candle_time)).rows()
    every = [*earlier, candle]
    return Candle(
        opened,
        every[0].open,
        max(each.high for each in every),
        min(each.low for each in every),
        candle.close,
        total(each.volume for each in every),
    )
