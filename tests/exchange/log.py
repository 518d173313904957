"""What the exchange was asked and what it did, for tests to count."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.exchange.faults import Fault


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened: when by the exchange's clock, and when in real time (monotonic)."""

    what: str
    time: float
    real: float
    venue: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return the entry as JSON has it."""
        return asdict(self)


class Log:
    """Entries in order.

    What there is: `attempt` (a client knocks at a stream door), `refused`, `opened` (a hand-shake
    done: number, path), `subscribe`, `unsubscribe`, `list`, `pong`, `ended` (number, and the codes
    of closing frames: sent, received), `rest` (path, query, status, weight), `fault` (the fault
    that was applied), `breach` (a rule of the exchange that the client broke).
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, what: str, now: float, venue: str = "", **facts: Any) -> None:
        """Note one thing."""
        self.entries.append(Entry(what, now, time.monotonic(), venue, facts))

    def strikes(self, fault: Fault, now: float, venue: str, **facts: Any) -> None:
        """Note that a fault struck."""
        self.entries.append(
            Entry("fault", now, time.monotonic(), venue, {**fault.record(), **facts})
        )

    def of(self, what: str, venue: str = "", **facts: Any) -> list[Entry]:
        """Return the entries of this kind, market and facts; empty text means any market."""
        return [
            entry
            for entry in self.entries
            if entry.what == what
            and venue in {"", entry.venue}
            and all(entry.facts.get(key) == value for key, value in facts.items())
        ]

    def count(self, what: str, venue: str = "", **facts: Any) -> int:
        """Return how many entries there are of this kind, market and facts."""
        return len(self.of(what, venue, **facts))

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)
