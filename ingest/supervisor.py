"""Decides which series this process follows, and keeps their loops alive: `docs/ingest.md`."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

from django.conf import settings
from django.db import DatabaseError

from ingest.binance import UnsupportedSeriesError
from ingest.feed import SeriesFeed
from ingest.guardrail import FailureKind
from ingest.jobs import jobs_idle, jobs_note
from ingest.lease import (
    GIVE_UP_SECONDS,
    RENEW_SECONDS,
    leases_release,
    leases_renew,
    leases_take,
)
from ingest.loop import MarketLoop, Surroundings, run_binance_ws_ingest_loop
from ingest.models import IngestJob, JobState
from ingest.pacer import Pacer
from ingest.polling import PollingLoop
from ingest.station import Station
from ingest.venues import has_streams, most_series, require_feed
from ingest.wishes import jobs_settle
from market.series import SeriesId

logger = logging.getLogger(__name__)

# An exchange, a market, and which of its sockets.
Place = tuple[str, str, int]
SETTLE_SECONDS = 1.0
STOP_PATIENCE = 8.0


class IngestSupervisor:
    """Follows what is wanted: takes leases, renews them, and gives each socket its series.

    `surroundings` makes what the loop of a market talks to; `named` are followed for ever.
    """

    def __init__(
        self,
        *,
        station: Station,
        surroundings: Callable[[str], Surroundings],
        polling: Callable[[str, str], PollingLoop],
        named: Iterable[str] = (),
    ) -> None:
        self.owner = station.owner
        self.named = tuple(named)
        self.tokens: dict[str, int] = {}
        self._surroundings, self._polling = surroundings, polling
        self._worker, self._clock = station.worker, station.clock
        self._circuits = station.circuits
        self._loops: dict[Place, MarketLoop | PollingLoop] = {}
        self._tasks: dict[Place, asyncio.Task[None]] = {}
        self._places: dict[str, Place] = {}
        self._pacers: dict[str, Pacer] = {}
        self._renewed = 0.0
        self._wanted: set[str] = set()
        self._retry: dict[str, float] = {}

    async def run(self, stop: asyncio.Event, *, once: bool = False) -> None:
        """Follow feeds until told to stop; then write what waits and give the leases up.

        `once`: or until everything has caught up.
        """
        try:
            while not (stop.is_set() or (once and self.has_caught_up())):
                await self._turn()
                try:
                    await asyncio.wait_for(stop.wait(), SETTLE_SECONDS)
                except TimeoutError:
                    continue
        finally:
            await self._stop()

    def has_caught_up(self) -> bool:
        """Say whether every series that is followed has all that the exchange had closed.

        What is `refused` counts as done.
        """
        feeds: dict[str, SeriesFeed] = {}
        for loop in self._loops.values():
            feeds |= loop.following.feeds
        refused = self.refused()
        followed = [feeds.get(name) for name in self.tokens if name not in refused]
        is_done = all(feed is not None and feed.has_caught_up for feed in followed)
        return is_done and bool(followed or refused)

    def refused(self) -> set[str]:
        """Return the wanted series that no exchange has; their rows say why."""
        loops = (loop.following.refused for loop in self._loops.values())
        waiting = {name for name, until in self._retry.items() if self._tick() < until}
        return waiting.union(*loops) & self._wanted

    async def _turn(self) -> None:
        """Look once at what is wanted; a database that is away is asked again."""
        try:
            wanted = await self._worker.run(jobs_settle, self._clock(), self.named, self.owner)
            self._wanted = set(wanted)
            await self._hold(self._wanted)
            await self._share()
        except DatabaseError as error:
            logger.warning("ingest.supervisor_failed %s", error)
            if self._tick() - self._renewed > GIVE_UP_SECONDS and self.tokens:
                logger.exception("ingest.leases_not_renewed, nothing is followed")
                self.tokens = {}
                await self._share()

    async def _hold(self, wanted: set[str]) -> None:
        """Hold the leases of what is wanted, as far as they are free and there is room."""
        for loop in self._loops.values():
            for name in loop.following.lost & set(self.tokens):
                del self.tokens[name]
        if gone := set(self.tokens) - wanted:
            self.tokens = {n: token for n, token in self.tokens.items() if n in wanted}
            await self._worker.run(leases_release, gone, self.owner)
        if self._tick() - self._renewed >= RENEW_SECONDS:
            for name in await self._worker.run(leases_renew, self.tokens, self.owner):
                logger.warning("ingest.lease_lost %s", name)
                del self.tokens[name]
            self._renewed = self._tick()
        new = [name for name in sorted(wanted - set(self.tokens)) if await self._may_follow(name)]
        most = settings.TRADE_CANVAS_INGEST_MAX_SERIES_PER_WORKER
        room = new[: max(0, most - len(self.tokens))] if most else new
        if room:
            taken = await self._worker.run(leases_take, room, self.owner)
            await self._worker.run(jobs_note, taken, started_at=self._clock())
            self.tokens |= taken

    async def _may_follow(self, name: str) -> bool:
        """Say whether a feed has this series; one that none has opens its circuit."""
        if self._tick() < self._retry.get(name, 0.0):
            return False
        try:
            require_feed(SeriesId.parse(name))
        except ValueError as error:
            await self._refuse([name], error)
            return False
        return True

    async def _refuse(self, names: Iterable[str], error: ValueError) -> None:
        """Open the circuits of series that no feed has, and give them up until it is time again."""
        names = list(names)
        waits = await self._worker.run(
            self._circuits.failed, names, FailureKind.CONFIG, error, self._clock()
        )
        for name in names:
            self.tokens.pop(name, None)
            self._retry[name] = self._tick() + waits.get(name, RENEW_SECONDS)
        await self._worker.run(leases_release, names, self.owner)
        await self._worker.run(
            jobs_note,
            names,
            state=JobState.OPEN,
            last_error=str(error)[:2000],
            last_error_kind=FailureKind.CONFIG,
        )

    async def _share(self) -> None:
        """Give each socket its series, and start again a loop that ended."""
        shares: dict[Place, dict[str, int]] = {place: {} for place in self._loops}
        self._places = {n: place for n, place in self._places.items() if n in self.tokens}
        for name, token in sorted(self.tokens.items()):
            shares.setdefault(self._place(name), {})[name] = token
        for place, tokens in shares.items():
            task = self._tasks.get(place)
            if task is not None and task.done():
                logger.error("ingest.loop_ended %s %s %s %r", *place, task.exception())
            if tokens and (task is None or task.done()):
                try:
                    self._start(place)
                except UnsupportedSeriesError as error:
                    await self._refuse(tokens, error)
                    continue
            if place in self._loops:
                self._loops[place].want(tokens)

    def _start(self, place: Place) -> None:
        """Start the loop of a place: streams where the exchange has them, else questions."""
        exchange, market, _ = place
        if not has_streams(exchange):
            polling = self._polling(exchange, market)
            self._loops[place], work = polling, polling.run()
        else:
            around = self._surroundings(market)
            around.pacer = self._pacers.setdefault(market, around.pacer)
            loop = MarketLoop(market, around)
            self._loops[place], work = loop, run_binance_ws_ingest_loop(loop)
        self._tasks[place] = asyncio.create_task(work)

    def _place(self, name: str) -> Place:
        """Return the socket of a series: the one it has, else the first that has room."""
        if name not in self._places:
            series = SeriesId.parse(name)
            taken = Counter(self._places.values())
            places = ((series.exchange, series.market, number) for number in count())
            most = most_series(series.exchange, series.market)
            self._places[name] = next(place for place in places if taken[place] < most)
        return self._places[name]

    async def _stop(self) -> None:
        """Let the loops write what waits, then give the leases up."""
        names = list(self.tokens)
        ours = IngestJob.objects.filter(series_id__in=names, lease_owner=self.owner)
        await self._written(ours.update, state=JobState.STOPPING)
        for loop in self._loops.values():
            loop.stop()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks.values(), timeout=STOP_PATIENCE)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._written(jobs_idle, ours)
        await self._written(leases_release, names, self.owner)

    async def _written(self, work: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        """Write into the rows of jobs, unless the database is away: the next process mends them."""
        try:
            await self._worker.run(work, *args, **kwargs)
        except DatabaseError as error:
            logger.warning("ingest.jobs_not_written %s", error)

    def _tick(self) -> float:
        return asyncio.get_running_loop().time()
