"""The most traded symbols, from what Binance lists. Imports no framework.

What an exchange sends is parsed here; a row that does not fit is left out, never guessed at.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Symbol:
    """A symbol that is traded now."""

    base_asset: str
    quote_asset: str


@dataclass(frozen=True, slots=True)
class Ticker:
    """The last day of a symbol."""

    quote_volume: float
    last_price: float | None
    price_change_percent: float | None


def symbols_parsed(listed: object) -> dict[str, Symbol]:
    """Return the traded symbols of an exchangeInfo; of futures only those that never expire."""
    if not isinstance(listed, dict):
        raise TypeError("exchangeInfo is no object")
    return {
        row["symbol"]: Symbol(row["baseAsset"], row["quoteAsset"])
        for row in _rows(listed.get("symbols"))
        if row.get("status") == "TRADING"
        and row.get("contractType") in {None, "", "PERPETUAL"}
        and all(isinstance(row.get(name), str) for name in ("symbol", "baseAsset", "quoteAsset"))
    }


def tickers_parsed(listed: object) -> dict[str, Ticker]:
    """Return the tickers by symbol; one without a numeric volume is left out."""
    found = {}
    for row in _rows(listed):
        name, volume = row.get("symbol"), number(row.get("quoteVolume"))
        if isinstance(name, str) and volume is not None:
            last, change = number(row.get("lastPrice")), number(row.get("priceChangePercent"))
            found[name] = Ticker(volume, last, change)
    return found


def ranked(
    market: str, quote_asset: str, symbols: Mapping[str, Symbol], tickers: Mapping[str, Ticker]
) -> list[dict[str, Any]]:
    """Return the symbols of a quote asset as clients read them, the most traded first."""
    pairs = [
        (name, symbol, tickers[name])
        for name, symbol in symbols.items()
        if symbol.quote_asset == quote_asset and name in tickers
    ]
    pairs.sort(key=lambda pair: (-pair[2].quote_volume, pair[0]))
    return [
        {
            "exchange": "binance",
            "market": market,
            "symbol": f"{symbol.base_asset}/{symbol.quote_asset}",
            "symbol_id": name,
            "base_asset": symbol.base_asset,
            "quote_asset": symbol.quote_asset,
            "last_price": ticker.last_price,
            "quote_volume": ticker.quote_volume,
            "price_change_percent": ticker.price_change_percent,
        }
        for name, symbol, ticker in pairs
    ]


def number(value: object) -> float | None:
    """Return a number, also one written as text; None for all else.

    >>> number("2.5"), number(3), number("NaN"), number(None), number(True)
    (2.5, 3.0, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def _rows(listed: object) -> Iterable[Mapping[str, Any]]:
    if not isinstance(listed, list):
        raise TypeError("no list of symbols")
    return (row for row in listed if isinstance(row, dict))
