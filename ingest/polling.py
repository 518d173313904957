"""Feeds without streams: closed candles asked for as they close, at any exchange that answers.

The same series, circuits, leases and pipeline as with streams; what a series lacks is decided in
`ingest.feed`, and asked for by `ingest.asking`.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from django.db import DatabaseError

from ingest.asking import Asker, Rest
from ingest.binance import UnsupportedSeriesError
from ingest.feed import SeriesFeed
from ingest.gate import RateLimitedError
from ingest.guardrail import FailureKind
from ingest.jobs import jobs_heard, jobs_note
from ingest.lease import LeaseLostError
from ingest.models import JobState
from ingest.reach import Reach
from ingest.rest import RestError
from ingest.station import Station
from ledger.advance import CANDLE_STEP, IngestPipelineError
from market import selectors
from market.candles import Candles
from market.debug_events import emit
from market.series import SeriesId

logger = logging.getLogger(__name__)

Commit = Callable[[Mapping[str, Candles], Mapping[str, int]], object]

TURN_SECONDS, CLOCK_SECONDS = 1.0, 300.0
FLUSH_PATIENCE = 5.0
SOURCE = "ccxt"


class PolledRest(Rest, Protocol):
    """An exchange whose connections end with the loop."""

    async def close(self) -> None:
        """End the connections."""


class PollingLoop:
    """The feeds of one market of one exchange. `want` says which series; `run` follows them."""

    def __init__(
        self, exchange: str, market: str, *, rest: PolledRest, station: Station, commit: Commit
    ) -> None:
        self.feeds: dict[str, SeriesFeed] = {}
        self.lost: set[str] = set()
        self._market = market
        self._rest, self._station, self._store = rest, station, commit
        self._asker = Asker(rest, self._commit, self._note, station.worker)
        self._reach = Reach(exchange, market)
        self._tokens: dict[str, int] = {}
        self._stopping = asyncio.Event()
        self._synced = 0.0

    def want(self, tokens: Mapping[str, int]) -> None:
        """Follow these series, each under its lease token, and no others."""
        self._tokens = dict(tokens)
        self.lost &= set(tokens)

    def stop(self) -> None:
        """Write what waits, then end."""
        self._stopping.set()

    async def run(self) -> None:
        """Ask again and again until told to stop."""
        try:
            while not self._stopping.is_set():
                await self._turn()
                try:
                    await asyncio.wait_for(self._stopping.wait(), TURN_SECONDS)
                except TimeoutError:
                    continue
            await self._flush_last()
        finally:
            await self._rest.close()

    async def _turn(self) -> None:
        """Ask once for what each series lacks, as far as its circuit admits it."""
        names = sorted(set(self._tokens) - self.lost)
        self.feeds = {name: feed for name, feed in self.feeds.items() if name in names}
        try:
            attempt = await self._run(
                self._station.circuits.begin_attempt,
                names,
                self._station.owner,
                self._station.clock(),
            )
            for name in attempt.admitted:
                await self._guarded(name)
            now = self._station.clock()
            await self._run(jobs_heard, list(self.feeds.values()), now, self._tick())
        except DatabaseError as error:
            logger.warning("ingest.polling_failed %s", error)

    async def _guarded(self, name: str) -> None:
        """Ask for one series; what goes wrong is its own."""
        try:
            await self._one(name)
            self._reach.found()
        except LeaseLostError as error:
            for lost in error.series_ids:
                self.lost.add(lost)
                self.feeds.pop(lost, None)
        except RateLimitedError as error:
            await self._note([name], state=JobState.RATE_LIMITED, last_error=str(error))
        except UnsupportedSeriesError as error:
            await self._failed(name, FailureKind.CONFIG, error)
        except RestError as error:
            self._reach.lost(error)
            await self._failed(name, FailureKind.CONNECT, error)
        except IngestPipelineError as error:
            await self._failed(name, FailureKind.PIPELINE, error)

    async def _one(self, name: str) -> None:
        """Ask for what a series lacks, and store what came."""
        if self._tick() - self._synced >= CLOCK_SECONDS or not self._synced:
            await self._asker.sync_clock([name])
            self._synced = self._tick()
        if name not in self.feeds:
            series = SeriesId.parse(name)
            await self._rest.require_listed(series)
            self.feeds[name] = SeriesFeed(series, await self._run(selectors.head_time, name))
            connected = self._station.clock()
            about = {"state": JobState.BACKFILLING, "connected_at": connected, "source": SOURCE}
            await self._note([name], **about)
        feed = self.feeds[name]
        await self._asker.ask(feed)
        feed.last_frame = self._tick()  # an answer is a sign of life
        if feed.is_ready(self._tick()):
            await self._commit({name: feed.pending()})

    async def _commit(self, batches: dict[str, Candles]) -> None:
        """Store candles; a rule that fails afterwards has cost none of them."""
        tokens = {name: self._tokens[name] for name in batches if name in self._tokens}
        try:
            await self._run(self._store, batches, tokens)
        except IngestPipelineError as error:
            if error.step == CANDLE_STEP:
                raise
        for name, candles in batches.items():
            self.feeds[name].committed(candles)
        await self._proven([name for name in batches if not self.feeds[name].is_proven])

    async def _proven(self, names: list[str]) -> None:
        """Tell the circuits of these series that they work: candles were stored."""
        if names:
            for name in names:
                self.feeds[name].is_proven = True
            await self._run(self._station.circuits.succeeded, names, self._station.clock())

    async def _flush_last(self) -> None:
        """Write what may be written; the rest is asked for again."""
        tick = self._tick()
        ready = {name: feed.pending() for name, feed in self.feeds.items() if feed.is_ready(tick)}
        try:
            async with asyncio.timeout(FLUSH_PATIENCE):
                if ready:
                    await self._commit(ready)
        except Exception as error:  # noqa: BLE001 (it is asked for again)
            logger.warning("ingest.last_flush_failed %s %s", self._market, error)

    async def _failed(self, name: str, kind: FailureKind, error: Exception) -> None:
        """Tell the circuit and the job of a series; it proves itself anew."""
        said = f"{type(error).__name__}: {error}"
        emit("ingest.failed", "write", name, "warn", data={"kind": kind.value, "error": said})
        if name in self.feeds:
            self.feeds[name].is_proven = False
        now = self._station.clock()
        await self._run(self._station.circuits.failed, [name], kind, said, now)
        fields = {"last_error": said[:2000], "last_error_kind": kind, "state": JobState.WAITING}
        await self._note([name], **fields)

    async def _note(self, names: list[str], **fields: Any) -> None:
        await self._run(jobs_note, names, **fields)

    async def _run(self, work: Any, *args: Any, **kwargs: Any) -> Any:
        return await self._station.worker.run(work, *args, **kwargs)

    def _tick(self) -> float:
        return asyncio.get_running_loop().time()
