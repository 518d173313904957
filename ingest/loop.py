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
from websockets.exceptions import InvalidStatus, WebSocketException

from ingest.asking import Asker
from ingest.binance import EXCHANGE, UnsupportedSeriesError, stream_of
from ingest.clock_sync import ClockSync
from ingest.failures import BadFramesError, RotationError, StaleStreamError
from ingest.feed import SeriesFeed
from ingest.following import Commit, Following
from ingest.gate import RateLimitedError, gate_answered, gate_wait
from ingest.hearing import Hearing
from ingest.models import JobState
from ingest.pacer import Pacer
from ingest.rest import BinanceRest, RestError
from ingest.showing import Showing
from ingest.station import Station
from market import clock
from market.candles import Candle, Candles
from market.debug_events import emit
from market.series import SeriesId

logger = logging.getLogger(__name__)

TEND_SECONDS, ASK_SECONDS, CHECK_SECONDS, NOTE_SECONDS = 0.1, 0.25, 1.0, 5.0
ROTATE_SECONDS, ROTATE_AGAIN_SECONDS = 23.5 * 3600, 300.0
GATE_SECONDS, SWITCHING = 30.0, 101
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
    """What the loop of a market talks to; tests bring their own."""

    station: Station
    rest: BinanceRest
    connect: Callable[[str], AbstractAsyncContextManager[Socket]]
    commit: Commit
    show_forming: Callable[[str, Candle], None]
    base: str
    pacer: Pacer = field(default_factory=Pacer)


class MarketLoop:
    """The streams of one market. `want` says which series; `run` follows them until `stop`."""

    def __init__(self, market: str, around: Surroundings) -> None:
        self.market = market
        self._door = f"{market} streams"
        self.around = around
        self.following = Following(EXCHANGE, market, around.station, around.commit)
        self._stable_after = around.station.circuits.config.stable_after_s
        self._silent: set[str] = set()
        self._unlisted: set[str] = set()
        self._hearing = Hearing({})
        self._showing = Showing(around.show_forming, self.following.run)
        self._asker = Asker(around.rest, self._commit, self.following.note, around.station.worker)
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._opened = self._flushed = self._noted = self._checked = 0.0
        self._rotate_at = 0.0
        self._sync = ClockSync(clock.speed())
        self._in_use: Socket | None = None
        self._messages = 0

    def want(self, tokens: Mapping[str, int]) -> None:
        """Follow these series, each under its lease token, and no others."""
        if self.following.want(tokens):
            self._changed.set()

    def stop(self) -> None:
        """Write what waits, then end."""
        self._stopping.set()
        self._changed.set()

    async def run(self) -> None:
        """Connect, and connect again, until told to stop."""
        while not self._stopping.is_set():
            tried: set[str] = set()
            try:
                tried = await self._admitted(self.following.wanted)
                if tried:
                    await self._connection(tried)
            except StoppedError:
                logger.info("ingest.stopped %s", self.market)
            except Exception as error:  # noqa: BLE001 (whatever ends a connection, another follows)
                await self._sleep(await self._ended(sorted(set(self._live) or tried), error))
            finally:
                self._hearing = Hearing({})

    async def _ended(self, names: list[str], error: Exception) -> float:
        """Tell what ended a connection, or kept one from being made; return how long to wait."""
        ours = [name for name in names if name in self.following.wanted]
        wait = await self.following.failed(ours, error)
        if isinstance(error, RateLimitedError):
            await self.following.limited(ours, error)
            wait = min(error.wait, GATE_SECONDS)
        return wait

    @property
    def _live(self) -> dict[str, SeriesFeed]:
        """The feeds of the series that are on the socket."""
        return self._hearing.live

    # Who may try

    async def _admitted(self, names: set[str]) -> set[str]:
        """Return the series whose circuits admit an attempt; wait if there are none."""
        self._changed.clear()
        attempt = await self.following.admitted(names)
        ready = {name for name in attempt.admitted if await self._prepare(name)}
        await self.following.waits(names - ready)
        if not ready:
            await self._sleep(min(attempt.wait or CHECK_SECONDS, CHECK_SECONDS))
        return ready

    async def _prepare(self, name: str) -> bool:
        """Make the feed of a series that the exchange lists; say whether it may connect."""
        if name in self.following.feeds:
            return True
        try:
            await self.around.rest.require_listed(SeriesId.parse(name))
        except UnsupportedSeriesError as error:
            await self.following.failed([name], error)
            return False
        except (RestError, RateLimitedError) as error:
            logger.info("ingest.not_checked %s %s", name, error)
        await self.following.open(name)
        return True

    # One connection

    async def _connection(self, names: set[str]) -> None:
        """Follow these series over one socket until it ends; raise what ended it."""
        self._hearing = Hearing(self.following.feeds_of(sorted(names)))
        for feed in self._live.values():
            feed.connected(self._tick())
        await self.following.note(names, state=JobState.STARTING)
        async with AsyncExitStack() as sockets:
            socket = await self._connected(sockets)
            self._opened = self._checked = self._tick()
            self._rotate_at = self._opened + ROTATE_SECONDS
            self.following.reach.found()
            emit("ingest.connected", "write", data={"market": self.market, "series": sorted(names)})
            await self.following.connected(names)
            self._sync.forget()
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._tend(socket, sockets, tasks))
                    tasks.create_task(self._ask_for_ever())
            except BaseExceptionGroup as group:
                raise group.exceptions[0] from None
            finally:
                await self.following.commit_last(self._live)

    async def _turn_to_connect(self) -> None:
        """Wait until this process may knock again."""
        closed = await self.following.run(gate_wait, EXCHANGE, self._door, self._now())
        if closed:
            raise RateLimitedError(closed, f"{EXCHANGE} {self._door} are not to be opened")
        while wait := self.around.pacer.wait(self._tick()):
            await asyncio.sleep(min(wait, CHECK_SECONDS))
            if self._stopping.is_set():
                raise StoppedError

    async def _connected(self, sockets: AsyncExitStack) -> Socket:
        """Open a socket that carries the live series, when it is our turn."""
        await self._turn_to_connect()
        streams = "/".join(stream_of(feed.series) for feed in self._live.values())
        url = f"{self.around.base}/stream?streams={streams}"
        try:
            socket = await sockets.enter_async_context(self.around.connect(url))
        except InvalidStatus as error:
            answer = error.response
            headers = {name.lower(): value for name, value in answer.headers.raw_items()}
            await self._answered(answer.status_code, headers)
            raise
        await self._answered(SWITCHING, {})
        return socket

    async def _answered(self, status: int, headers: Mapping[str, str]) -> None:
        """Keep what the answer to a handshake says; raise `RateLimitedError` for a refusal."""
        now = self._now()
        await self.following.run(gate_answered, EXCHANGE, self._door, status, headers, now)

    async def _read(self, socket: Socket, first: asyncio.Event) -> None:
        """Hear a socket until it fails; one that is not the one in use may end."""
        try:
            while True:
                self._hearing.hear(await socket.recv(), self.around.rest.now(), self._tick())
                first.set()
        except Exception:
            if socket is self._in_use:
                raise

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
            await self._showing.show(list(self._live.values()), self._tick())
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
        new: Socket | None = None
        try:
            new = await self._connected(sockets)
            heard = asyncio.Event()
            reading = tasks.create_task(self._read(new, heard))
            await asyncio.wait_for(heard.wait(), self._stable_after)
            if reading.done():
                raise ConnectionError("it ended at once")
        except (OSError, WebSocketException, RateLimitedError, DatabaseError) as error:
            logger.warning("ingest.not_rotated %s %r", self.market, error)
            self._rotate_at = self._tick() + ROTATE_AGAIN_SECONDS
            if new is not None:
                await new.close()
            return old
        self._in_use = new
        await old.close()
        self._rotate_at = self._tick() + ROTATE_SECONDS
        return new

    async def _flush(self) -> None:
        """Write closed candles when there are enough, or enough time has passed."""
        tick = self._tick()
        ready = {name: feed for name, feed in self._live.items() if feed.is_ready(tick)}
        count = sum(len(feed.buffer) for feed in ready.values())
        soon = tick - self._flushed >= settings.TRADE_CANVAS_BINANCE_WS_FLUSH_S
        if ready and (soon or count >= settings.TRADE_CANVAS_BINANCE_WS_BATCH_MAX):
            self._flushed = tick
            await self._commit({name: feed.pending() for name, feed in ready.items()})

    async def _commit(self, batches: Mapping[str, Candles]) -> None:
        self._showing.committed(await self.following.commit(batches))

    # Which series are on the socket

    async def _check(self, socket: Socket) -> None:
        """Once a second: join and leave series, and say what was heard."""
        tick = self._tick()
        if tick - self._opened >= self._stable_after:
            stable = [n for n, f in self._live.items() if f.frames and not f.is_proven]
            await self.following.works(name for name in stable if not self._live[name].is_troubled)
        if tick - self._noted >= NOTE_SECONDS:
            self._noted = tick
            await self.following.heard(self._live)
        await self._leave(socket)
        if new := self.following.wanted - set(self._live):
            await self._join(socket, new)
        if self._silent:
            await self._listen_anew(socket)
        if not self._live:
            raise RotationError("no series is left")

    async def _leave(self, socket: Socket) -> None:
        """Leave what is not wanted any more, and what sent too many bad frames."""
        bad = self._hearing.take_bad()
        for name, reason in bad.items():
            await self.following.failed([name], BadFramesError(f"too many bad frames: {reason}"))
        unwanted = (set(self._live) - self.following.wanted) | self._unlisted
        self._unlisted = set()
        if gone := unwanted | set(bad):
            await self._say(socket, "UNSUBSCRIBE", gone)
            self._hearing.leave(gone)
            self.following.forget(unwanted)

    async def _join(self, socket: Socket, names: set[str]) -> None:
        """Let more series onto an open socket, as far as their circuits admit them."""
        attempt = await self.following.admitted(names)
        joined = [name for name in attempt.admitted if await self._prepare(name)]
        await self.following.waits(names.difference(joined))
        if not joined:
            return
        feeds = self.following.feeds_of(joined)
        for feed in feeds.values():
            feed.connected(self._tick())
        self._hearing.join(feeds.values())
        await self.following.connected(joined)
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
        streams = [stream_of(SeriesId.parse(name)) for name in sorted(names)]
        for start in range(0, len(streams), STREAMS_PER_MESSAGE):
            self._messages += 1
            part = streams[start : start + STREAMS_PER_MESSAGE]
            message: dict[str, Any] = {"method": method, "params": part, "id": self._messages}
            await socket.send(orjson.dumps(message).decode())
            await asyncio.sleep(MESSAGE_SECONDS)

    # What is asked over HTTP

    async def _ask_for_ever(self) -> None:
        """Fill, and ask for what does not come by itself, one question at a time.

        While our clock may be ahead, nothing else is asked.
        """
        while True:
            if self._sync.is_due(self._now(), self._tick()):
                await self._asked([], self._sync_clock())
            for name, feed in list(self._live.items()) if not self._sync.is_unsure else ():
                try:
                    await self._asked([name], self._ask(feed))
                except StaleStreamError:
                    if all(other.is_silent(self._tick()) for other in self._live.values()):
                        raise
                    self._silent.add(name)
            await asyncio.sleep(ASK_SECONDS)

    async def _sync_clock(self) -> None:
        await self._asker.sync_clock(list(self._live))
        self._sync.done(self._tick())

    async def _ask(self, feed: SeriesFeed) -> None:
        """Ask for what a series lacks; where an answer leaves nothing to do, all is well."""
        if await self._asker.ask(feed) and not feed.buffer:
            await self.following.recovered([str(feed.series)])

    async def _asked(self, names: list[str], asking: Awaitable[None]) -> None:
        """Ask; an exchange that does not answer is not a failure of the stream."""
        try:
            await asking
        except UnsupportedSeriesError as error:
            await self.following.failed(names, error)
            self._unlisted |= set(names)
        except RateLimitedError as error:
            await self.following.limited(names, error)
            await asyncio.sleep(min(error.wait, CHECK_SECONDS))
        except RestError as error:
            logger.info("ingest.rest_failed %s %s", self.market, error)
            await self.following.unanswered(names, error)
            await asyncio.sleep(CHECK_SECONDS)

    async def _sleep(self, seconds: float) -> None:
        """Wait, or less if what is wanted changes."""
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return

    def _now(self) -> float:
        return self.around.station.clock()

    def _tick(self) -> float:
        return asyncio.get_running_loop().time()


async def run_binance_ws_ingest_loop(loop: MarketLoop) -> None:
    """Follow the series that the loop is told to want, until it is told to stop."""
    await loop.run()
