"""A derived series that nobody has looked at is filled from its base before a socket hears of it.

The socket only waits: another app does the writing, in a thread that is kept for it. What is not
ready in time goes on there, and reaches the socket as any other candles do.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from django.db import connections

from market import derived

logger = logging.getLogger(__name__)

PATIENCE = 2.0
FirstWindow = Callable[[str], object]


class _Registered:
    """What another app does for a first look, said in its `ready`, and what it is doing."""

    action: FirstWindow | None = None
    executor: ThreadPoolExecutor | None = None
    running: dict[str, "Future[None]"] = {}


def register(action: FirstWindow) -> None:
    """Let `action` fill a derived series that has no candle, in the thread kept for this."""
    _Registered.action = staticmethod(action)


def is_wanted(series_id: str) -> bool:
    """Say whether this is a series that could be filled."""
    return _Registered.action is not None and derived.base_of(series_id) is not None


async def fill(series_id: str) -> None:
    """Have a series filled, once for all who ask meanwhile; return after two seconds at most."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def tell(_: "Future[None]") -> None:
        with suppress(RuntimeError):  # the loop may be closed by then
            loop.call_soon_threadsafe(done.set)

    _begin(series_id).add_done_callback(tell)
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            await done.wait()


def _begin(series_id: str) -> "Future[None]":
    """Return the filling that is under way, or begin one."""
    if _Registered.executor is None:
        _Registered.executor = ThreadPoolExecutor(1, thread_name_prefix="first-window")
    found = _Registered.running.get(series_id)
    if found is None or found.done():
        found = _Registered.executor.submit(_in_thread, series_id)
        _Registered.running[series_id] = found
        found.add_done_callback(lambda _: _Registered.running.pop(series_id, None))
    return found


def _in_thread(series_id: str) -> None:
    """Act, and keep no connection afterwards: it happens once a series."""
    try:
        _act(series_id)
    finally:
        connections.close_all()


def _act(series_id: str) -> None:
    try:
        if _Registered.action is not None:
            _Registered.action(series_id)
    except Exception:  # the subscribe goes on without it
        logger.exception("first window, series %s", series_id)
