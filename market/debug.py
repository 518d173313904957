"""The newest debug events of this process, kept behind a logging handler for /ws/debug.

The ring is the queue of every socket as well: one that is slow misses what fell out of it, and
holds up nobody.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from threading import Lock
from typing import Any

import orjson

from market import debug_events

MOST_EVENTS = 2000
Event = Mapping[str, Any]


class Listener:
    """Somebody on an event loop who wants to know that there is more; woken once for many."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._is_woken = False

    def wake(self) -> None:
        """Wake the listener, from any thread."""
        if not self._is_woken:
            self._is_woken = True
            self._loop.call_soon_threadsafe(self._news.set)

    async def wait(self) -> None:
        """Wait until there is more."""
        await self._news.wait()
        self._news.clear()
        self._is_woken = False


class Ring:
    """The newest events, each with a number, oldest first."""

    def __init__(self) -> None:
        self._events: deque[tuple[int, Event, bool]] = deque(maxlen=MOST_EVENTS)
        self._newest = 0
        self._listeners: set[Listener] = set()
        self._lock = Lock()

    def add(self, event: Event, *, is_own: bool = True) -> None:
        """Keep an event, of this process or another one, and wake the listeners."""
        with self._lock:
            self._newest += 1
            self._events.append((self._newest, event, is_own))
            listeners = list(self._listeners)
        for listener in listeners:
            try:
                listener.wake()
            except RuntimeError:  # its loop is closed
                self.leave(listener)

    def after(self, number: int) -> tuple[int, list[Event]]:
        """Return the number of the newest event, and the events later than `number`."""
        with self._lock:
            return self._newest, [event for own, event, _ in self._events if own > number]

    def own_after(self, number: int) -> tuple[int, list[Event]]:
        """Return the same, of this process alone."""
        with self._lock:
            return self._newest, [
                event for own, event, is_own in self._events if is_own and own > number
            ]

    def join(self, listener: Listener) -> None:
        """Wake a listener from now on."""
        with self._lock:
            self._listeners.add(listener)

    def leave(self, listener: Listener) -> None:
        """Wake it no more."""
        with self._lock:
            self._listeners.discard(listener)

    def clear(self) -> None:
        """Forget the events."""
        with self._lock:
            self._events.clear()


RING = Ring()


class RingHandler(logging.Handler):
    """Keeps the debug event of a log record, while the debug API is on."""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the event; a record without one is no business of ours."""
        told: Event | None = getattr(record, "debug_event", None)
        if told is not None and debug_events.wanted():
            RING.add({"ts_ms": int(record.created * 1000), "source": "backend", **told})


class DebugSession:
    """What one socket of /ws/debug hears: what was kept, then what comes."""

    def __init__(self, send: Callable[[str], Awaitable[None]]) -> None:
        self._send = send
        self._heard = 0
        self._busy = asyncio.Lock()
        self._listener = Listener()

    async def snapshot(self) -> None:
        """Send all that is kept; what comes later follows."""
        async with self._busy:
            self._heard, events = RING.after(0)
            await self._send(snapshot_frame(events))

    async def run(self) -> None:
        """Send what is kept, then each event as it comes, until cancelled."""
        RING.join(self._listener)
        try:
            await self.snapshot()
            while True:
                await self._listener.wait()
                await self._go_on()
        finally:
            RING.leave(self._listener)

    async def _go_on(self) -> None:
        async with self._busy:
            self._heard, events = RING.after(self._heard)
            for event in events:
                await self._send(event_frame(event))


def snapshot_frame(events: Iterable[Event]) -> str:
    """Return the frame of all events that are kept."""
    texts = [orjson.Fragment(encoded(event)) for event in events]
    return orjson.dumps({"type": "debug_snapshot", "events": texts}).decode()


def event_frame(event: Event) -> str:
    """Return the frame of one event."""
    return orjson.dumps({"type": "debug_event", "event": orjson.Fragment(encoded(event))}).decode()


def encoded(event: Event) -> bytes:
    """Return an event as JSON; data that JSON cannot hold are shown as text."""
    try:
        return orjson.dumps(event, default=str, option=orjson.OPT_SERIALIZE_NUMPY)
    except orjson.JSONEncodeError:
        return orjson.dumps({**event, "data": {"text": ascii(event.get("data"))}})
