"""One series under many parameters: how many structures, how late, how lasting. No framework.

Each combination runs in a process of its own pool; the candles go there once. Imports no framework.
"""

import itertools
import math
import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np

from factors.engine import kernel
from factors.engine.study import Study, run
from factors.engine.types import Number
from market.candles import Candles

HEADS_EVERY = 10
MOST_VALUES = 10_000
Params = Mapping[str, Number]


class BadRangeError(ValueError):
    """Text that names no values; the message says why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one combination of parameters gave.

    Delays are in candles, from the end of a pen to the candle that confirmed it. `survival` is the
    share of the candidate pens shown on the way, told apart by start and direction, that became
    confirmed pens; the last ones, which had no time to, are not counted.
    """

    params: Params
    counts: Mapping[str, int]
    delay_median: float | None
    delay_p90: float | None
    candidates: int
    survival: float | None


def values(text: str) -> list[Number]:
    """Return the numbers that a list or a range names; a range includes its end.

    >>> values("50"), values("3,5"), values("20:60:20"), values("0.1:0.3:0.1")
    ([50], [3, 5], [20, 40, 60], [0.1, 0.2, 0.3])
    """
    try:
        numbers = [_number(part) for part in text.replace(":", ",").split(",")]
    except ValueError:
        raise BadRangeError(f"not numbers: {text!r}; 50, or 3,5, or 20:200:10") from None
    if ":" not in text:
        return numbers
    if "," in text or len(numbers) != 3:
        raise BadRangeError(f"a range is FIRST:LAST:STEP, not {text!r}")
    first, last, step = numbers
    if step <= 0 or last < first:
        raise BadRangeError(f"an empty range: {text!r}")
    count = (last - first) / step + 1 + 1e-9
    if count > MOST_VALUES:
        raise BadRangeError(f"{text!r} names more than {MOST_VALUES} values")
    whole = all(isinstance(number, int) for number in numbers)
    return [first + step * n if whole else round(first + step * n, 12) for n in range(int(count))]


def grid(ranges: Mapping[str, Sequence[Number]]) -> list[Params]:
    """Return every combination, the last parameter changing fastest.

    >>> grid({"a.x": [1, 2], "a.y": [5]})
    [{'a.x': 1, 'a.y': 5}, {'a.x': 2, 'a.y': 5}]
    """
    return [
        dict(zip(ranges, chosen, strict=True)) for chosen in itertools.product(*ranges.values())
    ]


def outcomes(
    candles: Candles,
    seconds: int,
    combinations: Sequence[Params],
    jobs: int,
    extra: Sequence[str] = (),
) -> Iterator[tuple[int, Outcome]]:
    """Yield the place of each combination and its outcome, as they come."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _begin, (candles, seconds, extra)) as pool:
        running = {pool.submit(_outcome, params): n for n, params in enumerate(combinations)}
        try:
            for done in as_completed(running):
                yield running[done], done.result()
        finally:
            pool.shutdown(cancel_futures=True)


class _Worker:
    """What a process of the pool holds."""

    candles: Candles
    seconds: int
    extra: Sequence[str]


def _begin(candles: Candles, seconds: int, extra: Sequence[str]) -> None:
    _Worker.candles, _Worker.seconds, _Worker.extra = candles, seconds, extra
    kernel.warm(lambda: run(candles.take(slice(0, 2)), seconds=seconds, extra=extra))


def _outcome(params: Params) -> Outcome:
    return outcome(_Worker.candles, _Worker.seconds, params, _Worker.extra)


def outcome(candles: Candles, seconds: int, params: Params, extra: Sequence[str] = ()) -> Outcome:
    """Run one combination and measure it."""
    found = run(candles, params, seconds=seconds, extra=extra, heads_every=HEADS_EVERY)
    pens = found.records["pen"]["pen.confirmed"]
    delays = pens["ordinal"] - pens["end_idx"]
    seen, survived = _candidates(found)
    return Outcome(
        params,
        {
            kind.name: len(found.records[f.name][kind.name])
            for f in found.rules.factors
            for kind in f.kinds
        },
        float(np.median(delays)) if len(delays) else None,
        float(np.percentile(delays, 90)) if len(delays) else None,
        seen,
        survived / seen if seen else None,
    )


def _candidates(found: Study) -> tuple[int, int]:
    """Return how many candidates were shown that had time to be confirmed, and how many were."""
    pens = found.records["pen"]["pen.confirmed"]
    confirmed = set(zip(pens["start_time"].tolist(), pens["direction"].tolist(), strict=True))
    latest = int(pens["start_time"][-1]) if len(pens) else 0
    heads = found.heads
    if "name" not in heads:
        return 0, 0
    shown = {
        (start, direction)
        for name, start, direction in zip(
            heads["name"], heads["start_time"], heads["direction"], strict=True
        )
        if name == "candidate" and start <= latest
    }
    return len(shown), len(shown & confirmed)


def _number(text: str) -> Number:
    try:
        return int(text)
    except ValueError:
        value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value
