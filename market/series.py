"""What a series is called: exchange, market, symbol and timeframe. Imports no framework."""

import re
from dataclasses import dataclass
from typing import Self

UNIT_SECONDS = {"m": 60, "h": 3600, "d": 86400}
TIMEFRAME = re.compile(r"([1-9][0-9]{0,5})([mhd])")
MAX_LENGTH = 128
SHAPE_TEXT = "series_id must be '{exchange}:{market}:{symbol}:{timeframe}'"


class BadSeriesIdError(ValueError):
    """The text is not a series id; the message says why."""


def timeframe_seconds(text: str) -> int:
    """Return the length of a timeframe such as `1m`, `4h` or `1d` in seconds.

    >>> timeframe_seconds("5m")
    300
    """
    match = TIMEFRAME.fullmatch(text)
    if match is None:
        if text and text[-1] not in UNIT_SECONDS:
            raise BadSeriesIdError(f"unsupported timeframe unit: {text[-1]!r}")
        raise BadSeriesIdError(f"unsupported timeframe: {text!r}")
    return int(match[1]) * UNIT_SECONDS[match[2]]


@dataclass(frozen=True, slots=True)
class SeriesId:
    """One series of candles: `{exchange}:{market}:{symbol}:{timeframe}`; a symbol may hold `:`.

    >>> SeriesId.parse("binance:futures:BTC/USDT:1m").symbol
    'BTC/USDT'
    """

    exchange: str
    market: str
    symbol: str
    timeframe: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the series of this id, or raise `BadSeriesIdError`."""
        parts = text.split(":")
        if len(parts) < 4 or not all(parts):
            raise BadSeriesIdError(SHAPE_TEXT)
        if len(text) > MAX_LENGTH or not text.isprintable() or any(c.isspace() for c in text):
            raise BadSeriesIdError(
                f"series_id must have at most {MAX_LENGTH} characters, none of them blank"
            )
        timeframe_seconds(parts[-1])
        return cls(parts[0], parts[1], ":".join(parts[2:-1]), parts[-1])

    @property
    def seconds(self) -> int:
        """The length of one candle in seconds."""
        return timeframe_seconds(self.timeframe)

    def __str__(self) -> str:
        return f"{self.exchange}:{self.market}:{self.symbol}:{self.timeframe}"


def reading_order(series_id: str) -> tuple[str, int]:
    """Return what series are sorted by where people read them: short candles before long ones.

    >>> sorted(["x:spot:A:1d", "x:spot:A:15m", "x:spot:A:5m"], key=reading_order)
    ['x:spot:A:5m', 'x:spot:A:15m', 'x:spot:A:1d']
    """
    name, _, timeframe = series_id.rpartition(":")
    return name, timeframe_seconds(timeframe)
