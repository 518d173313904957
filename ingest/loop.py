"""One market's streams: many series on one socket, filled over HTTP, watched, written in batches.

`run_binance_ws_ingest_loop` keeps one socket alive for the series it is told to follow. On every
connect it first listens, then fills what closed since the last stored candle, so that no minute is
lost between the two. Rules: `docs/ingest.md`; what a series needs is decided in `ingest.feed`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson
from django.conf import settings
from django.db import DatabaseError
from django.db.models import F
from websockets.exceptions import WebSocketException

from ingest.asking import Asker
from ingest.binance import (
    EXCHANGE,
    Rejected,
    UnsupportedSeriesError,
    parse_frame,
    stream_of,
    wanted_by,
)
from ingest.failures import BadFramesError, RotationError, StaleStreamError, kind_of
from ingest.feed import SeriesFeed
from ingest.gate import RateLimitedError
from ingest.guardrail import UNCOUNTED, FailureKind
from ingest.jobs import jobs_heard, jobs_note
from ingest.lease import LeaseLostError
from ingest.longer import LongerForming
from ingest.models import JobState
from ingest.pacer import Pacer
from ingest.reach import Reach
from ingest.rest import BinanceRest, RestError
from ingest.station import Station
from ledger.advance import CANDLE_STEP, IngestPipelineError
from market import metrics, selectors
from market.candles import Candle, Candles
from market.debug_events import emit, wanted
from market.series import SeriesId

logger = logging.getLogger(__name__)

TEND_SECONDS, ASK_SECONDS, CHECK_SECONDS, NOTE_SECONDS = 0.1, 0.25, 1.0, 5.0
ROTATE_SECONDS, ROTATE_AGAIN_SECONDS = 23.5 * 3600, 300.0
CLOCK_SECONDS = 300.0
FLUSH_PATIENCE = 5.0
FIXED_WAIT = 2.0
STREAMS_PER_MESSAGE, MESSAGE_SECONDS = 50, 0.25


class StoppedError(Exception):
    """The loop was told to stop."""


class Socket(Protocol):
    """An open connection to the exchange."""

    async def recv(self) -> str | bytes:
        """Return the next frame."""

    async def send(self, message: str) -> None:
        """Send a message."""

    async def close(self) -> None:
        """Close the connection."""


@dataclass(slots=True)
class Surroundings:
    """What the loop of a market talks to; tests bring their own.

    `commit` stores closed candles of series under their lease tokens and announces them; it blocks.
    """

    station: Station
    rest: BinanceRest
    connect: Callable[[str], AbstractAsyncContextManager[Socket]]
    commit: Callable[[Mapping[str, Candles], Mapping[str, int]], object]
    show_forming: Callable[[str, Candle], None]
    base: str
    pacer: Pacer = field(default_factory=Pacer)


class MarketLoop:
    """The streams of one market. `want` says which series; `run` follows them until `stop`."""

    def __init__(self, market: str, around: Surroundings) -> None:
        self.market = market
        self.around = around
        self._station = around.station
        self._stable_after = around.station.circuits.config.stable_after_s
        self._reach = Reach(EXCHANGE, market)
        self.feeds: dict[str, SeriesFeed] = {}
        self.lost: set[str] = set()
        self.rejected: dict[str, int] = {}
        self._tokens: dict[str, int] = {}
        self._silent: set[str] = set()
        self._bad: dict[str, str] = {}
        self._longer: dict[str, LongerForming] = {}
        self._live: dict[str, SeriesFeed] = {}
        self._routes: dict[tuple[str, str], SeriesId] = {}
        self._asker = Asker(around.rest, self._commit, self._note, around.station.worker)
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._opened = self._flushed = self._noted = self._synced = self._checked = 0.0
        self._rotate_at = 0.0
        self._in_use: Socket | None = None
        self._messages = 0

    def want(self, tokens: Mapping[str, int]) -> None:
        """Follow these series, each under its lease token, and no others."""
        if dict(tokens) != self._tokens:
            self._tokens = dict(tokens)
            self.lost &= set(tokens)
            self._changed.set()

    def stop(self) -> None:
        """Write what waits, then end."""
        self._stopping.set()
        self._changed.set()

    async def run(self) -> None:
        """Connect, and connect again, until told to stop."""
        while not self._stopping.is_set():
            admitted: list[str] = []
            try:
                admitted = await self._admitted(set(self._tokens) - self.lost)
                if admitted:
                    await self._connection(admitted)
            except StoppedError:
                logger.info("ingest.stopped %s", self.market)
            except Exception as error:  # noqa: BLE001 (whatever ends a connection, another follows)
                await self._sleep(await self._failed(list(self._live) or admitted, error))
            finally:
                self._live, self._routes = {}, {}

    # Who may try

    async def _admitted(self, names: set[str]) -> list[str]:
        """Return the series whose circuits admit an attempt; wait if there are none."""
        self._changed.clear()
        attempt = await self._run(
            self._station.circuits.begin_attempt,
            sorted(names),
            self._station.owner,
            self._station.clock(),
        )
        ready = [name for name in attempt.admitted if await self._prepare(name)]
        if waiting := sorted(names - set(ready)):
            await self._note(waiting, state=JobState.WAITING)
        if not ready:
            await self._sleep(min(attempt.wait or CHECK_SECONDS, CHECK_SECONDS))
        return ready

    async def _prepare(self, name: str) -> bool:
        """Make the feed of a series that the exchange lists; say whether it may connect."""
        if name in self.feeds:
            return True
        series = SeriesId.parse(name)
        try:
            await self.around.rest.require_listed(series)
        except UnsupportedSeriesError as error:
            await self._failed([name], error)
            return False
        except (RestError, RateLimitedError) as error:
            logger.info("ingest.not_checked %s %s", name, error)
        self.feeds[name] = SeriesFeed(series, await self._run(selectors.head_time, name))
        return True

    # One connection

    async def _connection(self, names: list[str]) -> None:
        """Follow these series over one socket until it ends; raise what ended it."""
        self._live = {name: self.feeds[name] for name in names}
        self._routes = wanted_by(feed.series for feed in self._live.values())
        for feed in self._live.values():
            feed.connected(self._tick())
        await self._note(names, state=JobState.STARTING)
        async with AsyncExitStack() as sockets:
            await self._turn_to_connect()
            socket = await sockets.enter_async_context(self.around.connect(self._url()))
            self._opened = self._checked = self._tick()
            self._rotate_at = self._opened + ROTATE_SECONDS
            self._reach.found()
            emit("ingest.connected", "write", data={"market": self.market, "series": sorted(names)})
            connected = self._station.clock()
            fields = {"state": JobState.BACKFILLING, "connected_at": connected}
            await self._note(names, **fields)
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._tend(socket, sockets, tasks))
                    tasks.create_task(self._ask_for_ever())
            except BaseExceptionGroup as group:
                raise group.exceptions[0] from None
            finally:
                await self._flush_last()

    async def _turn_to_connect(self) -> None:
        """Wait until this process may knock again."""
        while wait := self.around.pacer.wait(self._tick()):
            await asyncio.sleep(min(wait, CHECK_SECONDS))
            if self._stopping.is_set():
                raise StoppedError

    def _url(self) -> str:
        streams = "/".join(stream_of(feed.series) for feed in self._live.values())
        return f"{self.around.base}/stream?streams={streams}"

    async def _read(self, socket: Socket, first: asyncio.Event) -> None:
        """Hear a socket until it fails; one that is not the one in use may end."""
        try:
            while True:
                self._hear(await socket.recv())
                first.set()
        except Exception:
            if socket is self._in_use:
                raise

    def _hear(self, text: str | bytes) -> None:
        """Hand a frame to its series."""
        if isinstance(text, bytes):
            self._reject(Rejected("binary"))
            return
        found = parse_frame(text, self._routes, self.around.rest.now())
        if isinstance(found, Rejected):
            self._reject(found)
        elif found is not None and (feed := self._live.get(found.series_id)):
            feed.hear(found, self._tick())
        elif found is None and "serverShutdown" in text:
            raise RotationError("the server says that it shuts down")

    def _reject(self, found: Rejected) -> None:
        self.rejected[found.reason] = self.rejected.get(found.reason, 0) + 1
        metrics.count("market_ingest_frames_rejected_total", reason=found.reason)
        about = {"reason": found.reason}
        emit("ingest.frame_rejected", "write", found.series_id or None, data=about)
        named = (
            [self._live[found.series_id]] if found.series_id in self._live else self._live.values()
        )
        tick = self._tick()
        too_many = [feed.reject(tick) for feed in named]
        if all(too_many) and len(named) == len(self._live):
            raise BadFramesError(f"too many bad frames: {found.reason}")
        self._bad |= {str(feed.series): found.reason for feed in named if all(too_many)}

    # What is done all the time

    async def _tend(
        self, socket: Socket, sockets: AsyncExitStack, tasks: asyncio.TaskGroup
    ) -> None:
        """Read, show what forms, write what closed, and keep the socket fresh."""
        self._in_use = socket
        tasks.create_task(self._read(socket, asyncio.Event()))
        rotating: asyncio.Task[Socket] | None = None
        while True:
            await asyncio.sleep(TEND_SECONDS)
            await self._show_forming()
            await self._flush()
            if self._stopping.is_set():
                raise StoppedError
            if rotating is not None:  # until then nothing is subscribed, on neither socket
                if rotating.done():
                    socket, rotating = rotating.result(), None
                continue
            if self._tick() - self._checked >= CHECK_SECONDS:
                self._checked = self._tick()
                await self._check(socket)
            if self._tick() >= self._rotate_at:
                rotating = tasks.create_task(self._replaced(socket, sockets, tasks))

    async def _replaced(
        self, old: Socket, sockets: AsyncExitStack, tasks: asyncio.TaskGroup
    ) -> Socket:
        """Open the next socket, and close the old one when the next one is heard.

        One that cannot be opened, or says nothing, is tried again later; the old one stays in use.
        """
        await self._turn_to_connect()
        new: Socket | None = None
        try:
            new = await sockets.enter_async_context(self.around.connect(self._url()))
            heard = asyncio.Event()
            reading = tasks.create_task(self._read(new, heard))
            await asyncio.wait_for(heard.wait(), self._stable_after)
            if reading.done():
                raise ConnectionError("it ended at once")
        except (OSError, WebSocketException) as error:
            logger.warning("ingest.not_rotated %s %r", self.market, error)
            self._rotate_at = self._tick() + ROTATE_AGAIN_SECONDS
            if new is not None:
                await new.close()
            return old
        self._in_use = new
        await old.close()
        self._rotate_at = self._tick() + ROTATE_SECONDS
        return new

    async def _show_forming(self) -> None:
        """Show what forms, and what longer candles it forms."""
        interval = settings.TRADE_CANVAS_MARKET_FORMING_MIN_INTERVAL_MS / 1000
        for name, feed in list(self._live.items()):
            if candle := feed.to_publish(self._tick(), interval):
                self.around.show_forming(name, candle)
                await self._show_longer(name, candle, interval)

    async def _show_longer(self, name: str, candle: Candle, interval: float) -> None:
        """Show the forming candles of derived series; a failure costs no more than these."""
        longer = self._longer.setdefault(name, LongerForming(name))
        try:
            if lacks := longer.lacks(candle):
                longer.begin(lacks[0], await self._run(longer.read, *lacks))
        except DatabaseError as error:
            logger.info("ingest.longer_not_shown %s %s", name, error)
            return
        for derived_name, shown in longer.shown(candle, self._tick(), interval):
            self.around.show_forming(derived_name, shown)

    async def _flush(self) -> None:
        """Write closed candles when there are enough, or enough time has passed."""
        tick = self._tick()
        ready = {name: feed for name, feed in self._live.items() if feed.is_ready(tick)}
        count = sum(len(feed.buffer) for feed in ready.values())
        soon = tick - self._flushed >= settings.TRADE_CANVAS_BINANCE_WS_FLUSH_S
        if ready and (soon or count >= settings.TRADE_CANVAS_BINANCE_WS_BATCH_MAX):
            self._flushed = tick
            await self._commit({name: feed.pending() for name, feed in ready.items()})

    async def _flush_last(self) -> None:
        """Write what may be written before the connection is left; the rest stays."""
        ready = {n: f.pending() for n, f in self._live.items() if f.is_ready(self._tick())}
        try:
            async with asyncio.timeout(FLUSH_PATIENCE):
                await self._commit(ready)
        except Exception as error:  # noqa: BLE001 (REST brings them again)
            logger.warning("ingest.last_flush_failed %s %s", self.market, error)

    async def _commit(self, batches: dict[str, Candles]) -> None:
        """Store candles; what cannot be stored waits as long as the circuit of its series says."""
        if not batches:
            return
        began = self._tick()
        try:
            tokens = {name: self._tokens[name] for name in batches if name in self._tokens}
            await self._run(self.around.commit, batches, tokens)
        except LeaseLostError as error:
            self._drop(error.series_ids)
            return
        except IngestPipelineError as error:
            await self._failed([error.series_id], error)
            if error.step == CANDLE_STEP:
                for feed in self._feeds_of(batches).values():
                    feed.retry_at = self._tick() + CHECK_SECONDS
                return
        self._tell_flushed(batches, began)
        feeds = self._feeds_of(batches)
        for name, feed in feeds.items():
            feed.committed(batches[name])
        for name in batches.keys() & self._longer.keys():
            self._longer[name].committed(batches[name])
        await self._proven([name for name, feed in feeds.items() if not feed.is_proven])

    def _feeds_of(self, names: Iterable[str]) -> dict[str, SeriesFeed]:
        """Return the feeds of these series, but for those that were left meanwhile."""
        return {name: self.feeds[name] for name in names if name in self.feeds}

    def _tell_flushed(self, batches: Mapping[str, Candles], began: float) -> None:
        """Tell what was stored, series by series, and how long that took."""
        ms = (self._tick() - began) * 1000
        metrics.count("market_ingest_flushed_candles_total", sum(map(len, batches.values())))
        for name, candles in batches.items() if wanted() else ():
            about = {"rows": len(candles), "db_ms": ms, "head_time": int(candles.time[-1])}
            emit("ingest.flushed", "write", name, data=about)

    def _drop(self, names: Iterable[str]) -> None:
        """Leave series to the worker that has them now; nothing of them is written."""
        for name in names:
            emit("ingest.lease_lost", "write", name, "warn")
            self.lost.add(name)
            self._live.pop(name, None)
            self.feeds.pop(name, None)

    async def _proven(self, names: list[str]) -> None:
        """Tell the circuits of these series that they work."""
        if names:
            for name in names:
                self.feeds[name].is_proven = True
            await self._run(self._station.circuits.succeeded, names, self._station.clock())

    async def _check(self, socket: Socket) -> None:
        """Once a second: join and leave series, and say what was heard."""
        tick = self._tick()
        if tick - self._opened >= self._stable_after:
            await self._proven([n for n, f in self._live.items() if f.frames and not f.is_proven])
        if tick - self._noted >= NOTE_SECONDS:
            self._noted = tick
            await self._run(jobs_heard, list(self._live.values()), self._station.clock(), tick)
        wanted = set(self._tokens) - self.lost
        await self._leave(socket, wanted)
        if new := sorted(wanted - set(self._live)):
            await self._join(socket, new)
        if self._silent:
            await self._listen_anew(socket)
        if not self._live:
            raise RotationError("no series is left")

    async def _leave(self, socket: Socket, wanted: set[str]) -> None:
        """Leave what is not wanted any more, and what sent too many bad frames."""
        bad, self._bad = self._bad, {}
        for name in bad.keys() & self._live.keys():
            await self._failed([name], BadFramesError(f"too many bad frames: {bad[name]}"))
        gone = (set(self._live) - wanted) | (bad.keys() & self._live.keys())
        if not gone:
            return
        await self._say(socket, "UNSUBSCRIBE", gone)
        for name in gone:
            self._live.pop(name, None)  # or it lost its lease meanwhile
            if name not in wanted:
                self.feeds.pop(name, None)

    async def _join(self, socket: Socket, names: list[str]) -> None:
        """Let more series onto an open socket, as far as their circuits admit them."""
        attempt = await self._run(
            self._station.circuits.begin_attempt, names, self._station.owner, self._station.clock()
        )
        joined = [name for name in attempt.admitted if await self._prepare(name)]
        if not joined:
            return
        for name in joined:
            self.feeds[name].connected(self._tick())
            self._live[name] = self.feeds[name]
        self._routes = wanted_by(feed.series for feed in self._live.values())
        fields = {"state": JobState.BACKFILLING, "connected_at": self._station.clock()}
        await self._note(joined, **fields)
        await self._say(socket, "SUBSCRIBE", joined)

    async def _listen_anew(self, socket: Socket) -> None:
        """Subscribe again to series that are silent while others flow."""
        names, self._silent = self._silent & set(self._live), set()
        logger.warning("ingest.subscribed_anew %s", ",".join(sorted(names)))
        await self._say(socket, "UNSUBSCRIBE", names)
        await self._say(socket, "SUBSCRIBE", names)
        for name in names & set(self._live):
            self._live[name].subscribed(self._tick())

    async def _say(self, socket: Socket, method: str, names: Iterable[str]) -> None:
        """Subscribe to streams or leave them, at the pace that the exchange allows."""
        feeds = self._feeds_of(sorted(names))
        streams = [stream_of(feed.series) for feed in feeds.values()]
        for start in range(0, len(streams), STREAMS_PER_MESSAGE):
            self._messages += 1
            part = streams[start : start + STREAMS_PER_MESSAGE]
            message: dict[str, Any] = {"method": method, "params": part, "id": self._messages}
            await socket.send(orjson.dumps(message).decode())
            await asyncio.sleep(MESSAGE_SECONDS)

    # What is asked over HTTP

    async def _ask_for_ever(self) -> None:
        """Fill, and ask for what does not come by itself, one question at a time."""
        while True:
            if self._tick() - self._synced >= CLOCK_SECONDS or not self._synced:
                names = list(self._live)
                if await self._asked(names, self._asker.sync_clock(names)):
                    self._synced = self._tick()
            for name, feed in list(self._live.items()):
                try:
                    await self._asked([name], self._asker.ask(feed))
                except StaleStreamError:
                    if all(other.is_silent(self._tick()) for other in self._live.values()):
                        raise
                    self._silent.add(name)
            await asyncio.sleep(ASK_SECONDS)

    async def _asked(self, names: list[str], asking: Awaitable[None]) -> bool:
        """Ask; an exchange that does not answer (False) is not a failure of the stream."""
        try:
            await asking
        except RateLimitedError as error:
            await self._note(names, state=JobState.RATE_LIMITED, last_error=str(error))
            await asyncio.sleep(min(error.wait, CHECK_SECONDS))
        except RestError as error:
            logger.info("ingest.rest_failed %s %s", self.market, error)
            await asyncio.sleep(CHECK_SECONDS)
        else:
            return True
        return False

    # How it ends

    async def _failed(self, names: list[str], error: Exception) -> float:
        """Tell the circuits of these series; return the least time that one of them has to wait."""
        kind, said = kind_of(error), f"{type(error).__name__}: {error}"
        if kind == FailureKind.CONNECT:
            self._reach.lost(error)
        about = {"market": self.market, "series": sorted(names), "kind": kind.value, "error": said}
        emit("ingest.failed", "write", None, "warn", data=about)
        now = self._station.clock()
        try:
            waits = await self._told(names, kind, said, now)
        except DatabaseError as away:
            logger.warning("ingest.failure_not_stored %s", away)
            waits = dict.fromkeys(names, FIXED_WAIT)
        for name in names:
            if name in self.feeds:
                self.feeds[name].retry_at = self._tick() + waits.get(name, 0.0)
        return min(waits.values(), default=CHECK_SECONDS)

    async def _told(
        self, names: list[str], kind: FailureKind, said: str, now: float
    ) -> dict[str, float]:
        """Write a failure into circuits and jobs; return how long each series has to wait."""
        waits: dict[str, float] = await self._run(
            self._station.circuits.failed, names, kind, said, now
        )
        fields: dict[str, Any] = {
            "last_error": said[:2000],
            "last_error_kind": kind,
            "state": JobState.WAITING,
        }
        if kind not in UNCOUNTED:
            fields |= {"crashes": F("crashes") + 1, "last_crash_at": now}
        await self._note(names, **fields)
        return waits

    async def _sleep(self, seconds: float) -> None:
        """Wait, or less if what is wanted changes."""
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return

    async def _note(self, names: Iterable[str], **fields: Any) -> None:
        await self._run(jobs_note, list(names), **fields)

    async def _run(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await self._station.worker.run(work, *args, **kwargs)

    def _tick(self) -> float:
        return asyncio.get_running_loop().time()


async def run_binance_ws_ingest_loop(loop: MarketLoop) -> None:
    """Follow the series that the loop is told to want, until it is told to stop."""
    await loop.run()
