"""The golden files: expected outputs, checked against an independent engine.

Each was made by taking candles one by one from the first and forgetting nothing.
"""

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

from market.candle_file import read_candles
from market.candles import Candles

TESTS = Path(__file__).parent
FOLDER = TESTS / "golden"
REAL = {
    "binance_futures_BTCUSDT_1m_20250504_20250624.csv.gz": TESTS.parent / "data",
    "binance_futures_XRPUSDT_5m_20211115_20211121.csv.gz": TESTS / "data",
    "gappy_UNITTESTBTC_1m_20171104_20171114.csv.gz": TESTS / "data",
}


def names(prefix: str = "") -> list[str]:
    """Return the names of the golden files of one kind: "", "slices_" or "overlay_".

    The one that holds drawings of `sr` as well is left out.
    """
    found = sorted(path.name.removesuffix(".json.gz") for path in FOLDER.glob("*.json.gz"))
    found = [name for name in found if not name.endswith("_sr")]
    if prefix:
        return [name for name in found if name.startswith(prefix)]
    return [name for name in found if not name.startswith(("slices_", "overlay_"))]


@cache
def golden(name: str) -> dict[str, Any]:
    """Return one golden file."""
    text = gzip.decompress((FOLDER / f"{name}.json.gz").read_bytes())
    case: dict[str, Any] = json.loads(text)
    return case


def candles_of(case: dict[str, Any]) -> Candles:
    """Return the candles that a golden file was made from."""
    source = case["input"]
    if "candles" in source:
        return Candles.from_rows(source["candles"])
    name = Path(source["file"]).name
    found = read_candles(REAL[name] / name).candles
    return found.take(slice(source["start"], source["start"] + source["count"])).at_ordinal(0)


def canonical(value: Any) -> str:
    """Return the canonical JSON in which golden files are compared."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
