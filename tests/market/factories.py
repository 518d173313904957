"""Series and candles for tests."""

from collections.abc import Iterable

from django.db import transaction

from market.candles import Candle, Candles
from market.store import candles_upsert

SERIES = "binance:futures:AAA/USDT:1m"
OTHER = "binance:futures:BBB/USDT:1m"
START = 1_700_000_000
MINUTE = 60


def minute(number: int) -> int:
    """Return the time of a candle of the test series; the first one is 0."""
    return START + number * MINUTE


def flat(time: int, price: float = 1.0) -> Candle:
    """Return a candle that did not move."""
    return Candle(time, price, price, price, price, 10.0)


def stored(numbers: Iterable[int], series_id: str = SERIES, price: float = 1.0) -> list[Candle]:
    """Store the candles of these minutes and return them."""
    candles = [flat(minute(number), price) for number in numbers]
    with transaction.atomic():
        candles_upsert([(series_id, Candles.from_rows(candles))])
    return candles
