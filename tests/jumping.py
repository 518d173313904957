"""An event loop whose time jumps to the next timer when nothing else is to be done.

Sockets work as always: what stands in a socket is heard before time moves. Nothing may run in
threads meanwhile, because the loop would not wait for it.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
# How often the sockets are looked at before time moves; on loopback what was sent is there.
LOOKS = 3
IDLE = 0.05


class _JumpingSelector(selectors.DefaultSelector):
    """Looks at the sockets, and lets the time pass if there is nothing."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; if nothing is, it is `timeout` later now."""
        if timeout is None:
            return super().select(IDLE)
        for _ in range(LOOKS if timeout > 0 else 1):
            if ready := super().select(0):
                return ready
        self.now += max(0.0, timeout)
        return []


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop in virtual time."""

    def __init__(self) -> None:
        self.jumping = _JumpingSelector()
        super().__init__(self.jumping)

    def time(self) -> float:
        """Return the virtual time."""
        return self.jumping.now


def jump(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in virtual time."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(main)
