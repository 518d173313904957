"""What happens after candles were read, in a thread of its own: it never slows the answer down."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec

from django.db import close_old_connections

logger = logging.getLogger(__name__)

P = ParamSpec("P")
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
    """Say that candles were read."""
    if _Registered.action is not None and head_time is not None and _Registered.is_wanted():
        later(_Registered.action, series_id, head_time)


def later(action: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    """Do something after the answer; returns at once, and drops what is too much."""
    if _Registered.executor is None:
        _Registered.executor = ThreadPoolExecutor(1, thread_name_prefix="after-read")
    if _Registered.waiting >= MOST_WAITING:
        return
    _Registered.waiting += 1
    _Registered.executor.submit(_in_thread, partial(action, *args, **kwargs))


def _in_thread(action: Callable[[], object]) -> None:
    close_old_connections()
    try:
        _act(action)
    finally:
        close_old_connections()


def _act(action: Callable[[], object]) -> None:
    try:
        action()
    except Exception:  # it is nobody's answer
        logger.exception("after a read")
    finally:
        _Registered.waiting -= 1
