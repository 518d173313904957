"""What time it is in the market: the machine's time, or in a demo that of its recording."""

import time
from dataclasses import dataclass
from functools import lru_cache

from django.conf import settings


@dataclass(frozen=True, slots=True)
class DemoClock:
    """Recorded time from `first` to `last`, `speed` times as fast as the machine's from `origin`.

    >>> clock = DemoClock(first=600.0, last=700.0, speed=60.0, origin=10.0)
    >>> clock.at(11.0), clock.at(99.0)
    (660.0, 700.0)
    """

    first: float
    last: float
    speed: float
    origin: float

    def at(self, machine: float) -> float:
        """Return what time it is in the recording when it is `machine` for the machine."""
        return min(self.last, self.first + (machine - self.origin) * self.speed)

    @classmethod
    def read(cls, text: str) -> "DemoClock":
        """Return the clock that `text` made."""
        return cls(*map(float, text.split(",")))

    def text(self) -> str:
        """Return it as one process hands it to another."""
        return f"{self.first},{self.last},{self.speed},{self.origin}"


def now() -> float:
    """Return the time in Unix seconds."""
    demo = demo_clock()
    return demo.at(time.time()) if demo else time.time()


def speed() -> float:
    """Return how many seconds pass in the market while one passes here."""
    demo = demo_clock()
    return demo.speed if demo else 1.0


def demo_clock() -> DemoClock | None:
    """Return the clock of the demo that this process serves, None outside of one."""
    return _read(settings.DEMO_CLOCK) if settings.DEMO_CLOCK else None


_read = lru_cache(1)(DemoClock.read)
