"""Does a factor know only the past? Proved or refuted on real candles. Imports no framework.

The reference takes candle by candle: each step is given the candles up to its own and no more, and
the state goes through bytes in between. Whoever runs over longer stretches must find the same, at
the same candle. So a factor that looks ahead, keeps something outside its state, reads a clock or
edits what it said is caught at the first candle where history moved.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
import time_machine

from factors.engine import kernel, runner
from factors.engine.rules import Rules
from factors.engine.types import FactorEvent
from market.candles import Candles

ALONE = "candle by candle"
AGAIN = "when it goes on from a state, after others were looked at"
ELSEWHEN = timedelta(days=200, hours=7, minutes=13)
MOST_RESUMED, LONGEST_RESUMED = 50, 40
Stretches = Iterable[int]


@dataclass(frozen=True, slots=True)
class Refuted:
    """The first candle where a factor's history moved, and how."""

    factor: str
    way: str
    ordinal: int
    candle_time: int
    alone: str
    found: str

    def __str__(self) -> str:
        when = datetime.fromtimestamp(self.candle_time, UTC).isoformat(sep=" ")
        return (
            f"{self.factor}: history moved at candle {self.ordinal}, {when} "
            f"(candle_time {self.candle_time}), {self.way}.\n"
            f"  known with that candle: {self.alone}\n"
            f"  otherwise:              {self.found}"
        )


class ChangedCandlesError(Exception):
    """A factor that writes where it may only read."""


class LookAheadError(AssertionError):
    """A factor that does not know only the past; the message names candle and event."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What became known with one candle: events and heads, by factor."""

    events: tuple[FactorEvent, ...]
    heads: dict[str, str] | None


def refute(  # noqa: PLR0913 (what to run, on what, how often)
    rules: Rules,
    factor: str,
    candles: Candles,
    seconds: int,
    *,
    splits: int = 20,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> Refuted | None:
    """Return the first candle where the history of `factor` moved, None if it never did.

    Events are compared by order, key, time and payload, heads wherever two runs both stop. What
    the factors before it find takes part in the run, but is not judged.
    """
    rules = _up_to(rules, factor)
    check = _Check(rules, factor, candles, seconds)
    try:
        progress(ALONE)
        alone = check.run(ALONE, [1] * len(candles))
        found = check.own_words(alone)
        for way, stretches, is_plain, moment in _ways(candles, splits, seed):
            if found is not None:
                break
            progress(way)
            with _conditions(is_plain=is_plain, moment=moment):
                found = check.compare(way, alone, check.run(way, stretches))
        progress(AGAIN)
        found = found or check.resumed(alone, random.Random(seed))  # noqa: S311 (repeatable)
    except _FailedError as failed:
        return failed.refuted
    return found


class _FailedError(Exception):
    """A run that did not get through its candles."""

    def __init__(self, refuted: Refuted) -> None:
        super().__init__(str(refuted))
        self.refuted = refuted


def require_no_lookahead(
    rules: Rules, factor: str, candles: Candles, seconds: int, *, splits: int = 20
) -> None:
    """Raise `LookAheadError` if `refute` finds something: for the tests of a factor's package."""
    found = refute(rules, factor, candles, seconds, splits=splits)
    if found is not None:
        raise LookAheadError(str(found))


def _up_to(rules: Rules, factor: str) -> Rules:
    """Return the rules without the factors that run after this one."""
    end = rules.names.index(factor) + 1
    return replace(rules, factors=rules.factors[:end])


def _ways(
    candles: Candles, splits: int, seed: int
) -> Iterator[tuple[str, list[int], bool, datetime | None]]:
    """Yield ways to run: their name, the lengths of the stretches, plain kernels, another time."""
    count = len(candles)
    dice = random.Random(seed)  # noqa: S311 (a sequence that can be repeated)
    first, middle = (datetime.fromtimestamp(int(candles.time[n]), UTC) for n in (0, count // 2))
    yield "when all candles come at once", [count], False, None
    for moment in (first - timedelta(days=1), middle, datetime.now(UTC) + ELSEWHEN):
        yield "at another time of the clock", [count], False, moment
    yield "with plain kernels", [count], True, None
    for number in range(splits):
        prefix = dice.randint(1, count)
        yield f"when only the first {prefix} candles exist", [prefix], False, None
        longest = dice.choice([3, 17, 120, 700])
        lengths: list[int] = []
        while sum(lengths) < count:
            lengths.append(dice.randint(1, longest))
        yield f"in random batches with restarts, number {number}", lengths, False, None


class _conditions:  # noqa: N801 (used as a function)
    """Run with plain kernels, or with a clock that shows another time."""

    def __init__(self, *, is_plain: bool, moment: datetime | None) -> None:
        self._plain = kernel.plain_only() if is_plain else None
        self._clock = time_machine.travel(moment) if moment else None

    def __enter__(self) -> None:
        if self._plain:
            self._plain.__enter__()
        if self._clock:
            self._clock.start()

    def __exit__(self, *_: object) -> None:
        if self._clock:
            self._clock.stop()
        if self._plain:
            self._plain.__exit__(None, None, None)


class _Check:
    """Runs one set of rules over one series in different ways."""

    def __init__(self, rules: Rules, factor: str, candles: Candles, seconds: int) -> None:
        self.rules = rules
        self.factor = factor
        self.candles = candles
        self.seconds = seconds
        self.states: dict[int, dict[str, bytes]] = {}

    def run(self, way: str, stretches: Stretches) -> list[_Known]:
        """Return what became known with each candle, when they come in stretches of this length."""
        standing = runner.start(self.rules, "")
        known: list[_Known] = []
        for length in stretches:
            start = standing.count
            stop = min(start + length, len(self.candles))
            if start == stop:
                break
            try:
                known += self._take(way, standing, stop)
                standing = self._restarted(standing)
            except Exception as error:
                found = f"{type(error).__name__}: {error}"
                raise _FailedError(self._refuted(way, start, "-", found)) from error
        return known

    def resumed(self, alone: Sequence[_Known], dice: random.Random) -> Refuted | None:
        """Go on from states of the reference in any order, as a look at a time in the past does.

        Another run begins before each: whoever keeps something outside the state has lost it.
        """
        for ordinal in dice.sample(sorted(self.states), min(MOST_RESUMED, len(self.states))):
            runner.start(self.rules, "")
            blobs = self.states[ordinal]
            states = {f.name: f.load(blobs[f.name]) for f in self.rules.factors}
            standing = runner.Standing(ordinal, states, b"")
            stop = min(len(self.candles), ordinal + dice.randint(1, LONGEST_RESUMED))
            try:
                known = self._take(AGAIN, standing, stop)
            except Exception as error:  # noqa: BLE001 (as in `run`)
                return self._refuted(AGAIN, ordinal, "-", f"{type(error).__name__}: {error}")
            found = self.compare(AGAIN, alone[ordinal:stop], known, ordinal)
            if found is not None:
                return found
        return None

    def _take(self, way: str, standing: runner.Standing, stop: int) -> list[_Known]:
        """Take candles up to the ordinal `stop`; return what became known with each of them."""
        start = standing.count
        if way == ALONE and start % max(1, len(self.candles) // (4 * MOST_RESUMED)) == 0:
            self.states[start] = {
                f.name: f.dump(standing.states[f.name]) for f in self.rules.factors
            }
        rows = self.candles.take(slice(runner.reads_from(self.rules, standing), stop))
        given = rows.take(np.arange(len(rows))).at_ordinal(rows.first_ordinal)
        records = runner.step(self.rules, standing, given, self.seconds, exact=True)
        pairs = zip(given.columns(), rows.columns(), strict=True)
        if not all(np.array_equal(*pair, equal_nan=True) for pair in pairs):
            raise ChangedCandlesError("the factor changed the candles that it was given")
        places: list[list[FactorEvent]] = [[] for _ in range(start, stop)]
        new_from = start - rows.first_ordinal
        for event in runner.in_order(self.rules.factors, records, rows, new_from):
            places[event.ordinal - start].append(event)
        known = [_Known(tuple(place), None) for place in places]
        known[-1] = replace(known[-1], heads=self._heads(standing, int(rows.time[-1])))
        return known

    def own_words(self, alone: Sequence[_Known]) -> Refuted | None:
        """Return the first event that says again what was said, or another time."""
        said: dict[tuple[str, str], FactorEvent] = {}
        for ordinal, known in enumerate(alone):
            for event in self._mine(known):
                visible = event.payload.get("visible_time", event.candle_time)
                if visible != event.candle_time:
                    way = "with a visible_time that is not the candle's"
                    return self._refuted(way, ordinal, shown(event), f"visible_time {visible}")
                key = (event.factor, event.event_key)
                if key in said:
                    way = "saying again what was said before"
                    return self._refuted(way, ordinal, shown(said[key]), shown(event))
                said[key] = event
        return None

    def compare(
        self, way: str, alone: Sequence[_Known], other: Sequence[_Known], first: int = 0
    ) -> Refuted | None:
        """Return the first candle at which another run knew something else."""
        for ordinal, (mine, theirs) in enumerate(zip(alone, other, strict=False), first):
            pair = [[shown(event) for event in self._mine(known)] for known in (mine, theirs)]
            if pair[0] != pair[1]:
                return self._refuted(way, ordinal, *first_difference(*pair))
            if mine.heads and theirs.heads and mine.heads != theirs.heads:
                heads = (
                    f"head {known.heads[self.factor]}" for known in (mine, theirs) if known.heads
                )
                return self._refuted(way, ordinal, *heads)
        return None

    def _heads(self, standing: runner.Standing, now: int) -> dict[str, str]:
        factor = self.rules.factors[-1]
        head = factor.head(standing.states[factor.name], now)
        return {factor.name: orjson.dumps(head).decode()}

    def _restarted(self, standing: runner.Standing) -> runner.Standing:
        """Take every state through bytes."""
        states = {
            factor.name: factor.load(factor.dump(standing.states[factor.name]))
            for factor in self.rules.factors
        }
        return runner.Standing(standing.count, states, standing.digest)

    def _mine(self, known: _Known) -> list[FactorEvent]:
        return [event for event in known.events if event.factor == self.factor]

    def _refuted(self, way: str, ordinal: int, alone: str, found: str) -> Refuted:
        time = int(self.candles.time[ordinal])
        return Refuted(self.factor, way, ordinal, time, alone, found)


def shown(event: FactorEvent) -> str:
    """Return an event as people read it."""
    return f"{event.kind} {event.event_key} {event.payload}"


def first_difference(mine: Sequence[str], theirs: Sequence[str]) -> tuple[str, str]:
    """Return the first pair that differs."""
    length = max(len(mine), len(theirs))
    pairs = [
        (mine[n] if n < len(mine) else "nothing", theirs[n] if n < len(theirs) else "nothing")
        for n in range(length)
    ]
    return next(pair for pair in pairs if pair[0] != pair[1])
