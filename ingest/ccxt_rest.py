"""Closed candles of any exchange that ccxt knows; ccxt is an optional extra.

Rules: `docs/ingest.md`. ccxt's own rate limit is on.
"""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

from django.conf import settings

from ingest.binance import UnsupportedSeriesError, closed_rows
from ingest.gate import RateLimitedError, gate_answered, gate_wait
from ingest.rest import RestError
from ingest.threads import Worker
from market.candles import Candles
from market.closing import expected_closed_time
from market.series import SeriesId

HOW = "install the optional extra with ./dev venues"
MOST_ROWS = 1000
TOO_MANY, FORBIDDEN = 429, 403
KINDS = {"spot": "spot", "futures": "swap"}


def library() -> ModuleType:
    """Return ccxt, or say how to install it."""
    try:
        return import_module("ccxt.async_support")
    except ImportError:
        raise UnsupportedSeriesError(f"only Binance is built in; {HOW}") from None


def require_exchange(exchange: str) -> None:
    """Raise `UnsupportedSeriesError` unless ccxt is there and knows this exchange."""
    if exchange not in library().exchanges:
        raise UnsupportedSeriesError(f"unsupported exchange for realtime ingest: {exchange}")


def client_of(exchange: str, market: str) -> Any:
    """Return ccxt's client of an exchange; raises `UnsupportedSeriesError` where there is none."""
    require_exchange(exchange)
    options = {
        "enableRateLimit": True,
        "timeout": settings.TRADE_CANVAS_CCXT_TIMEOUT_MS,
        "options": {"defaultType": KINDS.get(market, market)},
    }
    client = getattr(library(), exchange)(options)
    if not client.has.get("fetchOHLCV"):
        raise UnsupportedSeriesError(f"{exchange} gives no candles")
    return client


def symbol_in_ccxt(series: SeriesId) -> str:
    """Return what ccxt calls the symbol of a series.

    >>> symbol_in_ccxt(SeriesId.parse("okx:futures:BTC/USDT:1m"))
    'BTC/USDT:USDT'
    """
    symbol = series.symbol
    if series.market != "futures" or ":" in symbol:
        return symbol
    return f"{symbol}:{symbol.rpartition('/')[2]}"


class CcxtRest:
    """One market of one exchange through ccxt. `client` is ccxt's, or one like it."""

    def __init__(
        self,
        exchange: str,
        market: str,
        client: Any,
        worker: Worker,
        clock: Callable[[], float],
    ) -> None:
        self.exchange, self.market = exchange, market
        self.offset = self._surely = 0.0
        self._client, self._worker, self._clock = client, worker, clock

    def now(self) -> float:
        """Return the time that the exchange's clock has reached at least, where it tells it."""
        return self._clock() + self._surely

    async def sync_clock(self) -> None:
        """Ask the exchange what time it is, if it answers that."""
        if not self._client.has.get("fetchTime"):
            return
        before = self._clock()
        server = await self._asked("fetch_time")
        after = self._clock()
        if not isinstance(server, int | float):
            raise RestError(f"no time in {server!r:.200}")
        self.offset = server / 1000 - (before + after) / 2
        self._surely = server / 1000 - after

    async def require_listed(self, series: SeriesId) -> None:
        """Raise `UnsupportedSeriesError` unless the exchange has symbol and timeframe."""
        if series.timeframe not in (self._client.timeframes or {}):
            raise UnsupportedSeriesError(f"{self.exchange} has no candles of {series.timeframe}")
        markets = await self._asked("load_markets")
        if not isinstance(markets, dict):
            raise RestError(f"no markets in {markets!r:.200}")
        listed = markets.get(symbol_in_ccxt(series))
        if listed is None or listed.get("active") is False:
            raise UnsupportedSeriesError(
                f"{self.exchange} {self.market} does not list {symbol_in_ccxt(series)}"
            )

    async def page(self, series: SeriesId, start: int, end: int) -> Candles:
        """Return the first closed candles in [start, end], as many as one answer holds."""
        end = min(end, expected_closed_time(self.now(), series.seconds))
        if start > end:
            return Candles.from_rows([])
        rows = await self._asked(
            "fetch_ohlcv",
            symbol_in_ccxt(series),
            series.timeframe,
            since=start * 1000,
            limit=min(MOST_ROWS, (end - start) // series.seconds + 1),
        )
        return closed_rows(rows, series.seconds, start, end)

    async def close(self) -> None:
        """End the connections."""
        await self._client.close()

    async def _asked(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call ccxt when the gate is open; raise its errors as ours."""
        wait = await self._worker.run(gate_wait, self.exchange, self.market, self._clock())
        if wait > 0:
            raise RateLimitedError(wait, f"{self.exchange} {self.market} is not to be asked")
        try:
            return await getattr(self._client, name)(*args, **kwargs)
        except Exception as error:
            status = _refusal(error)
            if status:
                now = self._clock()
                await self._worker.run(gate_answered, self.exchange, self.market, status, {}, now)
            raise _ours(error) from error


def _names(error: BaseException) -> set[str]:
    """Return the names of the classes of an error: ccxt need not be there to know them."""
    return {kind.__name__ for kind in type(error).__mro__}


def _refusal(error: BaseException) -> int:
    """Return the HTTP status that an error of ccxt stands for, if the exchange refuses us."""
    names = _names(error)
    if names & {"RateLimitExceeded", "DDoSProtection"}:
        return TOO_MANY
    return FORBIDDEN if names & {"PermissionDenied", "AuthenticationError"} else 0


def _ours(error: Exception) -> Exception:
    said = f"{type(error).__name__}: {error}"[:500]
    if _names(error) & {"BadSymbol", "NotSupported", "BadRequest"}:
        return UnsupportedSeriesError(said)
    return RestError(said)
