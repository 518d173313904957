"""How fresh the newest candle of a series is. Imports no framework."""

from dataclasses import dataclass
from typing import Literal

from market.series import BadSeriesIdError, timeframe_seconds

State = Literal["missing", "fresh", "stale", "degraded"]


@dataclass(frozen=True, slots=True)
class Freshness:
    """The newest candle beside the clock."""

    head_time: int | None
    now_time: int
    lag_seconds: int | None
    state: State


def freshness(
    timeframe: str, head: int | None, now: int, *, fresh_candles: int, stale_candles: int
) -> Freshness:
    """Return how far the newest candle is behind: up to so many candles it is fresh, or stale.

    >>> freshness("1m", 0, 121, fresh_candles=2, stale_candles=5)
    Freshness(head_time=0, now_time=121, lag_seconds=121, state='stale')
    """
    if head is None:
        return Freshness(None, now, None, "missing")
    lag = max(0, now - head)
    return Freshness(head, now, lag, _state(timeframe, lag, fresh_candles, stale_candles))


def _state(timeframe: str, lag: int, fresh_candles: int, stale_candles: int) -> State:
    try:
        seconds = timeframe_seconds(timeframe)
    except BadSeriesIdError:
        return "degraded"
    if lag <= fresh_candles * seconds:
        return "fresh"
    return "stale" if lag <= stale_candles * seconds else "degraded"
