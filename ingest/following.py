"""The series of one market that a loop follows: their leases, feeds, circuits and rows of jobs.

What a loop does with streams (`ingest.loop`) and without them (`ingest.polling`) alike.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.db import DatabaseError
from django.db.models import F

from ingest.circuits import Attempt
from ingest.failures import kind_of
from ingest.feed import SeriesFeed
from ingest.guardrail import UNCOUNTED, FailureKind
from ingest.jobs import jobs_heard, jobs_note
from ingest.lease import LeaseLostError
from ingest.models import JobState
from ingest.reach import Reach
from ingest.station import Station
from ledger.advance import CANDLE_STEP, IngestPipelineError
from market import metrics, selectors
from market.candles import Candles
from market.debug_events import emit, wanted
from market.series import SeriesId

logger = logging.getLogger(__name__)

Errors = Mapping[str, IngestPipelineError]
Commit = Callable[[Mapping[str, Candles], Mapping[str, int]], Errors]
"""Stores closed candles of series under their lease tokens and announces them; it blocks.

Returns what went wrong, by series. Raises `LeaseLostError` where another worker has one of them:
what is not stored by then stays to be stored.
"""

FLUSH_PATIENCE = 5.0
FIXED_WAIT = 2.0


class Following:
    """What is followed, under which leases, and how each series is doing.

    `want` says which series; `feeds` are those that were opened, `lost` those that another worker
    has now, `refused` those that the exchange does not have. Of series without a token nothing is
    written.
    """

    def __init__(self, exchange: str, market: str, station: Station, commit: Commit) -> None:
        self.feeds: dict[str, SeriesFeed] = {}
        self.lost: set[str] = set()
        self.refused: set[str] = set()
        self.reach = Reach(exchange, market)
        self._market, self._station, self._store = market, station, commit
        self._tokens: dict[str, int] = {}
        self._waiting: set[str] = set()
        self._not_before: dict[str, float] = {}

    def want(self, tokens: Mapping[str, int]) -> bool:
        """Follow these series, each under its lease token; say whether that is a change."""
        before, self._tokens = self._tokens, dict(tokens)
        kept = {name for name, token in tokens.items() if before.get(name) == token}
        self.lost &= kept
        self._waiting &= kept
        self._not_before = {n: at for n, at in self._not_before.items() if n in kept}
        for feed in self.feeds_of(tokens.keys() - kept).values():
            feed.is_troubled = True  # it was given up and taken again; its row may say so
        return before != self._tokens

    @property
    def wanted(self) -> set[str]:
        """The series to follow."""
        return set(self._tokens) - self.lost

    def feeds_of(self, names: Iterable[str]) -> dict[str, SeriesFeed]:
        """Return the feeds of these series, but for those that were left meanwhile."""
        return {name: self.feeds[name] for name in names if name in self.feeds}

    async def admitted(self, names: Iterable[str]) -> Attempt:
        """Begin an attempt with those series whose circuits admit it."""
        here, tick = self._station, _tick()
        due = sorted(name for name in names if self._not_before.get(name, 0.0) <= tick)
        attempt: Attempt = await self.run(
            here.circuits.begin_attempt, due, here.owner, here.clock()
        )
        return attempt

    async def open(self, name: str) -> SeriesFeed:
        """Make the feed of a series, from what is stored of it."""
        head = await self.run(selectors.head_time, name)
        self.refused.discard(name)
        self.feeds[name] = SeriesFeed(SeriesId.parse(name), head)
        return self.feeds[name]

    def forget(self, names: Iterable[str]) -> None:
        """Let the feeds of these series go, with what waits in them."""
        for name in names:
            self.feeds.pop(name, None)

    # What goes well

    async def commit(self, batches: Mapping[str, Candles]) -> dict[str, Candles]:
        """Store candles of series that are still ours; return those that were stored.

        What cannot be stored waits as long as the circuit of its series says.
        """
        tokens = {name: self._tokens[name] for name in batches.keys() & self.wanted}
        if not tokens:
            return {}
        began, ours = _tick(), {name: batches[name] for name in sorted(tokens)}
        try:
            errors: Errors = await self.run(self._store, ours, tokens)
        except LeaseLostError as error:
            self._lose(error.series_ids, tokens)
            return {}
        await self._tell_errors(errors)
        refused = {name for name, error in errors.items() if error.step == CANDLE_STEP}
        stored = {name: candles for name, candles in ours.items() if name not in refused}
        self._tell_flushed(stored, began)
        for name, feed in self.feeds_of(stored).items():
            feed.committed(stored[name])
        await self.works(stored.keys() - errors.keys())
        return stored

    async def _tell_errors(self, errors: Errors) -> None:
        """Tell of what could not be stored or computed, all series of one cause together."""
        causes: dict[tuple[str, str], list[IngestPipelineError]] = defaultdict(list)
        for error in errors.values():
            causes[error.step, repr(error.cause)].append(error)
        for (step, _), alike in causes.items():
            names = sorted(error.series_id for error in alike)
            await self.failed(names, IngestPipelineError(step, ", ".join(names), alike[0].cause))

    async def commit_last(self, names: Iterable[str]) -> None:
        """Store what may be stored before these series are left; REST brings the rest again."""
        tick = _tick()
        feeds = self.feeds_of(names)
        ready = {name: feed.pending() for name, feed in feeds.items() if feed.is_ready(tick)}
        try:
            async with asyncio.timeout(FLUSH_PATIENCE):
                await self.commit(ready)
        except Exception as error:  # noqa: BLE001 (whatever it is, nothing is lost)
            logger.warning("ingest.last_flush_failed %s %s", self._market, error)

    async def works(self, names: Iterable[str]) -> None:
        """Tell that these series work: their candles were stored, or their streams are stable."""
        feeds = self.feeds_of(names)
        if proven := [name for name, feed in feeds.items() if not feed.is_proven]:
            for name in proven:
                feeds[name].is_proven = True
            await self.run(self._station.circuits.succeeded, proven, self._station.clock())
        await self.recovered(feeds)

    async def recovered(self, names: Iterable[str]) -> None:
        """Show that nothing is the matter any more with those of these series that had trouble."""
        feeds = self.feeds_of(names)
        self.refused -= feeds.keys()
        if troubled := [name for name, feed in feeds.items() if feed.is_troubled]:
            self._waiting -= set(troubled)
            for name in troubled:
                feeds[name].is_troubled = False
            fields = {"state": JobState.STREAMING, "last_error": "", "last_error_kind": ""}
            await self.note(troubled, **fields)

    # What does not

    async def limited(self, names: Iterable[str], error: Exception) -> None:
        """Show that these series lack something and the exchange may not be asked for it now."""
        for feed in (feeds := self.feeds_of(names)).values():
            feed.is_troubled = True
        fields = {"last_error": str(error), "last_error_kind": FailureKind.RATE_LIMIT}
        await self.note(feeds, state=JobState.RATE_LIMITED, **fields)

    async def unanswered(self, names: Iterable[str], error: Exception) -> None:
        """Show that the exchange did not answer for these series; no failure of their streams."""
        for feed in (feeds := self.feeds_of(names)).values():
            feed.is_troubled = True
        said = f"{type(error).__name__}: {error}"
        fields = {"last_error": said[:2000], "last_error_kind": FailureKind.CONNECT}
        await self.note(feeds, **fields)

    async def waits(self, names: Iterable[str]) -> None:
        """Show that these series wait until their circuits admit them."""
        if new := set(names) - self._waiting:
            await self.note(new, state=JobState.WAITING)
            self._waiting |= new
            for feed in self.feeds_of(new).values():
                feed.is_troubled = True

    async def failed(self, names: list[str], error: Exception) -> float:
        """Tell the circuits of these series; return the least time that one of them has to wait."""
        kind, said = kind_of(error), f"{type(error).__name__}: {error}"
        if kind == FailureKind.CONNECT:
            self.reach.lost(error)
        if kind == FailureKind.CONFIG:
            self.refused |= set(names)
        self._waiting |= set(names)
        about = {"market": self._market, "series": sorted(names), "kind": kind.value, "error": said}
        emit("ingest.failed", "write", None, "warn", data=about)
        try:
            waits = await self._told(names, kind, said)
        except DatabaseError as away:
            logger.warning("ingest.failure_not_stored %s", away)
            waits = dict.fromkeys(names, FIXED_WAIT)
        soon = {name: _tick() + min(waits.get(name, 0.0), FIXED_WAIT) for name in names}
        self._not_before |= soon  # where circuits are off, too
        for name, feed in self.feeds_of(names).items():
            feed.is_proven, feed.is_troubled = False, True
            feed.retry_at = _tick() + waits.get(name, 0.0)
        return min(waits.values(), default=FIXED_WAIT)

    async def _told(self, names: list[str], kind: FailureKind, said: str) -> dict[str, float]:
        """Write a failure into circuits and jobs; return how long each series has to wait."""
        now = self._station.clock()
        waits: dict[str, float] = await self.run(
            self._station.circuits.failed, names, kind, said, now
        )
        fields: dict[str, Any] = {
            "last_error": said[:2000],
            "last_error_kind": kind,
            "state": JobState.WAITING,
        }
        if kind not in UNCOUNTED:
            fields |= {"crashes": F("crashes") + 1, "last_crash_at": now}
        await self.note(names, **fields)
        return waits

    def _lose(self, names: Iterable[str], tokens: Mapping[str, int]) -> None:
        """Leave series whose tokens another worker has ended, but for those with new ones."""
        gone = [name for name in names if self._tokens.get(name) == tokens.get(name)]
        for name in gone:
            emit("ingest.lease_lost", "write", name, "warn")
            self.lost.add(name)
        self.forget(gone)

    # What is written down

    async def connected(self, names: Iterable[str], **fields: Any) -> None:
        """Show that these series have a connection, and are filled now."""
        self._waiting -= set(names)
        about = {"state": JobState.BACKFILLING, "connected_at": self._station.clock()}
        await self.note(names, **about, last_error="", last_error_kind="", **fields)

    async def note(self, names: Iterable[str], **fields: Any) -> None:
        """Write the same fields into the rows of jobs."""
        await self.run(jobs_note, list(names), **fields)

    async def heard(self, names: Iterable[str]) -> None:
        """Write into the rows of jobs what these series heard last, and what they miss."""
        feeds = list(self.feeds_of(names).values())
        await self.run(jobs_heard, feeds, self._station.clock(), _tick())

    def _tell_flushed(self, batches: Mapping[str, Candles], began: float) -> None:
        """Tell what was stored, series by series, and how long that took."""
        ms = (_tick() - began) * 1000
        metrics.count("market_ingest_flushed_candles_total", sum(map(len, batches.values())))
        for name, candles in batches.items() if wanted() else ():
            about = {"rows": len(candles), "db_ms": ms, "head_time": int(candles.time[-1])}
            emit("ingest.flushed", "write", name, data=about)

    async def run(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Do blocking work in a thread."""
        return await self._station.worker.run(work, *args, **kwargs)


def _tick() -> float:
    return asyncio.get_running_loop().time()
