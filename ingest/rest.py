"""Closed candles of Binance over HTTP, within the limits that the exchange states."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import httpx
from django.conf import settings

from ingest.binance import EXCHANGE, VENUES, UnsupportedSeriesError, Venue, closed_rows, symbol_of
from ingest.gate import RateLimitedError, gate_answered, gate_limit, gate_wait
from ingest.threads import Worker
from market.candles import Candles
from market.closing import expected_closed_time
from market.series import SeriesId

logger = logging.getLogger(__name__)

INVALID_SYMBOL, INVALID_INTERVAL = -1121, -1120
CLOCK_WRONG, CLOCK_ODD = 30.0, 2.0


class RestError(Exception):
    """The exchange could not be asked, or answered with something else than candles."""


class BinanceRest:
    """One market of Binance over HTTP.

    `offset` is what the exchange's clock is ahead of ours, as of the last `sync_clock`, if its
    answer took as long as our question.
    """

    def __init__(
        self, market: str, client: httpx.AsyncClient, worker: Worker, clock: Callable[[], float]
    ) -> None:
        if market not in VENUES:
            raise UnsupportedSeriesError(f"unsupported market: {market}")
        self.venue: Venue = VENUES[market]
        self.offset = self._surely = 0.0
        self._client, self._worker, self._clock = client, worker, clock
        self._turn = asyncio.Lock()
        self._symbols: frozenset[str] = frozenset()

    def now(self) -> float:
        """Return the time that the exchange's clock has reached at least.

        A guess that is ahead by half a round trip would take a candle for closed that still forms.
        """
        return self._clock() + self._surely

    async def sync_clock(self) -> None:
        """Ask the exchange what time it is."""
        before = self._clock()
        answer = await self._get(self.venue.time, {})
        after = self._clock()
        server = answer.get("serverTime") if isinstance(answer, dict) else None
        if not isinstance(server, int):
            raise RestError(f"no serverTime in {answer!r:.200}")
        self.offset = server / 1000 - (before + after) / 2
        self._surely = server / 1000 - after
        if abs(self.offset) > CLOCK_WRONG:
            logger.error("ingest.clock_wrong %s offset=%.1f", self.venue.market, self.offset)
        elif abs(self.offset) > CLOCK_ODD:
            logger.warning("ingest.clock_odd %s offset=%.1f", self.venue.market, self.offset)

    async def require_listed(self, series: SeriesId) -> None:
        """Raise `UnsupportedSeriesError` unless the exchange lists the symbol as trading."""
        symbol = symbol_of(series)
        if symbol not in self._symbols:
            info = await self._get(self.venue.symbols, {})
            try:
                self._symbols = await self._worker.run(_symbols, self.venue.market, info)
            except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
                raise RestError(f"exchangeInfo: {type(error).__name__}: {error}") from error
        if symbol not in self._symbols:
            raise UnsupportedSeriesError(f"{EXCHANGE} {self.venue.market} does not list {symbol}")

    async def page(self, series: SeriesId, start: int, end: int) -> Candles:
        """Return the first closed candles in [start, end], as many as one answer holds.

        What still forms by the exchange's clock is never among them.
        """
        end = min(end, expected_closed_time(self.now(), series.seconds))
        if start > end:
            return Candles.from_rows([])
        query = {
            "symbol": symbol_of(series),
            "interval": series.timeframe,
            "startTime": start * 1000,
            "endTime": (end + series.seconds) * 1000 - 1,
            "limit": self.venue.most_rows,
        }
        try:
            rows = await self._get(self.venue.klines, query)
        except UnsupportedSeriesError:
            self._symbols = frozenset()  # it was listed once
            raise
        if not isinstance(rows, list):
            raise RestError(f"no rows of candles: {rows!r:.200}")
        return closed_rows(rows, series.seconds, start, end)

    async def _get(self, path: str, query: dict[str, Any]) -> Any:
        """Ask once, in turn, when the gate is open; raise what stands in the way."""
        async with self._turn:
            wait = await self._worker.run(gate_wait, EXCHANGE, self.venue.market, self._clock())
            if wait > 0:
                raise RateLimitedError(wait, f"{EXCHANGE} {self.venue.market} is not to be asked")
            try:
                answer = await self._client.get(path, params=query)
            except httpx.HTTPError as error:
                raise RestError(f"{type(error).__name__}: {error}") from error
            headers = dict(answer.headers)
            await self._worker.run(
                gate_answered,
                EXCHANGE,
                self.venue.market,
                answer.status_code,
                headers,
                self._clock(),
            )
        return _content(answer)


def _content(answer: httpx.Response) -> Any:
    try:
        content = answer.json()
    except ValueError:
        raise RestError(f"HTTP {answer.status_code}, not JSON: {answer.text[:200]!r}") from None
    if answer.is_success:
        return content
    code = content.get("code") if isinstance(content, dict) else None
    if code in {INVALID_SYMBOL, INVALID_INTERVAL}:
        asked = dict(answer.request.url.params)
        raise UnsupportedSeriesError(f"{content.get('msg')}: {asked.get('symbol')}")
    raise RestError(f"HTTP {answer.status_code}: {content!r:.200}")


def _symbols(market: str, info: Any) -> frozenset[str]:
    """Return the symbols that trade; keep the limit that the exchange states beside them."""
    if not isinstance(info, dict):
        raise RestError("exchangeInfo is no object")
    for limit in info.get("rateLimits", []):
        if limit.get("rateLimitType") == "REQUEST_WEIGHT" and limit.get("interval") == "MINUTE":
            gate_limit(EXCHANGE, market, int(limit["limit"]))
    rows = info.get("symbols", [])
    return frozenset(str(row.get("symbol")) for row in rows if row.get("status") == "TRADING")


def rest_client(market: str) -> httpx.AsyncClient:
    """Return a client of the REST base of a market."""
    bases = {
        "spot": settings.TRADE_CANVAS_BINANCE_SPOT_REST_BASE,
        "futures": settings.TRADE_CANVAS_BINANCE_FUTURES_REST_BASE,
    }
    timeout = settings.TRADE_CANVAS_CCXT_TIMEOUT_MS / 1000
    return httpx.AsyncClient(base_url=bases[market], timeout=timeout)
