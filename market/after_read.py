"""What happens after candles were read: other apps may be told, and never slow the answer down."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.db import close_old_connections

logger = logging.getLogger(__name__)

MOST_WAITING = 100
AfterRead = Callable[[str, int], object]


class _Registered:
    """What other apps asked to be told, in their `ready`."""

    action: AfterRead | None = None
    is_wanted: Callable[[], bool] = staticmethod(lambda: False)
    executor: ThreadPoolExecutor | None = None
    waiting = 0


def register(action: AfterRead, is_wanted: Callable[[], bool]) -> None:
    """Let `action` hear of each series whose candles were read, and of its newest candle.

    It is called in the one thread that is kept for this, while `is_wanted` says so.
    """
    _Registered.action = staticmethod(action)
    _Registered.is_wanted = staticmethod(is_wanted)


def candles_read(series_id: str, head_time: int | None) -> None:
    """Say that candles were read; returns at once, and drops what is too much."""
    if _Registered.action is None or head_time is None or not _Registered.is_wanted():
        return
    if _Registered.executor is None:
        _Registered.executor = ThreadPoolExecutor(1, thread_name_prefix="after-read")
    if _Registered.waiting >= MOST_WAITING:
        return
    _Registered.waiting += 1
    _Registered.executor.submit(_in_thread, series_id, head_time)


def _in_thread(series_id: str, head_time: int) -> None:
    close_old_connections()
    try:
        _act(series_id, head_time)
    finally:
        close_old_connections()


def _act(series_id: str, head_time: int) -> None:
    try:
        if _Registered.action is not None:
            _Registered.action(series_id, head_time)
    except Exception:  # it is nobody's answer
        logger.exception("after a read, series %s", series_id)
    finally:
        _Registered.waiting -= 1
