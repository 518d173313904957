"""Database work of the feeds, away from their event loop."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import ParamSpec, Protocol, TypeVar

from django.db import close_old_connections, connections

P = ParamSpec("P")
T = TypeVar("T")
CLOSE_PATIENCE = 5.0


class Worker(Protocol):
    """Something that runs blocking work for a coroutine."""

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the work returns, or raise what it raises."""


class Threads:
    """A few threads that last, with connections that last as long as the settings say."""

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._executor = ThreadPoolExecutor(size, thread_name_prefix=name)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the work returns, or raise what it raises."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, partial(_fresh, work, *args, **kwargs))

    def close(self) -> None:
        """Take no more work; what runs is waited for, then the connections are closed."""
        everyone = threading.Barrier(self._size)

        def close_own() -> None:
            with suppress(threading.BrokenBarrierError):
                everyone.wait(CLOSE_PATIENCE)
            connections.close_all()

        for _ in range(self._size):
            self._executor.submit(close_own)
        self._executor.shutdown(wait=True)


def _fresh(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    close_old_connections()
    return work(*args, **kwargs)
