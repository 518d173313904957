"""What is asked over HTTP because it does not come by itself. Rules: `docs/ingest.md`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from ingest.failures import StaleStreamError
from ingest.feed import Hole, SeriesFeed
from ingest.gate import RateLimitedError
from ingest.history import History, closed_between
from ingest.models import JobState
from ingest.rest import RestError
from ingest.threads import Worker
from market import selectors
from market.candles import Candles
from market.closing import expected_closed_time
from market.debug_events import emit

FIRST_FILL, FILL_PAGE = 2000, 20_000


class Note(Protocol):
    """Writes the same fields into the rows of jobs."""

    def __call__(self, names: list[str], **fields: object) -> Awaitable[None]:
        """Write."""


class Rest(History, Protocol):
    """An exchange whose clock is compared with ours."""

    offset: float


class Asker:
    """Asks for the first fill of a series, holes, late closes and signs of life.

    `commit` stores candles at once; what is only a few is left to wait in the feed. `worker` reads
    the database.
    """

    def __init__(
        self,
        rest: Rest,
        commit: Callable[[dict[str, Candles]], Awaitable[object]],
        note: Note,
        worker: Worker,
    ) -> None:
        self._rest, self._commit, self._note, self._worker = rest, commit, note, worker

    async def sync_clock(self, names: list[str]) -> None:
        """Ask what time it is, and show how far our clock is off."""
        await self._rest.sync_clock()
        await self._note(names, clock_offset_s=self._rest.offset)

    async def ask(self, feed: SeriesFeed) -> bool:
        """Ask for what a series lacks now, if anything; say whether there was anything to ask.

        Raises `StaleStreamError` if the exchange has news that the stream did not bring.
        """
        tick = _tick()
        if not feed.is_filled:
            await self._fill(feed)
        elif (hole := feed.hole_before()) and not feed.is_ready(tick) and tick >= feed.retry_at:
            await self._fill_hole(feed, hole)
        elif (due := feed.overdue(self._rest.now(), tick)) is not None:
            await self._bring(feed, due)
        elif feed.is_silent(tick):
            await self._ask_whether_alive(feed)
        elif (recorded := feed.hole_to_ask(tick)) is not None:
            await self._fill_recorded(feed, recorded)
        else:
            return False
        return True

    async def _fill(self, feed: SeriesFeed) -> None:
        """Bring what closed since the stream was last heard, or the newest of a new series."""
        seconds = feed.series.seconds
        end = expected_closed_time(self._rest.now(), seconds)
        first = max(seconds, end - (FIRST_FILL - 1) * seconds)
        start = feed.fill_from() or first
        try:
            while start <= end:
                page_end = min(end, start + (FILL_PAGE - 1) * seconds)
                found = await closed_between(self._rest, feed.series, start, page_end)
                if page_end < end:
                    await self._store(feed, found)
                else:
                    feed.keep(found.rows())
                start = page_end + seconds
        except (RestError, RateLimitedError):
            if feed.head is not None:  # the stream goes on; a new series waits for its past
                feed.record(start, end, _tick())
                _tell("ingest.hole_recorded", feed, start, end)
                feed.is_filled = True
            raise
        feed.is_filled = True
        fields = {"state": JobState.STREAMING, "last_error": "", "last_error_kind": ""}
        await self._note([str(feed.series)], **fields)

    async def _fill_hole(self, feed: SeriesFeed, hole: tuple[int, int]) -> None:
        """Ask for what is missing before a candle that waits; three times, then it goes on."""
        try:
            feed.keep((await closed_between(self._rest, feed.series, *hole)).rows())
        finally:
            if feed.hole_before() == hole:
                feed.hole_tried(hole, _tick())
                if any(h.start <= hole[0] and hole[1] <= h.end for h in feed.holes):
                    _tell("ingest.hole_recorded", feed, *hole)

    async def _bring(self, feed: SeriesFeed, due: int) -> None:
        """Ask for closes that did not come."""
        start = due if feed.head is None else feed.head + feed.series.seconds
        feed.brought(await closed_between(self._rest, feed.series, start, due))

    async def _ask_whether_alive(self, feed: SeriesFeed) -> None:
        """Find out whether a silent series is quiet or its stream dead."""
        end = expected_closed_time(self._rest.now(), feed.series.seconds)
        newest = max([feed.head or 0, *feed.buffer])
        start = newest + feed.series.seconds
        feed.brought(await closed_between(self._rest, feed.series, start, end))
        if feed.missed_trades or not feed.frames:
            raise StaleStreamError(f"{feed.series} sends nothing")
        feed.last_frame = _tick()

    async def _fill_recorded(self, feed: SeriesFeed, due: Hole) -> None:
        """Ask again for a part of a hole that was recorded, and store it."""
        end = min(due.end, due.start + (FILL_PAGE - 1) * feed.series.seconds)
        due.failed(_tick())
        due.state = "filling"
        try:
            found = await closed_between(self._rest, feed.series, due.start, end)
        finally:
            due.state = "unknown"
        await self._store(feed, found)
        name = str(feed.series)
        stored = await self._worker.run(selectors.candles_between, name, due.start, end)
        feed.asked_again(due, end, stored, _tick())
        if len(found):
            _tell("ingest.hole_filled", feed, due.start, end, rows=len(found))

    async def _store(self, feed: SeriesFeed, candles: Candles) -> None:
        if len(candles):
            await self._commit({str(feed.series): candles})


def _tell(event: str, feed: SeriesFeed, start: int, end: int, **more: int) -> None:
    emit(event, "write", str(feed.series), data={"start": start, "end": end, **more})


def _tick() -> float:
    return asyncio.get_running_loop().time()
