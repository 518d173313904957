"""Which candles have closed by the clock. Imports no framework.

Exchange data may hold a candle whose time is not over; data of tests and stories may lie far in
the future and passes as it is. Two candles past the expected close are the border between them.
"""

from market.candles import Candles


def expected_closed_time(now: float, seconds: int) -> int:
    """Return the open time of the newest candle that is over, never below 0.

    >>> expected_closed_time(3601.5, 60)
    3540
    """
    return max(0, int(now) // seconds * seconds - seconds)


def closed_time(time: int, now: float, seconds: int) -> int:
    """Return the latest time that may be shown when candles reach up to `time`.

    >>> closed_time(3600, 3601, 60), closed_time(9000, 3601, 60), closed_time(60, 3601, 60)
    (3540, 9000, 60)
    """
    expected = expected_closed_time(now, seconds)
    return time if time > expected + 2 * seconds else min(time, expected)


def closed_only(candles: Candles, now: float, seconds: int) -> Candles:
    """Return the candles without those that are not over yet."""
    if not len(candles):
        return candles
    latest = closed_time(candles.time.item(-1), now, seconds)
    return candles.take(candles.time <= latest)
