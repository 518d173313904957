"""Where runs of any number of series go on, and the candles that they read: a query for each.

A process remembers the last candles that its runs have read, by the digest of all candles and
events up to there: whoever goes on from that digest needs only what is newer from the table. What
is remembered cannot be out of date, because another history has another digest.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from cachetools import LRUCache

from factors.engine import runner
from factors.engine.rules import Rules
from factors.engine.runner import Checkpoint, Standing
from factors.selectors import checkpoints_before
from market import selectors
from market.candles import Candles
from market.selectors import Stretch

MOST_REMEMBERED = 32_000_000  # bytes; a series takes 5,000, or more with wider windows


def _size(candles: Candles) -> int:
    return 200 + sum(column.nbytes for column in candles.columns())


_remembered: LRUCache[bytes, Candles] = LRUCache(MOST_REMEMBERED, getsizeof=_size)
_remembering = threading.Lock()


@dataclass(frozen=True, slots=True)
class Reach:
    """From where to where a run goes.

    It goes on from the newest checkpoint at or before `known`, or begins with the first candle.
    """

    known: int | None
    to_time: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """A run that is about to go on: where it stands, and the stored candles that it takes.

    `candles` begin as early as the factors still read.
    """

    checkpoint: Checkpoint | None
    standing: Standing
    candles: Candles


@dataclass(frozen=True, slots=True)
class _Start:
    """A run before its candles are read: those of `earlier` are known already."""

    checkpoint: Checkpoint | None
    standing: Standing
    stretch: Stretch
    earlier: Candles | None

    def resumed(self, read: Candles) -> Resumed:
        """Return the run with all its candles at their ordinals."""
        if self.checkpoint is None:
            candles = read.at_ordinal(0)
        elif self.earlier is not None:
            candles = self.earlier.then(read)
        else:
            old = int(read.time.searchsorted(self.checkpoint.candle_time, side="right"))
            candles = read.at_ordinal(self.standing.count - old)
        return Resumed(self.checkpoint, self.standing, candles)


def runs_resume(rules: Rules, reaches: Mapping[str, Reach]) -> dict[str, Resumed | Exception]:
    """Return for each series how its run goes on, or the error of a state that cannot be loaded."""
    known = {name: reach.known for name, reach in reaches.items() if reach.known is not None}
    checkpoints = checkpoints_before(known)
    found: dict[str, Resumed | Exception] = {}
    starts: dict[str, _Start] = {}
    for name, reach in reaches.items():
        try:
            starts[name] = _start(rules, name, checkpoints.get(name), reach.to_time)
        except Exception as error:  # noqa: BLE001 (whatever a factor raises: others go on)
            found[name] = error
    read = selectors.candles_of_each([start.stretch for start in starts.values()])
    for (name, start), candles in zip(starts.items(), read, strict=True):
        found[name] = start.resumed(candles)
    return found


def _start(rules: Rules, series_id: str, checkpoint: Checkpoint | None, to_time: int) -> _Start:
    if checkpoint is None:
        standing = runner.start(rules, series_id)
        return _Start(None, standing, Stretch(series_id, None, 0, to_time), None)
    standing = runner.resume(rules, checkpoint)
    reads_from = runner.reads_from(rules, standing)
    earlier = _recall(checkpoint.digest, reads_from)
    lookback = standing.count - reads_from if earlier is None else 0
    stretch = Stretch(series_id, checkpoint.candle_time, lookback, to_time)
    return _Start(checkpoint, standing, stretch, earlier)


def _recall(digest: bytes, reads_from: int) -> Candles | None:
    """Return the candles up to this digest, if they begin early enough."""
    with _remembering:
        found = _remembered.get(digest)
    return found if found is not None and found.first_ordinal <= reads_from else None


def remember(rules: Rules, standing: Standing, candles: Candles) -> None:
    """Keep the last of the candles that a run took, as far as the next one reads them."""
    first = runner.reads_from(rules, standing) - candles.first_ordinal
    last = candles.take(slice(first, None)).copied()
    if _size(last) <= MOST_REMEMBERED:
        with _remembering:
            _remembered[standing.digest] = last
