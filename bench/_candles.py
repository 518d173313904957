"""Any number of candles that look real."""

from market.bundled import bundled_candles
from market.candles import Candles

SECONDS = 60


def continued(count: int) -> Candles:
    """Return the bundled candles, and copies of them that go on where the last one ended."""
    real = bundled_candles()
    found = real.take(slice(0, count))
    while len(found) < count:
        ratio = float(found.close[-1] / real.open[0])
        times = real.time - real.time[0] + found.time[-1] + SECONDS
        ohlc = (real.open * ratio, real.high * ratio, real.low * ratio, real.close * ratio)
        found = found.then(Candles(times, *ohlc, real.volume))
    return found.take(slice(0, count))
