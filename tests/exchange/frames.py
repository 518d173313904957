"""What the exchange says of a bar: the kline event of the stream and the row of REST."""

import json
from decimal import Decimal
from typing import Any

from market.series import timeframe_seconds
from tests.exchange.market import Bar, Listing

Event = dict[str, Any]


def decimal_text(value: float, places: int) -> str:
    """Return a number as the exchange writes it; more places where these would lose something.

    >>> decimal_text(3917.0, 0), decimal_text(0.35, 8), decimal_text(0.12345, 2)
    ('3917', '0.35000000', '0.12345')
    """
    text = f"{value:.{places}f}"
    return text if float(text) == value else f"{Decimal(repr(value)):f}"


def kline(listing: Listing, interval: str, bar: Bar, event_ms: int, *, final: bool) -> Event:
    """Return the event that tells of a bar."""
    opened = bar.time * 1000
    first = bar.first_trade if bar.trades else -1
    texts = _texts(listing, bar)
    return {
        "e": "kline",
        "E": event_ms,
        "s": listing.symbol,
        "k": {
            "t": opened,
            "T": opened + timeframe_seconds(interval) * 1000 - 1,
            "s": listing.symbol,
            "i": interval,
            "f": first,
            "L": first + bar.trades - 1 if bar.trades else -1,
            **{key: texts[key] for key in "ochlv"},
            "n": bar.trades,
            "x": final,
            **{key: texts[key] for key in "qVQ"},
            "B": "0",
        },
    }


def row(listing: Listing, interval: str, bar: Bar) -> list[int | str]:
    """Return the row of REST that tells of a bar."""
    opened = bar.time * 1000
    closes = opened + timeframe_seconds(interval) * 1000 - 1
    texts = _texts(listing, bar)
    prices = (texts[key] for key in "ohlcv")
    return [opened, *prices, closes, texts["q"], bar.trades, texts["V"], texts["Q"], "0"]


def compact(value: Any) -> str:
    """Return JSON as the exchange writes it."""
    return json.dumps(value, separators=(",", ":"))


def wrapped(stream: str, event: str) -> str:
    """Return an event as a combined stream carries it."""
    return f'{{"stream":{json.dumps(stream)},"data":{event}}}'


def _texts(listing: Listing, bar: Bar) -> dict[str, str]:
    """Return the numbers of a bar by their keys in an event; takers bought half of it."""
    prices = {"o": bar.open, "c": bar.close, "h": bar.high, "l": bar.low}
    quote_places = min(8, listing.price_places + listing.volume_places)
    amounts = {
        "q": f"{bar.quote:.{quote_places}f}",
        "V": f"{bar.volume / 2:.{listing.volume_places}f}",
        "Q": f"{bar.quote / 2:.{quote_places}f}",
    }
    texts = {key: decimal_text(value, listing.price_places) for key, value in prices.items()}
    return {**texts, "v": decimal_text(bar.volume, listing.volume_places), **amounts}
