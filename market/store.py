"""The one write to the table of candles, inside the caller's transaction."""

from itertools import repeat

from market import database
from market.candles import PRICES, Candles

COLUMNS = {"series_id": "text", "candle_time": "bigint"} | dict.fromkeys(PRICES, "float8")
REPLACE = "ON CONFLICT (series_id, candle_time) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in PRICES
)


def candles_upsert(series_id: str, candles: Candles) -> None:
    """Store candles of distinct times; one that is already there takes the new numbers."""
    columns = (column.tolist() for column in candles.columns())
    rows = zip(repeat(series_id, len(candles)), *columns, strict=True)
    database.insert("candles", COLUMNS, rows, REPLACE)
