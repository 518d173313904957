"""Counts, last values and durations of this process, for programs that watch it.

Nothing is kept, and nothing costs, unless `TRADE_CANVAS_ENABLE_RUNTIME_METRICS` is on.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.conf import settings

# Labels come from requests, too: so many keys, then new ones are not kept.
MOST_KEYS = 10_000


@dataclass(slots=True)
class Timer:
    """How often something was done, and how long it took."""

    count: int = 0
    total_ms: float = 0.0
    max_ms: float = 0.0

    def shown(self) -> dict[str, float]:
        """Return the timer as clients read it."""
        return {
            "count": self.count,
            "total_ms": self.total_ms,
            "max_ms": self.max_ms,
            "avg_ms": self.total_ms / self.count if self.count else 0.0,
        }


class Metrics:
    """All that is counted, by key."""

    def __init__(self) -> None:
        self._counters: dict[str, float] = {}
        self._gauges: dict[str, float] = {}
        self._timers: dict[str, Timer] = {}
        self._updated_at_ms = 0
        self._lock = threading.Lock()

    def count(self, key: str, amount: float) -> None:
        """Add to a counter."""
        with self._lock:
            if self._has_room(self._counters, key):
                self._counters[key] = self._counters.get(key, 0.0) + amount

    def gauge(self, key: str, value: float) -> None:
        """Remember a last value."""
        with self._lock:
            if self._has_room(self._gauges, key):
                self._gauges[key] = float(value)

    def time(self, key: str, ms: float) -> None:
        """Add to a timer."""
        with self._lock:
            if self._has_room(self._timers, key):
                timer = self._timers.setdefault(key, Timer())
                timer.count += 1
                timer.total_ms += ms
                timer.max_ms = max(timer.max_ms, ms)

    def shown(self) -> dict[str, Any]:
        """Return everything as clients read it."""
        with self._lock:
            return {
                "enabled": True,
                "updated_at_ms": self._updated_at_ms,
                "counters": dict(sorted(self._counters.items())),
                "gauges": dict(sorted(self._gauges.items())),
                "timers": {key: timer.shown() for key, timer in sorted(self._timers.items())},
            }

    def clear(self) -> None:
        """Begin anew."""
        with self._lock:
            for kept in (self._counters, self._gauges, self._timers):
                kept.clear()
            self._updated_at_ms = 0

    def _has_room(self, kept: Mapping[str, object], key: str) -> bool:
        self._updated_at_ms = time.time_ns() // 1_000_000
        return key in kept or len(kept) < MOST_KEYS


KEPT = Metrics()


def count(name: str, amount: float = 1, **labels: str) -> None:
    """Add to a counter of this process."""
    if settings.TRADE_CANVAS_ENABLE_RUNTIME_METRICS:
        KEPT.count(key_of(name, labels), amount)


def gauge(name: str, value: float | None, **labels: str) -> None:
    """Remember a last value; None leaves the one before."""
    if settings.TRADE_CANVAS_ENABLE_RUNTIME_METRICS and value is not None:
        KEPT.gauge(key_of(name, labels), value)


@contextmanager
def timed(name: str, **labels: str) -> Iterator[None]:
    """Add how long the block took to a timer, however it ended."""
    if not settings.TRADE_CANVAS_ENABLE_RUNTIME_METRICS:
        yield
        return
    began = time.perf_counter()
    try:
        yield
    finally:
        KEPT.time(key_of(name, labels), (time.perf_counter() - began) * 1000)


def key_of(name: str, labels: Mapping[str, str]) -> str:
    """Return the key of a name with its labels, sorted.

    >>> key_of("seen_total", {"b": "2", "a": "1"}), key_of("seen_total", {})
    ('seen_total{a=1,b=2}', 'seen_total')
    """
    if not labels:
        return name
    return f"{name}{{{','.join(f'{label}={text}' for label, text in sorted(labels.items()))}}}"
