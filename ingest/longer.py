"""What the candles of derived series look like while they form, from what their base shows.

A base candle that forms is merged with the stored ones before it in the longer candle. Those are
read once, from where the first of the longer candles opened, and then kept up from what the feed
commits. Rules: `docs/ingest.md`.
"""

from collections.abc import Iterator

from market import derived, rollup, selectors
from market.candles import Candle, Candles


class LongerForming:
    """The forming candles of the series that are derived from one base series."""

    def __init__(self, base: str) -> None:
        self.base = base
        self._lengths = sorted(set(derived.derived_from(base).values()))
        self._since: int | None = None
        self._stored: dict[int, Candle] = {}
        self._published: dict[str, tuple[int, float]] = {}

    def lacks(self, candle: Candle) -> tuple[int, int] | None:
        """Return from when to when stored candles are to be read before this one is shown."""
        time = candle.candle_time
        opened = min((time - time % seconds for seconds in self._lengths), default=None)
        return None if opened is None or opened == self._since else (opened, time - 1)

    def read(self, start: int, end: int) -> Candles:
        """Read stored candles of the base; blocking work."""
        return selectors.candles_between(self.base, start, end)

    def begin(self, start: int, stored: Candles) -> None:
        """Begin with what was stored since a time."""
        self._since = start
        self._stored = {candle.candle_time: candle for candle in stored.rows()}

    def committed(self, candles: Candles) -> None:
        """Take in base candles that were stored meanwhile."""
        if self._since is not None:
            fresh = {candle.candle_time: candle for candle in candles.rows()}
            self._stored |= {time: c for time, c in fresh.items() if time >= (self._since or 0)}

    def shown(self, candle: Candle, tick: float, interval: float) -> Iterator[tuple[str, Candle]]:
        """Yield what forms now, by series, each as often as `interval` seconds allow."""
        stored: Candles | None = None
        for name, seconds in derived.derived_from(self.base).items():
            opened = candle.candle_time - candle.candle_time % seconds
            time, at = self._published.get(name, (-1, 0.0))
            if time == opened and tick - at < interval:
                continue
            if stored is None:
                rows = [self._stored[time] for time in sorted(self._stored)]
                stored = Candles.from_rows(rows)
            self._published[name] = (opened, tick)
            yield name, rollup.forming(stored, candle, seconds)
