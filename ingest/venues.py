"""Which exchanges there are feeds for: Binance with streams, others through ccxt if it is there."""

from ingest import ccxt_rest
from ingest.binance import EXCHANGE, VENUES, symbol_of
from market.series import SeriesId

POLLED_AT_ONCE = 500


def has_streams(exchange: str) -> bool:
    """Say whether an exchange is followed by streams; every other one is asked again and again."""
    return exchange == EXCHANGE


def require_feed(series: SeriesId) -> None:
    """Raise `UnsupportedSeriesError` unless there can be a feed of this series."""
    if has_streams(series.exchange):
        symbol_of(series)
    else:
        ccxt_rest.require_exchange(series.exchange)


def most_series(exchange: str, market: str) -> int:
    """Return how many series one loop may follow."""
    return VENUES[market].most_streams if has_streams(exchange) else POLLED_AT_ONCE
