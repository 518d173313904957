"""Serves what readers want filled, and the fill at the start, beside the feeds."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import AbstractAsyncContextManager

from django.conf import settings
from django.db import DatabaseError

from ingest.backfill import Backfill, Filled
from ingest.history import History
from ingest.startup_sync import run_startup_kline_sync
from ingest.station import Station
from market.candles import Candles
from market.progress import BusyError, Window, progress_refused, progress_wanted
from market.series import SeriesId

logger = logging.getLogger(__name__)

Place = tuple[str, str]
LOOK_SECONDS = 1.0


class Filler:
    """Fills one window at a time for each market, the newest first. `history` opens an exchange."""

    def __init__(
        self,
        station: Station,
        history: Callable[[str, str], AbstractAsyncContextManager[History]],
        store: Callable[[str, Candles], object],
    ) -> None:
        self._station, self._history, self._store = station, history, store
        self._turns: dict[Place, asyncio.Lock] = {}
        self._tasks: dict[Place, asyncio.Task[None]] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Serve requests until told to stop; what is half filled goes on with the next start."""
        try:
            while not stop.is_set():
                await self._look()
                try:
                    await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
                except TimeoutError:
                    continue
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def fill(self, window: Window) -> Filled:
        """Fill a window when its market has a turn; raises what `Backfill.fill` does."""
        place = _place(window)
        async with self._turns.setdefault(place, asyncio.Lock()), self._history(*place) as history:
            fill = Backfill(history, self._station.worker, self._store, owner=self._station.owner)
            return await fill.fill(window)

    async def sync_at_start(self, series_ids: list[str], stop: asyncio.Event) -> None:
        """Fill the newest candles of these series and bring their ledgers up, where that is on.

        It ends early when told to stop.
        """
        loop = asyncio.get_running_loop()

        def backfill(series: SeriesId, candles: int, to_time: int) -> int:
            if stop.is_set():
                raise CancelledError
            if not settings.TRADE_CANVAS_ENABLE_CCXT_BACKFILL:
                return 0
            start = max(series.seconds, to_time - (candles - 1) * series.seconds)
            window = Window(str(series), start, to_time, "startup_sync")
            filling = self._fill_unless_stopped(window, stop)
            return asyncio.run_coroutine_threadsafe(filling, loop).result().covered

        def sync() -> None:
            try:
                run_startup_kline_sync(
                    backfill=backfill,
                    series_ids=series_ids,
                    enabled=settings.TRADE_CANVAS_ENABLE_STARTUP_KLINE_SYNC,
                    target_candles=settings.TRADE_CANVAS_STARTUP_KLINE_SYNC_TARGET_CANDLES,
                )
            except CancelledError:
                logger.info("ingest.startup_sync_stopped")

        await self._station.worker.run(sync)

    async def _fill_unless_stopped(self, window: Window, stop: asyncio.Event) -> Filled:
        """Fill a window; cancelled as soon as it is told to stop."""
        fill, told = asyncio.create_task(self.fill(window)), asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([fill, told], return_when=asyncio.FIRST_COMPLETED)
        finally:
            told.cancel()
            fill.cancel()
        return await fill

    async def _look(self) -> None:
        """Begin with the newest window of each market that is free."""
        if not settings.TRADE_CANVAS_ENABLE_CCXT_BACKFILL:
            return
        try:
            wanted = await self._station.worker.run(progress_wanted)
        except DatabaseError as error:
            logger.warning("ingest.requests_unreadable %s", error)
            return
        for window in wanted:
            place = _place(window)
            task = self._tasks.get(place)
            if task is None or task.done():
                self._tasks[place] = asyncio.create_task(self._serve(window))

    async def _serve(self, window: Window) -> None:
        """Fill what was asked for; a refusal is written down, so that it is not tried for ever."""
        try:
            done = await self.fill(window)
        except BusyError as error:
            logger.info("ingest.fill_waits %s", error)
        except Exception as error:  # noqa: BLE001 (whatever it is, others are served)
            logger.warning("ingest.fill_failed %s %s", window.series_id, error)
            await self._refuse(window, error)
        else:
            logger.info(
                "ingest.filled %s %s lacked=%s lacks=%s",
                window.series_id,
                window.reason,
                done.lacked,
                done.lacks,
            )

    async def _refuse(self, window: Window, error: Exception) -> None:
        words = str(error) or type(error).__name__
        try:
            await self._station.worker.run(progress_refused, window, words)
        except DatabaseError as failure:
            logger.warning("ingest.refusal_not_written %s", failure)


def _place(window: Window) -> Place:
    """Return the exchange and the market of a window."""
    series = SeriesId.parse(window.series_id)
    return series.exchange, series.market
