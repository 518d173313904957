"""What Binance calls things, and what its frames and rows say. Imports no framework.

Source: the exchange's documentation and recorded frames; see `docs/ingest.md`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson

from market.candles import Candle, Candles
from market.series import SeriesId

EXCHANGE = "binance"
TIMEFRAMES = frozenset(
    ["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d"]
)
ROW_LENGTH = 6


class UnsupportedSeriesError(ValueError):
    """No feed has this series; the message says why."""


@dataclass(frozen=True, slots=True)
class Venue:
    """One market of the exchange: paths, the most rows of an answer, and of streams on a socket."""

    market: str
    klines: str
    time: str
    symbols: str
    most_rows: int
    most_streams: int


VENUES = {
    "spot": Venue("spot", "/api/v3/klines", "/api/v3/time", "/api/v3/exchangeInfo", 1000, 1024),
    "futures": Venue(
        "futures", "/fapi/v1/klines", "/fapi/v1/time", "/fapi/v1/exchangeInfo", 1500, 200
    ),
}


@dataclass(frozen=True, slots=True)
class KlineFrame:
    """A candle as a frame shows it; `is_closed` in the one frame that closes it."""

    series_id: str
    candle: Candle
    is_closed: bool


@dataclass(frozen=True, slots=True)
class Rejected:
    """A frame that is not taken, why, and of which series, where that can be told."""

    reason: str
    series_id: str = ""


def symbol_of(series: SeriesId) -> str:
    """Return what the exchange calls the symbol of a series.

    >>> symbol_of(SeriesId.parse("binance:futures:BTC/USDT:1m"))
    'BTCUSDT'
    """
    if series.exchange != EXCHANGE:
        raise UnsupportedSeriesError(f"unsupported exchange for realtime ingest: {series.exchange}")
    if series.market not in VENUES:
        raise UnsupportedSeriesError(f"unsupported market: {series.market}")
    if series.timeframe not in TIMEFRAMES:
        raise UnsupportedSeriesError(f"unsupported interval: {series.timeframe}")
    base, slash, quote = series.symbol.partition(":")[0].partition("/")
    if not (slash and base and quote):
        raise UnsupportedSeriesError(f"not a symbol such as BTC/USDT: {series.symbol}")
    return f"{base}{quote}".replace("-", "").upper()


def stream_of(series: SeriesId) -> str:
    """Return the name of the stream of a series.

    >>> stream_of(SeriesId.parse("binance:futures:BTC/USDT:1m"))
    'btcusdt@kline_1m'
    """
    return f"{symbol_of(series).lower()}@kline_{series.timeframe}"


def wanted_by(series: Iterable[SeriesId]) -> dict[tuple[str, str], SeriesId]:
    """Return series by what frames call them: symbol and interval."""
    return {(symbol_of(one), one.timeframe): one for one in series}


def parse_frame(
    text: str | bytes, wanted: Mapping[tuple[str, str], SeriesId], now: float
) -> KlineFrame | Rejected | None:
    """Return the candle of a frame, why it is not taken, or None for what is no kline at all.

    `now` is the exchange's time in seconds. Frames may be wrapped by a combined stream.
    """
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        return Rejected("not_json")
    if isinstance(message, dict) and "data" in message:
        message = message["data"]
    if not isinstance(message, dict):
        return Rejected("not_an_object")
    if message.get("e") != "kline":
        return None
    return _kline(message, wanted, now)


def _kline(
    event: Mapping[str, Any], wanted: Mapping[tuple[str, str], SeriesId], now: float
) -> KlineFrame | Rejected:
    kline = event.get("k")
    if not isinstance(kline, dict):
        return Rejected("no_kline")
    series = wanted.get((str(event.get("s")), str(kline.get("i"))))
    if series is None or kline.get("s", event.get("s")) != event.get("s"):
        return Rejected("not_subscribed")
    found = candle_of([kline.get(key) for key in ("t", "o", "h", "l", "c", "v")], series.seconds)
    if isinstance(found, Rejected):
        return Rejected(found.reason, str(series))
    if found.candle_time > now + series.seconds:
        return Rejected("from_the_future", str(series))
    if not isinstance(kline.get("x"), bool):
        return Rejected("not_said_whether_closed", str(series))
    return KlineFrame(str(series), found, kline["x"])


def candle_of(row: Sequence[Any], seconds: int) -> Candle | Rejected:
    """Return the candle of open time in milliseconds, four prices and volume, or why it is none."""
    if len(row) < ROW_LENGTH:
        return Rejected("too_short")
    time = row[0]
    if not isinstance(time, int) or isinstance(time, bool) or time <= 0 or time % (1000 * seconds):
        return Rejected("bad_time")
    try:
        open_, high, low, close, volume = (_number(value) for value in row[1:ROW_LENGTH])
    except ValueError:
        return Rejected("not_a_number")
    if not low <= min(open_, close) <= max(open_, close) <= high or volume < 0:
        return Rejected("bad_prices")
    return Candle(time // 1000, open_, high, low, close, volume)


def _number(value: object) -> float:
    """Return a finite number given as decimal text, or as a number."""
    is_number = isinstance(value, str | int | float) and not isinstance(value, bool)
    number = float(cast("str", value)) if is_number else math.nan
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def closed_rows(rows: object, seconds: int, start: int, end: int) -> Candles:
    """Return the candles of an answer with open times in [start, end], ascending, each once.

    Rows that are no candles are left out; the caller's `end` keeps the one that still forms away.
    """
    found: dict[int, Candle] = {}
    for row in rows if isinstance(rows, list) else []:
        candle = candle_of(row, seconds) if isinstance(row, list) else Rejected("not_a_row")
        if isinstance(candle, Candle) and start <= candle.candle_time <= end:
            found[candle.candle_time] = candle
    return Candles.from_rows([found[time] for time in sorted(found)])
