"""A worker that works in the thread of the test, so that both share one connection."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async

P = ParamSpec("P")
T = TypeVar("T")


class Inline:
    """Runs blocking work in the thread that waits for the coroutine."""

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the work returns, or raise what it raises."""
        return await sync_to_async(work)(*args, **kwargs)
