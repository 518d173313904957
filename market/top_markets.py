"""The most traded symbols of an exchange, kept for a while.

What Binance lists is asked for at most once at a time and market. Who asks meanwhile waits for the
same answer; while Binance does not answer, what is kept from before is good enough.
"""

import asyncio
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Generic, TypeVar

import httpx
import orjson
from asgiref.sync import async_to_sync
from django.conf import settings

from market import ranking
from market.ranking import Symbol, Ticker

PATIENCE = 8.0
# After an answer that says "too much", without saying for how long.
PAUSE_SECONDS = 60.0
FAILURE_SECONDS = 2.0
FORCE_SECONDS = 2.0
ROOM_SECONDS = 1.0
PATHS = {"spot": "/api/v3", "futures": "/fapi/v1"}
T = TypeVar("T")


class UnsupportedExchangeError(Exception):
    """Nobody here knows this exchange."""


class RateLimitedError(Exception):
    """Fresh numbers were asked for again too soon."""


class UpstreamError(Exception):
    """The exchange did not answer, or not with what it should, and nothing is kept."""

    @property
    def detail(self) -> str:
        """What a client is told."""
        return f"upstream_error:{self}"


@dataclass(frozen=True, slots=True)
class Wish:
    """Which symbols, and how many."""

    market: str
    quote_asset: str
    limit: int


@dataclass(slots=True)
class Kept(Generic[T]):
    """One answer of the exchange: the last good one, and the one that is on its way."""

    value: T | None = None
    fresh_until: float = 0.0
    failure: UpstreamError | None = None
    quiet_until: float = 0.0
    flight: "Future[T] | None" = None


@dataclass(slots=True)
class Market:
    """What is kept of one market."""

    symbols: Kept[dict[str, Symbol]] = field(default_factory=Kept)
    tickers: Kept[dict[str, Ticker]] = field(default_factory=Kept)
    ranked: dict[str, tuple[Any, Any, list[dict[str, Any]]]] = field(default_factory=dict)


class TopMarkets:
    """Asks Binance and remembers; may be used from any thread and event loop."""

    def __init__(
        self,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._lock = threading.Lock()
        # Others read in these threads, too, and need no exchange for it.
        self._room = threading.BoundedSemaphore(max(1, settings.TRADE_CANVAS_BLOCKING_WORKERS // 2))
        self._markets = {name: Market() for name in PATHS}
        self._forced: dict[tuple[str, str], float] = {}

    def force_allowed(self, address: str, market: str) -> None:
        """Raise `RateLimitedError` if this address asked for fresh numbers within 2 s."""
        now = self._clock()
        with self._lock:
            self._forced = {
                key: at for key, at in self._forced.items() if 0 <= now - at < FORCE_SECONDS
            }
            if (address, market) in self._forced:
                raise RateLimitedError
            self._forced[address, market] = now

    async def read(self, wish: Wish, *, force: bool = False) -> dict[str, Any]:
        """Return the most traded symbols as clients read them; raises `UpstreamError`."""
        market = self._markets[wish.market]
        symbols, symbols_kept = await self._kept(
            market.symbols,
            f"{wish.market}/exchangeInfo",
            ranking.symbols_parsed,
            settings.TRADE_CANVAS_BINANCE_EXCHANGEINFO_TTL_S,
            force=force,
        )
        tickers, tickers_kept = await self._kept(
            market.tickers,
            f"{wish.market}/ticker/24hr",
            ranking.tickers_parsed,
            settings.TRADE_CANVAS_BINANCE_TICKER_TTL_S,
            force=force,
        )
        is_kept = symbols_kept and tickers_kept and not force
        return self._answer(wish, symbols, tickers, cached=is_kept)

    def fresh(self, wish: Wish) -> dict[str, Any] | None:
        """Return the answer if all that it needs is kept and fresh; asks nobody."""
        market = self._markets[wish.market]
        with self._lock:
            now, symbols, tickers = self._clock(), market.symbols, market.tickers
            if now >= min(symbols.fresh_until, tickers.fresh_until):
                return None
            listed, traded = symbols.value, tickers.value
        return None if listed is None or traded is None else self._answer(wish, listed, traded)

    def _answer(
        self,
        wish: Wish,
        symbols: Mapping[str, Symbol],
        tickers: Mapping[str, Ticker],
        *,
        cached: bool = True,
    ) -> dict[str, Any]:
        return {
            "exchange": "binance",
            "market": wish.market,
            "quote_asset": wish.quote_asset,
            "limit": wish.limit,
            "generated_at_ms": int(self._clock() * 1000),
            "cached": cached,
            "items": self._ranked(wish, symbols, tickers)[: wish.limit],
        }

    def _ranked(
        self, wish: Wish, symbols: Mapping[str, Symbol], tickers: Mapping[str, Ticker]
    ) -> list[dict[str, Any]]:
        """Return all symbols of a quote asset in order, sorted once for each answer."""
        known = self._markets[wish.market].ranked
        before = known.get(wish.quote_asset)
        if before is not None and before[0] is symbols and before[1] is tickers:
            return before[2]
        found = ranking.ranked(wish.market, wish.quote_asset, symbols, tickers)
        if found:  # names that nobody trades are not worth keeping
            known[wish.quote_asset] = (symbols, tickers, found)
        return found

    def read_in_thread(self, wish: Wish, *, force: bool = False) -> dict[str, Any]:
        """Do as `read`, in a thread; while too many of them wait for the exchange, raise."""
        ready = None if force else self.fresh(wish)
        if ready is not None:
            return ready
        if not self._room.acquire(timeout=ROOM_SECONDS):
            raise UpstreamError("busy")
        try:
            return async_to_sync(self.read)(wish, force=force)
        finally:
            self._room.release()

    async def _kept(
        self, kept: Kept[T], what: str, parse: Callable[[object], T], ttl: int, *, force: bool
    ) -> tuple[T, bool]:
        """Return what is kept while it is fresh, else a new answer; and whether it was kept."""
        with self._lock:
            now = self._clock()
            if kept.value is not None and not force and now < kept.fresh_until:
                return kept.value, True
            if now < kept.quiet_until and kept.failure is not None:
                return _stale(kept, kept.failure), True
            flight, is_mine = kept.flight, kept.flight is None
            if flight is None:
                flight = kept.flight = Future()
        try:
            if is_mine:
                await self._fly(flight, kept, what, parse, ttl)
            return await asyncio.shield(asyncio.wrap_future(flight)), False
        except _GivenUpError:
            return await self._kept(kept, what, parse, ttl, force=force)
        except UpstreamError as error:
            return _stale(kept, error), True

    async def _fly(
        self,
        flight: "Future[T]",
        kept: Kept[T],
        what: str,
        parse: Callable[[object], T],
        ttl: int,
    ) -> None:
        """Ask the exchange; whatever happens, those who wait hear of it."""
        error: UpstreamError | None = _GivenUpError("the request was given up")
        quiet = 0.0
        try:
            value = await self._asked(what, parse)
            error = None
        except _RefusedError as refused:
            error, quiet = UpstreamError(str(refused)), refused.pause
        except UpstreamError as failed:
            error, quiet = failed, FAILURE_SECONDS
        finally:
            with self._lock:
                now, kept.flight, kept.failure = self._clock(), None, error
                kept.quiet_until = now + quiet
                if error is None:
                    kept.value, kept.fresh_until = value, now + ttl
            if error is None:
                flight.set_result(value)
            else:
                flight.set_exception(error)

    async def _asked(self, what: str, parse: Callable[[object], T]) -> T:
        market, _, path = what.partition("/")
        base = {
            "spot": settings.TRADE_CANVAS_BINANCE_SPOT_BASE_URL,
            "futures": settings.TRADE_CANVAS_BINANCE_FUTURES_BASE_URL,
        }[market]
        # A client for each answer: it belongs to one event loop, and answers are kept for seconds.
        client = httpx.AsyncClient(transport=self._transport, timeout=PATIENCE, verify=_context())
        try:
            async with asyncio.timeout(PATIENCE), client:
                response = await client.get(f"{base}{PATHS[market]}/{path}")
        except TimeoutError as error:
            raise UpstreamError("no answer in time") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UpstreamError(str(error) or type(error).__name__) from error
        if response.status_code in {403, 418, 429}:
            raise _RefusedError(response)
        if response.status_code != 200:
            raise UpstreamError(f"HTTP {response.status_code}")
        try:
            # Megabytes: not on the event loop.
            return await asyncio.to_thread(lambda: parse(orjson.loads(response.content)))
        except (ValueError, TypeError, KeyError) as error:
            raise UpstreamError(f"unexpected answer: {error}") from error


class _GivenUpError(UpstreamError):
    """Who asked for all has left; the next one asks anew."""


class _RefusedError(Exception):
    """The exchange says that this was too much; nothing is asked for a while."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(f"HTTP {response.status_code}")
        wait = ranking.number(response.headers.get("Retry-After"))
        self.pause = PAUSE_SECONDS if wait is None or wait < 0 else wait


@cache
def _context() -> ssl.SSLContext:
    """Return the certificates to trust, which take long to load."""
    return httpx.create_ssl_context()


def _stale(kept: Kept[T], error: UpstreamError) -> T:
    """Return what is kept from before, or raise."""
    if kept.value is None:
        raise error
    return kept.value


TOP = TopMarkets()
