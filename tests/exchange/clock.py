"""The exchange's clock, and what is to happen when: real time made faster, or moved by hand."""

import asyncio
import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

START = 1_704_067_200.0  # 2024-01-01, midnight
Action = Callable[[float], None]


@dataclass(slots=True)
class Clock:
    """Tells the exchange's time in seconds since the epoch.

    With a `speed` it runs by itself, that many times faster than real time; without one it stands
    still until somebody moves it. `offset` is how far it is ahead of the local clock. Where a
    process of its own is to know the exchange's time as well: it is
    `start + (time.monotonic() - began) * speed`. `tick` is what real time is measured by.
    """

    start: float = START
    speed: float | None = None
    offset: float = 0.0
    moved: float = 0.0
    tick: Callable[[], float] = time.monotonic
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.tick()

    @property
    def by_hand(self) -> bool:
        """Whether it stands still until somebody moves it."""
        return self.speed is None

    def now(self) -> float:
        """Return the exchange's time."""
        if self.speed is None:
            return self.start + self.moved
        return self.start + (self.tick() - self.began) * self.speed

    def local(self) -> float:
        """Return the time of a machine beside the exchange, whose clock is `offset` behind."""
        return self.now() - self.offset

    def real_seconds(self, due: float) -> float:
        """Return how long to wait in real time until the clock shows `due`."""
        assert self.speed is not None
        return max(0.0, (due - self.now()) / self.speed)


class Schedule:
    """Actions by the exchange's time; each hears the time it was due, and equals keep order."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._waiting: list[tuple[float, int, Action]] = []
        self._numbers = count()
        self._woken = asyncio.Event()

    def at(self, due: float, action: Action) -> None:
        """Let this happen at that time, or as soon as may be if it has passed."""
        heapq.heappush(self._waiting, (due, next(self._numbers), action))
        self._woken.set()

    async def play(self) -> None:
        """Let everything happen in its time, for ever; for a clock that runs by itself."""
        while True:
            self._woken.clear()
            if self._waiting and self._waiting[0][0] <= self.clock.now():
                self._step()
                await asyncio.sleep(0)
                continue
            await self._sleep()

    async def advance(self, seconds: float) -> None:
        """Move the clock by hand; what is due on the way happens in order, each in its time."""
        assert self.clock.by_hand, "this clock runs by itself"
        target = self.clock.now() + seconds
        while self._waiting and self._waiting[0][0] <= target:
            self.clock.moved = max(self.clock.moved, self._waiting[0][0] - self.clock.start)
            self._step()
            await asyncio.sleep(0)
        self.clock.moved = target - self.clock.start

    def _step(self) -> None:
        due, _, action = heapq.heappop(self._waiting)
        action(due)

    async def _sleep(self) -> None:
        """Wait until the next action is due, or another one comes."""
        seconds = self.clock.real_seconds(self._waiting[0][0]) if self._waiting else None
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return
