"""Feeds without streams: closed candles asked for as they close, at any exchange that answers.

The same series, circuits, leases and pipeline as with streams; what a series lacks is decided in
`ingest.feed`, and asked for by `ingest.asking`.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Protocol

from django.db import DatabaseError

from ingest.asking import Asker, Rest
from ingest.binance import UnsupportedSeriesError
from ingest.clock_sync import ClockSync
from ingest.feed import SeriesFeed
from ingest.following import Commit, Following
from ingest.gate import RateLimitedError
from ingest.rest import RestError
from ingest.station import Station
from market import clock
from market.series import SeriesId

logger = logging.getLogger(__name__)

TURN_SECONDS = 1.0
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
        self.following = Following(exchange, market, station, commit)
        self._rest, self._station = rest, station
        self._asker = Asker(rest, self.following.commit, self.following.note, station.worker)
        self._stopping = asyncio.Event()
        self._sync = ClockSync(clock.speed())

    def want(self, tokens: Mapping[str, int]) -> None:
        """Follow these series, each under its lease token, and no others."""
        self.following.want(tokens)

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
            await self.following.commit_last(self.following.feeds)
        finally:
            await self._rest.close()

    async def _turn(self) -> None:
        """Ask once for what each series lacks, as far as its circuit admits it."""
        wanted = self.following.wanted
        self.following.forget(set(self.following.feeds) - wanted)
        try:
            admitted = (await self.following.admitted(wanted)).admitted
            await self.following.waits(wanted.difference(admitted))
            for name in admitted:
                await self._guarded(name)
            await self.following.heard(self.following.feeds)
        except DatabaseError as error:
            logger.warning("ingest.polling_failed %s", error)

    async def _guarded(self, name: str) -> None:
        """Ask for one series; what goes wrong is its own."""
        try:
            await self._one(name)
            self.following.reach.found()
        except RateLimitedError as error:
            await self.following.limited([name], error)
        except (UnsupportedSeriesError, RestError) as error:
            await self.following.failed([name], error)

    async def _one(self, name: str) -> None:
        """Ask for what a series lacks, and store what came."""
        if self._sync.is_due(self._station.clock(), self._tick()):
            await self._sync_clock(name)
        if self._sync.is_unsure:
            return
        feed = self.following.feeds.get(name) or await self._opened(name)
        was_asked = await self._asker.ask(feed)
        feed.last_frame = self._tick()  # an answer is a sign of life
        if feed.is_ready(self._tick()):
            await self.following.commit({name: feed.pending()})
        elif was_asked and not feed.buffer:
            await self.following.recovered([name])

    async def _sync_clock(self, name: str) -> None:
        """Ask what time it is; an exchange that does not say goes on by the time that it said."""
        try:
            await self._asker.sync_clock([name])
        except (RestError, UnsupportedSeriesError) as error:
            logger.info("ingest.clock_not_asked %s %s", name, error)
            if self._sync.is_unsure:
                return
        self._sync.done(self._tick())

    async def _opened(self, name: str) -> SeriesFeed:
        """Return the feed of a series that the exchange lists."""
        await self._rest.require_listed(SeriesId.parse(name))
        feed = await self.following.open(name)
        await self.following.connected([name], source=SOURCE)
        return feed

    def _tick(self) -> float:
        return asyncio.get_running_loop().time()
