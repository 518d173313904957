"""Database work of the feeds, away from their event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, Protocol, TypeVar

from django.db import close_old_connections

P = ParamSpec("P")
T = TypeVar("T")


class Worker(Protocol):
    """Something that runs blocking work for a coroutine."""

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the work returns, or raise what it raises."""


class Threads:
    """A few threads that last, with connections that last as long as the settings say."""

    def __init__(self, size: int, name: str) -> None:
        self._executor = ThreadPoolExecutor(size, thread_name_prefix=name)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the work returns, or raise what it raises."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, partial(_fresh, work, *args, **kwargs))

    def close(self) -> None:
        """Take no more work; what runs is waited for."""
        self._executor.shutdown(wait=True)


def _fresh(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    close_old_connections()
    return work(*args, **kwargs)
