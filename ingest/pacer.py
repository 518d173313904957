"""How often one process may knock at a market's stream door. Imports no framework.

Rules: `docs/ingest.md`; the exchange itself allows twice as many.
"""

from collections import deque

EVERY = 1.0
MOST, WITHIN = 150, 300.0


class Pacer:
    """Says how long to wait before the next connect: one a second, 150 in five minutes."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=MOST)

    def wait(self, tick: float) -> float:
        """Return how many seconds to wait; 0 takes the turn.

        >>> pacer = Pacer()
        >>> pacer.wait(10.0), pacer.wait(10.25), pacer.wait(11.0)
        (0.0, 0.75, 0.0)
        """
        due = tick
        if self._times:
            due = self._times[-1] + EVERY
        if len(self._times) == MOST:
            due = max(due, self._times[0] + WITHIN)
        if tick < due:
            return due - tick
        self._times.append(tick)
        return 0.0
