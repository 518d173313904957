"""A loop that follows the exchange of the tests, in virtual time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, ParamSpec, Self, TypeVar

import httpx
from django.db import OperationalError, connections
from websockets.asyncio.client import connect

from ingest import pipeline
from ingest.circuits import Circuits
from ingest.following import Errors
from ingest.jobs import jobs_make
from ingest.lease import leases_require
from ingest.loop import MarketLoop, Surroundings
from ingest.models import JobKind
from ingest.rest import BinanceRest
from ingest.station import Station
from ledger.advance import IngestPipelineError
from market import derived, selectors
from market.candles import Candle, Candles
from tests.exchange.clock import START, Clock
from tests.exchange.market import Market
from tests.exchange.server import Exchange
from tests.jumping import jump

P = ParamSpec("P")
T = TypeVar("T")
BTC = "binance:futures:BTC/USDT:1m"
ETH = "binance:futures:ETH/USDT:1m"
Story = Callable[["Feeding"], Coroutine[Any, Any, None]]


class AtOnce:
    """A worker that keeps the event loop waiting, so that no time passes while it works.

    It works in a thread of its own, whose connection ends with `close`. `is_away` lets all its work
    fail, as a database that is not there does; `delay` lets it take so many seconds.
    """

    is_away = False
    delay = 0.0

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = ThreadPoolExecutor(1)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the work returns, or raise what it raises."""
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.is_away:
            raise OperationalError("the database is away")
        return self.now(work, *args, **kwargs)

    def now(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do the work in the thread, or here when that has ended."""
        if self._thread is None:
            return work(*args, **kwargs)
        return self._thread.submit(partial(work, *args, **kwargs)).result()

    def close(self) -> None:
        """End the thread, and its connections with it."""
        if self._thread is not None:
            self.now(connections.close_all)
            self._thread.shutdown()
            self._thread = None


class Feeding:
    """An exchange, a loop that follows it, and what the loop showed and stored."""

    def __init__(self, exchange: Exchange, client: httpx.AsyncClient) -> None:
        self.exchange = exchange
        self.formed: list[tuple[float, Candle]] = []
        self.longer: list[tuple[str, float, Candle]] = []
        self.commits: list[dict[str, list[int]]] = []
        self.fail: Callable[[], None] = lambda: None
        self.is_fenced = True
        clock = exchange.clock.local
        self.worker = AtOnce()
        self.station = Station("test", self.worker, Circuits(), clock)
        self.around = Surroundings(
            station=self.station,
            rest=BinanceRest("futures", client, self.worker, clock),
            connect=partial(
                connect, close_timeout=2, ping_timeout=20, max_size=1 << 20, proxy=None
            ),
            commit=self._commit,
            show_forming=self._show,
            base=exchange.settings["TRADE_CANVAS_BINANCE_FUTURES_WS_BASE"],
        )
        self.loop = MarketLoop("futures", self.around)

    def _show(self, series_id: str, candle: Candle) -> None:
        now = self.exchange.clock.local()
        if derived.base_of(series_id):
            self.longer.append((series_id, now, candle))
        else:
            self.formed.append((now, candle))

    def _commit(self, batches: Mapping[str, Candles], tokens: Mapping[str, int]) -> Errors:
        errors: dict[str, IngestPipelineError] = {}
        fence = partial(leases_require, tokens) if self.is_fenced else None
        try:
            self.fail()
            pipeline.run_each(batches, errors, fence=fence)
            self.commits.append({name: candles.time.tolist() for name, candles in batches.items()})
        except IngestPipelineError as error:
            errors[error.series_id] = error
        return errors

    @classmethod
    @asynccontextmanager
    async def connected(cls, exchange: Exchange) -> AsyncIterator[Self]:
        """Return what follows an exchange, with a client for its REST."""
        rest = exchange.settings["TRADE_CANVAS_BINANCE_FUTURES_REST_BASE"]
        async with httpx.AsyncClient(base_url=rest, timeout=10) as client:
            found = cls(exchange, client)
            try:
                yield found
            finally:
                found.worker.close()

    async def minutes(self, count: float) -> None:
        """Let so many minutes pass."""
        await asyncio.sleep(60 * count)

    def stored(self, series_id: str = BTC) -> list[Candle]:
        """Return what is stored of a series."""
        return self.worker.now(selectors.candles_between, series_id, 0, 2**62).rows()

    def true(self, series_id: str = BTC) -> list[Candle]:
        """Return the closed candles of the exchange from the first stored one on, ascending."""
        symbol = series_id.split(":")[2].replace("/", "")
        rows = self.exchange.candles("futures", symbol, series_id.rsplit(":", 1)[1])
        first = self.stored(series_id)[0].candle_time
        return [Candle(*row) for row in rows if row[0] >= first]

    def require_true(self, *series_ids: str, behind: int = 0) -> None:
        """Fail unless all is stored that the exchange closed, but for so many of the newest."""
        for series_id in series_ids or (BTC,):
            true = self.true(series_id)
            stored = self.stored(series_id)
            assert stored == true[: len(stored)], series_id
            assert len(true) - len(stored) <= behind, (len(stored), len(true))


@asynccontextmanager
async def feeding(exchange: Exchange, *series_ids: str) -> AsyncIterator[Feeding]:
    """Follow these series on this exchange until the block ends."""
    async with Feeding.connected(exchange) as found:
        found.is_fenced = False
        names = series_ids or (BTC,)
        found.worker.now(jobs_make, dict.fromkeys(names, str(JobKind.WHITELIST)))
        found.loop.want(dict.fromkeys(names, 1))
        running = asyncio.create_task(found.loop.run())
        try:
            yield found
        finally:
            found.loop.stop()
            await asyncio.wait_for(running, 20)


def exchange_of(*symbols: str, seed: int = 0, history: int = 300, **how: Any) -> Exchange:
    """Return an exchange of random walks whose time is that of the running loop."""
    tick = asyncio.get_running_loop().time
    market = Market.walking(START, *symbols, seed=seed, history=history)
    return Exchange(market, Clock(START + 30, 1.0, tick=tick), **how)


def follow(story: Story, *series_ids: str, **how: Any) -> Feeding:
    """Play a story of a loop that follows an exchange, in virtual time; return both, for looks."""

    async def main() -> Feeding:
        names = series_ids or (BTC,)
        named = [name.split(":")[2].replace("/", "") for name in names]
        symbols = how.pop("markets", named)
        make = how.pop("exchange", None)
        exchange = make() if make else exchange_of(*symbols, **how)
        async with exchange, feeding(exchange, *names) as found:
            await story(found)
        return found

    return jump(main())
