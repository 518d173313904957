"""One socket of /ws/market: its subscriptions, and the task that tells it what it has to hear."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence

from django.conf import settings
from django.db import DatabaseError

from market import after_read, eager, filling, messages, metrics
from market.hub import Hub, HubClosedError
from market.messages import BadRequestError, Frame, Subscribe
from market.subscriptions import News, Subscription

logger = logging.getLogger(__name__)

MOST_SUBSCRIPTIONS = 200
# The extension of a server that puts frames on the wire as they are (`ingest/serving.py`).
WRITE = "trade_canvas.write"


def _never(encoded: bytes) -> bool:
    """Put nothing on the wire: this server takes no encoded frames."""
    return False


class Session:
    """What one socket hears. Only one thing is done for it at a time, so frames keep their order.

    What just goes on is sent where it is heard, as long as the socket takes it without waiting. A
    slow socket holds up nobody else: its news wait, bounded, in its subscriptions. `write` puts
    an encoded frame on the wire if the socket takes it now, and says whether it did.
    """

    def __init__(
        self,
        hub: Hub,
        send: Callable[[str], Awaitable[None]],
        close: Callable[[int, str], Awaitable[None]],
        write: Callable[[bytes], bool] = _never,
    ) -> None:
        self._hub = hub
        self._write = write
        self._is_counted = settings.TRADE_CANVAS_ENABLE_RUNTIME_METRICS
        self._send = send
        self._close = close
        self._subscriptions: dict[str, Subscription] = {}
        self._taken: set[str] = set()
        self._ready: deque[Subscription] = deque()
        self._rest: Awaitable[None] | None = None
        self._unsent: deque[str] = deque()
        self._failure: Exception | None = None
        self._woken = asyncio.Event()
        self._busy = asyncio.Lock()

    async def subscribe(self, wish: Subscribe) -> None:
        """Join the listeners first, then send what is stored: so nothing falls in between.

        Where no more series can be followed, the socket hears just that.
        """
        series_id = str(wish.series)
        is_new = series_id not in self._subscriptions
        if is_new and len(self._subscriptions) >= MOST_SUBSCRIPTIONS:
            raise BadRequestError("too many subscriptions")
        await self._prepare(series_id)
        if is_new and not await self._take(series_id):
            metrics.count("market_ws_subscribe_total", result="capacity")
            await self._send(messages.capacity(series_id))
            return
        with metrics.timed("market_ws_subscribe_duration_ms"):
            await self._join(wish)
        metrics.count("market_ws_subscribe_total", result="ok")

    async def _join(self, wish: Subscribe) -> None:
        series_id = str(wish.series)
        async with self._busy:
            before = self._subscriptions.get(series_id)
            await self._send_rest()
            subscription = Subscription(wish, self._hub.clock(), self)
            self._subscriptions[series_id] = subscription
            await self._hub.join(subscription)
            if before is not None:
                subscription.go_on_from(before)
                await self._hub.leave(before)
            await self._serve(subscription)

    async def unsubscribe(self, series_id: str) -> None:
        """Forget a series; what is being sent of it goes out first."""
        with metrics.timed("market_ws_unsubscribe_duration_ms"):
            async with self._busy:
                await self._send_rest()
                subscription = self._subscriptions.pop(series_id, None)
                if subscription is not None:
                    self._release(series_id)
                    await self._hub.leave(subscription)
        metrics.count(
            "market_ws_unsubscribe_total", result="noop" if subscription is None else "ok"
        )

    async def leave(self) -> None:
        """Forget every series: the socket is gone."""
        self._hub.sockets.discard(self)
        metrics.count("market_ws_disconnect_cleanup_total")
        metrics.gauge("market_ws_disconnect_cleanup_series_count", len(self._subscriptions))
        metrics.count("market_ws_disconnect_unsubscribe_total", len(self._taken))
        for series_id in list(self._taken):
            self._release(series_id)
        subscriptions, self._subscriptions = self._subscriptions, {}
        for subscription in subscriptions.values():
            await self._hub.leave(subscription)

    async def _take(self, series_id: str) -> bool:
        """Count the socket among those who want a series, if that is what makes it followed."""
        if not settings.TRADE_CANVAS_ENABLE_ONDEMAND_INGEST:
            return True
        granted = await self._hub.watching.take(series_id)
        if granted:
            self._taken.add(series_id)
        return granted

    def _release(self, series_id: str) -> None:
        if series_id in self._taken:
            self._taken.discard(series_id)
            self._hub.watching.release(series_id)

    async def run(self) -> None:
        """Send news as they come, until the socket fails or the task is cancelled."""
        try:
            while True:
                await self._woken.wait()
                self._woken.clear()
                self._tell_failure()
                while self._ready or self._has_rest():
                    await self._next()
        except OSError as error:
            logger.info("socket lost, %s", error)
        except Exception:
            logger.exception("socket dropped")
            await self.close(1011, "")

    async def close(self, code: int, reason: str) -> None:
        """Close the socket."""
        await self._close(code, reason)

    async def _prepare(self, series_id: str) -> None:
        """Let a derived series get its first candles; the socket hears of others meanwhile."""
        try:
            await self._hub.prepare(series_id)
        except HubClosedError:
            logger.debug("closing, series %s", series_id)

    def pass_on(self, frames: Sequence[Frame]) -> bool:
        """Send frames at once, unless something else is to go out before: then False.

        Where the socket does not take them, its task sends the rest when it does.
        """
        if self._busy.locked() or self._ready or self._has_rest():
            return False
        if self._failure is None:
            try:
                self._begin(frames)
            except Exception as error:  # noqa: BLE001 (`run` tells of it, as of its own)
                self._failure = error
                self._woken.set()
        return True

    def _begin(self, frames: Sequence[Frame]) -> None:
        for place, frame in enumerate(frames):
            if self._write(frame.encoded):
                continue
            self._rest = eager.begin(self._send(frame))
            if self._rest is not None:
                self._unsent.extend(frames[place + 1 :])
                self._woken.set()
                break
        if self._is_counted:
            metrics.count("market_ws_payloads_total", len(frames))

    def wake(self, subscription: Subscription) -> None:
        """Let the subscription be served soon."""
        if not subscription.waits:
            subscription.waits = True
            self._ready.append(subscription)
            self._woken.set()

    async def _next(self) -> None:
        async with self._busy:
            await self._send_rest()
            if not self._ready:
                return
            subscription = self._ready.popleft()
            subscription.waits = False
            if self._subscriptions.get(subscription.series_id) is subscription:
                await self._serve(subscription)

    async def _serve(self, subscription: Subscription) -> None:
        """Send all that waits; where the database fails, the next sweep comes back to it."""
        try:
            if not subscription.caught_up:
                await self._catch_up(subscription)
            while subscription.news:
                await self._tell(subscription, subscription.news.popleft())
            await self._send_all(subscription.forming())
        except DatabaseError:
            subscription.news.clear()
            logger.warning("read failed, series %s", subscription.series_id, exc_info=True)
        except HubClosedError:
            logger.debug("closing, series %s", subscription.series_id)

    async def _catch_up(self, subscription: Subscription) -> None:
        """Send what is stored after the socket's cursor, or the newest candles without one."""
        head = await self._hub.head(subscription.series_id)
        subscription.begin_with(head.generation)
        target = subscription.target(head, self._hub.clock())
        run = await self._hub.page(subscription, target) if target is not None else None
        subscription.caught_up = True
        if run is not None:
            frames = list(subscription.catch_up(run))
            metrics.count("market_ws_catchup_candles_total", len(run.candles))
            metrics.gauge("market_ws_last_catchup_count", len(run.candles))
            metrics.gauge("market_ws_last_payload_count", len(frames))
            await self._send_all(frames)
            await self._tell(subscription, News(head))
        else:
            await self._send_all(subscription.altered(head.generation))

    async def _tell(self, subscription: Subscription, news: News) -> None:
        """Send the candles of the news, or those of the database; then that history changed."""
        if news.run is not None and subscription.follows(news.run):
            await self._send_all(subscription.go_on(news.run))
        while (target := subscription.target(news.head, self._hub.clock())) is not None:
            run = await self._hub.page(subscription, target)
            if run is None:
                break
            await self._send_all(subscription.go_on(run))
        await self._send_all(subscription.altered(news.head.generation))
        if subscription.gap is not None:
            gap, subscription.gap = subscription.gap, None
            if filling.gaps_are_filled():
                after_read.later(filling.gap_wanted, subscription.series_id, *gap)

    async def _send_rest(self) -> None:
        """Send what the socket did not take at once; all else goes out after it."""
        if self._rest is not None:
            try:
                await self._rest
            finally:
                self._rest = None
        while self._unsent:
            await self._send(self._unsent.popleft())

    def _tell_failure(self) -> None:
        """Raise what went wrong where news were heard."""
        if self._failure is not None:
            raise self._failure

    def _has_rest(self) -> bool:
        return self._rest is not None or bool(self._unsent)

    async def _send_all(self, frames: Iterable[str]) -> None:
        for frame in frames:
            await self._send(frame)
            metrics.count("market_ws_payloads_total")
