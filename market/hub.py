"""Fan-out of one process: hears hints once for all of its sockets, and sweeps after lost ones.

There is one hub for each process, on one event loop. It listens on one channel of the channel
layer, joins a group for each series that some socket wants, and hands each hint to the
subscriptions. Once a second it compares the announced heads in the database with what the sockets
got, in one query; so the layer may lose anything, or be away.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, ParamSpec, Protocol, TypeVar

from channels.layers import get_channel_layer
from django.conf import settings
from django.db import DatabaseError, close_old_connections, connections

from market import clock, debug_relay, first_window, groups, messages, metrics, selectors
from market.debug_relay import Relay
from market.groups import Forming, Hint, group_name
from market.series import SeriesId
from market.subscriptions import AnnouncedHead, News, Run, Subscription
from market.watching import Watching

logger = logging.getLogger(__name__)

MOST_SOCKETS = 10_000
READERS = 4
SWEEP_SECONDS = 1.0
# The layer forgets members of a group after a day.
REJOIN_SECONDS = 3600.0
FIRST_RETRY, LAST_RETRY = 0.5, 30.0
LAYER_PATIENCE = 5.0
CLOSE_PATIENCE = 5.0
CANCEL_SECONDS = 0.1

NO_HEAD = AnnouncedHead(None, 0)
HeadReader = Callable[[Sequence[str]], Mapping[str, AnnouncedHead]]
P = ParamSpec("P")
T = TypeVar("T")


class HubClosedError(Exception):
    """Sockets are served no more."""


class Closable(Protocol):
    """A socket, as far as the hub needs to know it."""

    async def close(self, code: int, reason: str) -> None:
        """Close the socket."""


def candle_heads(series_ids: Sequence[str]) -> Mapping[str, AnnouncedHead]:
    """Return the newest candles as heads: what may be shown where no ledger says otherwise."""
    heads = selectors.head_times(series_ids)
    return {series_id: AnnouncedHead(time, 0) for series_id, time in heads.items()}


class Hub:
    """The sockets of one process and what they want."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.clock: Callable[[], float] = clock.now
        self.sockets: set[Closable] = set()
        self.watching = Watching()
        self.is_closed = False
        self._closing = asyncio.Event()
        self._subscriptions: dict[str, set[Subscription]] = {}
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="socket-reads")
        self._reading: dict[tuple[Any, ...], asyncio.Future[Run | None]] = {}
        self._layer: Any = get_channel_layer()
        self._channel = ""
        self._hears = False
        self._joined: set[str] = set()
        self._membership = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to listen and to sweep."""
        groups.use_loop(self.loop)
        work = [
            self._listen(),
            self._sweep_for_ever(),
            self._rejoin_for_ever(),
            self.watching.run(),
        ]
        if debug_relay.is_wanted():
            work += Relay(self._layer).work()
        self._tasks = [self.loop.create_task(each) for each in work]

    async def close(self) -> None:
        """Close every socket and stop."""
        if self.is_closed:
            return
        self.is_closed = True
        self._closing.set()
        self._hears = False
        groups.use_loop(None)
        closing = [socket.close(1001, "server_shutdown") for socket in self.sockets]
        ends = [*map(_end, self._tasks), *closing, self._leave_all()]
        gone = asyncio.gather(*ends, return_exceptions=True)
        _, late = await asyncio.wait([gone], timeout=CLOSE_PATIENCE)
        if late:
            logger.warning("sockets not closed in time, %s left", len(self.sockets))
            await _end(gone)
        await self.watching.close()
        self._end_reads()

    async def pause(self, seconds: float) -> bool:
        """Wait, and say whether this process still serves."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        return not self.is_closed

    def has_room(self) -> bool:
        """Say whether one more socket is served."""
        return not self.is_closed and len(self.sockets) < MOST_SOCKETS

    async def prepare(self, series_id: str) -> None:
        """Let a derived series without candles be filled from its base, before it is joined."""
        if not first_window.is_wanted(series_id):
            return
        try:
            if await self._read(selectors.head_time, series_id) is None:
                await first_window.fill(series_id)
        except DatabaseError:
            logger.warning("not prepared, series %s", series_id, exc_info=True)

    async def join(self, subscription: Subscription) -> None:
        """Let a subscription hear what comes from now on."""
        series_id = subscription.series_id
        self._subscriptions.setdefault(series_id, set()).add(subscription)
        self._count_subscriptions()
        await self._settle(series_id)

    async def leave(self, subscription: Subscription) -> None:
        """Let a subscription hear no more."""
        series_id = subscription.series_id
        others = self._subscriptions.get(series_id, set())
        others.discard(subscription)
        self._count_subscriptions()
        if not others:
            self._subscriptions.pop(series_id, None)
            await self._settle(series_id)

    def _count_subscriptions(self) -> None:
        if settings.TRADE_CANVAS_ENABLE_RUNTIME_METRICS:
            active = sum(map(len, self._subscriptions.values()))
            metrics.gauge("market_ws_active_subscriptions", active)

    async def head(self, series_id: str) -> AnnouncedHead:
        """Return up to where a series may be shown now."""
        heads = await self._read(_Registered.heads, [series_id])
        return heads.get(series_id, NO_HEAD)

    async def page(self, subscription: Subscription, up_to: int) -> Run | None:
        """Return the next stored candles that a subscription lacks, None if there are none.

        Sockets that lack the same share one read, and the frames that it encodes. Those of another
        generation do not: they might get candles of before a change, and never hear of it.
        """
        wish = (subscription.series, subscription.last_sent, up_to, subscription.supports_batch)
        shared = (*wish, subscription.generation)
        if shared not in self._reading:
            reading = asyncio.ensure_future(self._read(_page, *wish))
            self._reading[shared] = reading
            reading.add_done_callback(lambda _: self._reading.pop(shared, None))
        return await asyncio.shield(self._reading[shared])

    def deliver(self, hint: Hint) -> None:
        """Offer a hint to the subscriptions of its series; never a candle after its head."""
        subscriptions = self._subscriptions.get(hint.series_id)
        if not subscriptions:
            return
        candles = [candle for candle in hint.candles if candle.candle_time <= hint.head]
        run = Run(SeriesId.parse(hint.series_id), candles) if candles else None
        news = News(AnnouncedHead(hint.head, hint.generation), run)
        for subscription in subscriptions:
            subscription.offer(news)

    def show(self, forming: Forming) -> None:
        """Offer a candle that still forms to the subscriptions of its series."""
        if subscriptions := self._subscriptions.get(forming.series_id):
            frame = messages.candle_forming(forming.series_id, forming.candle)
            for subscription in subscriptions:
                subscription.offer_forming(forming.candle.candle_time, frame)

    async def sweep(self) -> None:
        """Wake the subscriptions that miss something, found by one query."""
        if not self._subscriptions:
            return
        heads = await self._read(_Registered.heads, list(self._subscriptions))
        now = self.clock()
        for series_id, subscriptions in self._subscriptions.items():
            head = heads.get(series_id, NO_HEAD)
            for subscription in subscriptions:
                if subscription.is_behind(head, now):
                    subscription.offer(News(head))

    async def _read(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Read the database in one of few threads."""
        if self.is_closed:
            raise HubClosedError
        return await self.loop.run_in_executor(
            self._readers, lambda: _with_own_connection(read, *args, **kwargs)
        )

    def _end_reads(self) -> None:
        """Let each reader close its connections, once it has done what it is at, and end."""
        everyone = threading.Barrier(READERS)

        def close_own() -> None:
            with suppress(threading.BrokenBarrierError):  # one is still reading
                everyone.wait(CLOSE_PATIENCE)
            connections.close_all()

        with suppress(RuntimeError):  # they have ended before
            for _ in range(READERS):
                self._readers.submit(close_own)
        self._readers.shutdown(wait=False)

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self.sweep()
            except HubClosedError:
                return
            except Exception:  # Whatever the database raises: it may be back soon.
                logger.warning("sweep failed", exc_info=True)

    async def _listen(self) -> None:
        delay = FIRST_RETRY
        while True:
            try:
                await self._rejoin()
                delay = FIRST_RETRY
                while True:
                    self._hear(await self._layer.receive(self._channel))
            except Exception as error:  # noqa: BLE001 (each layer has its own errors; the sweep goes on)
                logger.warning("channel layer failed, again in %s s, %r", delay, error)
            self._hears = False
            self._joined.clear()
            await asyncio.sleep(delay)
            delay = min(2 * delay, LAST_RETRY)

    def _hear(self, message: dict[str, Any]) -> None:
        try:
            if message["type"] == "series.forming":
                self.show(Forming.from_message(message))
            else:
                self.deliver(Hint.from_message(message))
        except (KeyError, TypeError, ValueError):
            logger.warning("not a hint: %r", message)

    async def _rejoin_for_ever(self) -> None:
        while True:
            await asyncio.sleep(REJOIN_SECONDS)
            try:
                await self._rejoin()
            except Exception as error:  # noqa: BLE001 (as in _listen)
                logger.warning("groups not renewed, %r", error)

    async def _rejoin(self) -> None:
        """Join the groups of all wanted series, whether or not we are in them."""
        async with self._membership, asyncio.timeout(LAYER_PATIENCE):
            self._channel = self._channel or await self._layer.new_channel("market.")
            for series_id in list(self._subscriptions):
                await self._layer.group_add(group_name(series_id), self._channel)
                self._joined.add(series_id)
            self._hears = True

    async def _settle(self, series_id: str) -> None:
        """Join or leave one group, as is wanted by now; while the layer is away `_listen` will."""
        async with self._membership:
            wanted = series_id in self._subscriptions
            if not self._hears or wanted == (series_id in self._joined):
                return
            change = self._layer.group_add if wanted else self._layer.group_discard
            try:
                async with asyncio.timeout(LAYER_PATIENCE):
                    await change(group_name(series_id), self._channel)
            except Exception as error:  # noqa: BLE001 (as in _listen)
                logger.warning("group not changed, series %s, %r", series_id, error)
                return
            (self._joined.add if wanted else self._joined.discard)(series_id)

    async def _leave_all(self) -> None:
        for series_id in list(self._joined):
            await self._layer.group_discard(group_name(series_id), self._channel)


class _Registered:
    """What other apps have told this one, in their `ready`."""

    heads: HeadReader = staticmethod(candle_heads)
    hub: Hub | None = None


def register_heads(read: HeadReader) -> None:
    """Let the ledger say up to where series may be shown: one query for all of them."""
    _Registered.heads = staticmethod(read)


def current() -> Hub:
    """Return the hub of the running loop; the first call starts it."""
    loop = asyncio.get_running_loop()
    if _Registered.hub is None or _Registered.hub.loop is not loop:
        _Registered.hub = Hub(loop)
        _Registered.hub.start()
    return _Registered.hub


async def pause(seconds: float) -> bool:
    """Wait, and say whether this process still serves."""
    return await current().pause(seconds)


async def close() -> None:
    """Close all sockets of this process with 1001 `server_shutdown`, and take no more."""
    await current().close()


async def _end(task: asyncio.Future[Any]) -> None:
    """Cancel a task until it ends: on Python 3.11 `wait_for` in a library may swallow a cancel."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_SECONDS)


def _page(series: SeriesId, since: int | None, up_to: int, batch: bool) -> Run | None:
    """Read the next candles and encode their frames, away from the event loop."""
    limit = settings.TRADE_CANVAS_MARKET_WS_CATCHUP_LIMIT
    if since is None:
        candles = selectors.candles_latest(str(series), limit, up_to)
    else:
        candles = selectors.candles_after(str(series), since, limit, up_to)
    if not len(candles):
        return None
    run = Run(series, candles.rows())
    _ = run.batch if batch and len(candles) > 1 else run.singles
    return run


def _with_own_connection(read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    close_old_connections()
    try:
        return read(*args, **kwargs)
    finally:
        close_old_connections()
