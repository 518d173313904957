"""Work that is begun at once and seldom has to wait: then no task is woken for it."""

from collections.abc import Awaitable, Generator
from functools import partial
from typing import Any


def begin(work: Awaitable[None]) -> Awaitable[None] | None:
    """Run a coroutine until it first waits; return what is left of it, None if it has ended.

    What is left must be awaited, in a task. What the coroutine raises is raised.
    """
    steps = work.__await__()
    try:
        waited_for = next(steps)
    except StopIteration:
        return None
    return _Rest(steps, waited_for)


class _Rest:
    """The steps of a coroutine after its first, which waits for something already."""

    def __init__(self, steps: Generator[Any, Any, None], waited_for: Any) -> None:
        self._steps, self._waited_for = steps, waited_for

    def __await__(self) -> Generator[Any, Any, None]:
        """Go on where the coroutine stood; a cancel reaches it as if awaited all along."""
        waited_for = self._waited_for
        while True:
            try:
                step = partial(self._steps.send, (yield waited_for))
            except BaseException as error:  # noqa: BLE001 (it is the coroutine's to handle)
                step = partial(self._steps.throw, error)
            try:
                waited_for = step()
            except StopIteration:
                return
