"""The one write to the table of candles, inside the caller's transaction."""

from collections.abc import Iterable, Iterator
from itertools import repeat

from market import database
from market.candles import PRICES, Candles

COLUMNS = {"series_id": "text", "candle_time": "bigint"} | dict.fromkeys(PRICES, "float8")
REPLACE = "ON CONFLICT (series_id, candle_time) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in PRICES
)


def candles_upsert(batches: Iterable[tuple[str, Candles]]) -> None:
    """Store candles of distinct times; one that is already there takes the new numbers."""
    rows = (row for series_id, candles in batches for row in _rows(series_id, candles))
    database.insert("candles", COLUMNS, rows, REPLACE)


def _rows(series_id: str, candles: Candles) -> Iterator[tuple[object, ...]]:
    columns = (column.tolist() for column in candles.columns())
    return zip(repeat(series_id, len(candles)), *columns, strict=True)
