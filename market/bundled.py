"""The real candles that come with the project. Imports no framework."""

from functools import cache
from pathlib import Path

from market.candle_file import read_candles
from market.candles import Candles
from market.series import SeriesId

SERIES = SeriesId.parse("binance:futures:BTC/USDT:1m")
PATH = (
    Path(__file__).resolve().parent.parent
    / "data"
    / "binance_futures_BTCUSDT_1m_20250504_20250624.csv.gz"
)


def bundled_candles(count: int | None = None) -> Candles:
    """Return the first `count` bundled candles, or all 73,139; they are the caller's own."""
    return Candles(*(column[:count].copy() for column in _read().columns()))


@cache
def _read() -> Candles:
    return read_candles(PATH).candles
