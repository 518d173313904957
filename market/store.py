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
    times, *prices = candles.columns()
    # SQLite loses the sign of -0.0 and PostgreSQL keeps it: adding 0.0 drops it for both.
    columns = [times.tolist(), *((column + 0.0).tolist() for column in prices)]
    rows = zip(repeat(series_id, len(candles)), *columns, strict=True)
    database.insert("candles", COLUMNS, rows, REPLACE)
