"""Fills a window of a series with closed candles from its exchange, page by page.

What is stored is not asked for again, so a fill that was cut off goes on where it stopped, and a
second one changes nothing. Rules: `docs/ingest.md`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import ParamSpec, TypeVar

import numpy as np

from ingest.gate import RateLimitedError
from ingest.history import History
from ingest.rest import RestError
from ingest.threads import Worker
from ledger.advance import CANDLE_STEP, IngestPipelineError
from market import selectors
from market.candles import Candles
from market.closing import expected_closed_time
from market.derived import base_of
from market.progress import (
    Window,
    progress_alive,
    progress_begin,
    progress_end,
    progress_step,
)
from market.series import SeriesId

P = ParamSpec("P")
T = TypeVar("T")
PART = 5000
PAUSES, HEARTBEAT = (1.0, 2.0, 4.0), 20.0
DONE, PARTIAL = "tail_coverage_done", "tail_coverage_partial"


class DerivedSeriesError(ValueError):
    """The series is made from another one, which is to be filled instead."""

    def __init__(self, series_id: str, base: str) -> None:
        super().__init__(f"{series_id} is made from {base}: fill that")


@dataclass(slots=True)
class Filled:
    """How far a fill has come: candles that are wanted, that lacked, and that still lack.

    `waits` is for how many seconds the exchange wants to be left alone. `last` is the newest candle
    brought; `error` is a rule that failed after the candles were stored.
    """

    window: Window
    wanted: int = 0
    lacked: int = 0
    lacks: int = 0
    waits: float = 0.0
    last: int | None = None
    error: Exception | None = None

    @property
    def covered(self) -> int:
        """How many candles of the window are stored."""
        return self.wanted - self.lacks


class Backfill:
    """Fills from one exchange. `commit` stores candles and blocks; `tell` hears of each step."""

    def __init__(
        self,
        history: History,
        worker: Worker,
        commit: Callable[[str, Candles], object],
        *,
        owner: str,
        tell: Callable[[Filled], None] = lambda _: None,
    ) -> None:
        self._history, self._worker, self._commit = history, worker, commit
        self._owner, self._tell = owner, tell

    async def fill(self, window: Window) -> Filled:
        """Store what the window lacks and the exchange has; its end is the newest closed candle.

        Candles older than the first stored one change every ordinal after them; they are gathered
        first and stored in one run. Raises `BusyError` while another process fills the series,
        `RestError` when the exchange cannot be asked, `UnsupportedSeriesError` when it does not
        have the series, `DerivedSeriesError`, `IngestPipelineError` when candles are not stored.
        """
        series = SeriesId.parse(window.series_id)
        if base := base_of(window.series_id):
            raise DerivedSeriesError(window.series_id, base)
        state = Filled(window)
        await self._asked(self._history.sync_clock, state)
        await self._asked(partial(self._history.require_listed, series), state)
        window = _closed(window, series.seconds, self._history.now())
        holes = await self._run(_holes, str(series), window.start, window.end, series.seconds)
        first = await self._run(selectors.first_time, str(series))
        lacks = sum(_count(start, end, series.seconds) for start, end in holes)
        wanted = _count(window.start, window.end, series.seconds)
        state = Filled(window, wanted, lacks, lacks)
        await self._run(progress_begin, window, self._owner, lacks, series.seconds)
        try:
            await self._fill(series, holes, first, state)
        except BaseException as error:
            await asyncio.shield(self._end(state, error=_words(error)))
            raise
        await self._end(state, error=_words(state.error) if state.error else "")
        return state

    async def _end(self, state: Filled, error: str) -> None:
        note = PARTIAL if state.lacks else DONE
        name = state.window.series_id
        await self._run(progress_end, name, self._owner, note=note, error=error)

    async def _fill(
        self, series: SeriesId, holes: list[tuple[int, int]], first: int | None, state: Filled
    ) -> None:
        """Fill hole after hole, in the order of time."""
        self._tell(state)
        for start, end in holes:
            older = Candles.from_rows([])
            async for part in self._parts(series, start, end, state):
                if first is not None and start < first:
                    older = older.then(part)
                else:
                    await self._store(part, state)
                await self._run(
                    progress_step, str(series), self._owner, state.lacks, series.seconds
                )
            await self._store(older, state)

    async def _parts(
        self, series: SeriesId, start: int, end: int, state: Filled
    ) -> AsyncIterator[Candles]:
        """Bring what the exchange has between two times, a few pages at a time."""
        part = Candles.from_rows([])
        while start <= end:
            page = await self._asked(partial(self._history.page, series, start, end), state)
            if not len(page):
                break
            part = part.then(page)
            state.lacks -= len(page)
            state.last = int(page.time[-1])
            self._tell(state)
            start = state.last + series.seconds
            if len(part) >= PART:
                yield part
                part = Candles.from_rows([])
        if len(part):
            yield part

    async def _asked(self, ask: Callable[[], Awaitable[T]], state: Filled) -> T:
        """Ask the exchange; wait as long as it wants, and try a failure again."""
        for pause in PAUSES:
            try:
                return await self._unhurried(ask, state)
            except RestError:
                await asyncio.sleep(pause)
        return await self._unhurried(ask, state)

    async def _unhurried(self, ask: Callable[[], Awaitable[T]], state: Filled) -> T:
        """Ask; where the exchange wants to be left alone, wait and ask again."""
        while True:
            try:
                return await ask()
            except RateLimitedError as error:
                state.waits = error.wait
                self._tell(state)
                await self._wait(state.window.series_id, error.wait)
                state.waits = 0.0

    async def _wait(self, series_id: str, seconds: float) -> None:
        while seconds > 0:
            await self._run(progress_alive, series_id, self._owner)
            await asyncio.sleep(min(HEARTBEAT, seconds))
            seconds -= HEARTBEAT

    async def _store(self, candles: Candles, state: Filled) -> None:
        """Store candles; a rule that fails afterwards has cost none of them."""
        if not len(candles):
            return
        try:
            await self._run(self._commit, state.window.series_id, candles)
        except IngestPipelineError as error:
            if error.step == CANDLE_STEP:
                raise
            state.error = error

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._worker.run(work, *args, **kwargs)


def _closed(window: Window, seconds: int, now: float) -> Window:
    """Return the window between two candles, up to the newest that closed."""
    start = -(-window.start // seconds) * seconds
    end = min(window.end // seconds * seconds, expected_closed_time(now, seconds))
    return replace(window, start=max(seconds, start), end=end)


def _count(start: int, end: int, seconds: int) -> int:
    return max(0, (end - start) // seconds + 1)


def _holes(series_id: str, start: int, end: int, seconds: int) -> list[tuple[int, int]]:
    """Return the first and last time of each run of missing candles, ascending."""
    edges = [start - seconds, *selectors.times_between(series_id, start, end), end + seconds]
    times = np.array(edges, np.int64)
    before = np.flatnonzero(np.diff(times) > seconds)
    return [(int(times[i]) + seconds, int(times[i + 1]) - seconds) for i in before]


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
