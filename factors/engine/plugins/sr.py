"""Support and resistance: lines that the wicks of two major pivots of one side share.

Prices may be as great as doubles get: what would be beyond is the greatest double, so that every
number that is kept or shown is one that JSON has.
"""

import hashlib
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any, ClassVar, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from factors.engine.plugins.pivot import RESISTANCE, SIDES
from factors.engine.registry import register
from factors.engine.types import (
    Factor,
    Feature,
    Instruction,
    Json,
    Kind,
    Params,
    Records,
    State,
    View,
    polyline,
)
from market.candles import Candles

GREATEST = sys.float_info.max
ATR_PERIOD = 14
TOLERANCE = 0.5  # ATRs
NEWEST = 200  # pivots of a side
LEAST_CANDLES = 5
TOO_MANY = 4  # crossings between two pivots: they are no pair
BREAKING = 3  # crossings after a pair: its line is broken
MOST_LIVE = 10
ACTIVE, FLIP, BROKEN = "active", "flip", "broken"
ROW = np.dtype(
    [
        ("ordinal", "i8"),
        ("visible_time", "i8"),
        ("algorithm", "O"),
        ("levels", "O"),
        ("pivots", "O"),
    ]
)
LOOKS: dict[str, Json] = {
    "resistance": {"color": "#ef4444", "lineWidth": 2},
    "support": {"color": "#22c55e", "lineWidth": 2},
    BROKEN: {"color": "rgba(148,163,184,0.6)", "lineWidth": 1, "lineStyle": "dashed"},
}


class Pivot(NamedTuple):
    """A major pivot, and the ordinal of the older one that it shares a line with; -1: none."""

    idx: int
    time: int
    high: float
    low: float
    atr: float
    partner: int = -1


@dataclass(slots=True)
class Memory:
    """The state: what A7 needs of the past besides the closes since the oldest pivot.

    `ranges` is the running sum of true ranges as it was `window_major` candles ago: from there a
    step goes on to every candle that may become a pivot, and to its own. `pivots` are the newest
    of each side, oldest first. `latest` is the head.
    """

    ranges: float = 0.0
    pivots: dict[int, list[Pivot]] = field(default_factory=lambda: {side: [] for side in SIDES})
    latest: Json | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """The candles up to that of a tick, by ordinal; more than these no rule sees.

    `ranges` are the running sums of true ranges after each candle from ordinal `settled` on.
    """

    candles: Candles
    settled: int
    ranges: NDArray[np.float64]

    @property
    def count(self) -> int:
        """How many candles there have been."""
        return self.candles.first_ordinal + len(self.candles)

    @property
    def close(self) -> float:
        """The last close."""
        return float(self.candles.close[-1])

    def until(self, ordinal: int) -> "Past":
        """Return the past of the tick of this candle."""
        rows = slice(0, ordinal + 1 - self.candles.first_ordinal)
        return Past(
            self.candles.take(rows), self.settled, self.ranges[: ordinal + 1 - self.settled]
        )

    def closes(self, first: int, end: int) -> NDArray[np.float64]:
        """Return the closes of the ordinals from `first` on, up to and without `end`."""
        base = self.candles.first_ordinal
        return self.candles.close[first - base : end - base]

    def time(self, ordinal: int) -> int:
        """Return the time of a candle."""
        return int(self.candles.time[ordinal - self.candles.first_ordinal])

    def atr(self, ordinal: int) -> float:
        """Return the average true range at a candle (A7)."""
        return float(self.ranges[ordinal - self.settled]) / min(ordinal + 1, ATR_PERIOD)

    def pivot(self, ordinal: int) -> Pivot:
        """Return a candle as a pivot without a partner."""
        row = ordinal - self.candles.first_ordinal
        high, low = float(self.candles.high[row]), float(self.candles.low[row])
        return Pivot(ordinal, self.time(ordinal), high, low, self.atr(ordinal))


class Pair(NamedTuple):
    """Two pivots of one side, the wicks that they share, and the line through these."""

    side: int
    first: Pivot
    second: Pivot
    low: float
    high: float
    line: float
    tolerance: float


class Level(NamedTuple):
    """A pair with what became of its line since: where it was crossed last or broken."""

    pair: Pair
    status: str
    death_idx: int | None
    flip_dir: str | None


class Reach(NamedTuple):
    """What the pivots of a side touch, as columns."""

    high: NDArray[np.float64]
    low: NDArray[np.float64]
    atr: NDArray[np.float64]


def running_ranges(candles: Candles, first: int, total: float) -> NDArray[np.float64]:
    """Return the sum of true ranges after each candle from `first` on; before it is `total` (A7).

    The order of operations is that of one sum that began with candle 0.
    """
    start = max(0, first - ATR_PERIOD - 1)
    ranges = true_ranges(candles.take(slice(start - candles.first_ordinal, None))).tolist()
    sums = []
    for n in range(first - start, len(ranges)):
        total += ranges[n]
        if start + n >= ATR_PERIOD:
            total -= ranges[n - ATR_PERIOD]
        total = finite(total)
        sums.append(total)
    return np.array(sums)


def finite(number: float) -> float:
    """Return the number, or the greatest double of its sign where it is beyond that.

    >>> finite(-math.inf) == -sys.float_info.max
    True
    """
    return min(max(number, -GREATEST), GREATEST)


def middle(first: float, second: float) -> float:
    """Return the middle of two numbers, also where their sum is beyond the greatest double."""
    total = first + second
    return total / 2 if math.isfinite(total) else first / 2 + second / 2


def true_ranges(candles: Candles) -> NDArray[np.float64]:
    """Return the true range of each row; the first takes its own close for the one before (A7)."""
    before = np.concatenate((candles.close[:1], candles.close[:-1]))
    high, low = candles.high, candles.low
    with np.errstate(over="ignore"):
        ranges = np.maximum(high - low, np.maximum(abs(high - before), abs(low - before)))
    return np.minimum(ranges, GREATEST)


def average(first: float, second: float) -> float:
    """Return the average of those that are above 0; 0 if none is."""
    if first > 0 and second > 0:
        return middle(first, second)
    return max(first, second, 0.0)


def tolerance(first: float, second: float, price: float) -> float:
    """Return how far from a price still counts as at it, by two ATRs (A7, tol)."""
    width = average(first, second) * TOLERANCE
    return width if width > 0 else (price if price > 0 else 1) * 0.002


def crossings(closes: NDArray[np.float64], line: float, width: float, most: int) -> list[int]:
    """Return the first places where closes change the side of a line, `most` at most.

    Closes within `width` of the line are on neither side and skipped (A7, transitions).
    """
    sides = [closes > line + width, closes < line - width]
    place = first_true(sides[0], 0)
    if first_true(sides[1], 0) < place:
        sides.reverse()
    found: list[int] = []
    while len(found) < most:
        sides.reverse()
        place = first_true(sides[0], place)
        if place == len(closes):
            break
        found.append(place)
    return found


def first_true(mask: NDArray[np.bool_], start: int) -> int:
    """Return the first place from `start` on that is true, or the length if none is."""
    if start < len(mask):
        place = start + int(mask[start:].argmax())
        if mask[place]:
            return place
    return len(mask)


def pair_of(side: int, first: Pivot, second: Pivot) -> Pair:
    """Return two pivots as a pair, whether their wicks meet or not (A7)."""
    low, high = max(first.low, second.low), min(first.high, second.high)
    line = high if side == RESISTANCE else low
    return Pair(side, first, second, low, high, line, tolerance(second.atr, first.atr, line))


def partner_of(side: int, second: Pivot, older: Sequence[Pivot], past: Past) -> int:
    """Return the newest of the older pivots whose wick meets this one's, -1 if none does (A7).

    The price may not have crossed their line too often. What is found stays so for ever.
    """
    for first in reversed(older):
        pair = pair_of(side, first, second)
        if pair.low > pair.high + pair.tolerance:
            continue
        closes = past.closes(first.idx + 1, second.idx)
        if len(crossings(closes, pair.line, pair.tolerance, TOO_MANY)) < TOO_MANY:
            return first.idx
    return -1


def majors_by_tick(table: NDArray[np.void]) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Yield the ticks that have major pivots: their ordinal, and side and ordinal of each pivot."""
    columns = [table[name].tolist() for name in ("ordinal", "direction", "pivot_idx")]
    for ordinal, rows in groupby(zip(*columns, strict=True), key=itemgetter(0)):
        yield ordinal, [(side, idx) for _, side, idx in rows]


def remember(pivots: dict[int, list[Pivot]], side: int, idx: int, past: Past) -> None:
    """Take a new pivot, the newest of its side."""
    older, pivot = pivots[side][1 - NEWEST :], past.pivot(idx)
    partner = partner_of(side, pivot, older, past)
    pivots[side] = [*older, pivot._replace(partner=partner)]


def levels_of(side: int, pivots: Sequence[Pivot], past: Past) -> list[Level]:
    """Return the levels of one side, none too close to one before it (A7, place).

    Newer pivots come first, so only a broken level can give way to one that comes later.
    """
    by_idx = {pivot.idx: pivot for pivot in pivots}
    levels: list[Level] = []
    for second in reversed(pivots):
        if second.partner not in by_idx:
            continue
        pair = pair_of(side, by_idx[second.partner], second)
        place = place_of(pair, levels)
        if place == len(levels):
            levels.append(level_of(pair, past))
        elif levels[place].status == BROKEN:
            level = level_of(pair, past)
            if level.status != BROKEN:
                levels[place] = level
    return levels


def place_of(pair: Pair, levels: Sequence[Level]) -> int:
    """Return the place of the first level that is close to a pair's line, or the end (A7)."""
    near = max(abs(pair.line) * 0.001, pair.tolerance * 0.5)
    for place, level in enumerate(levels):
        if abs(level.pair.line - pair.line) <= near:
            return place
    return len(levels)


def level_of(pair: Pair, past: Past) -> Level:
    """Return the level of a pair, with what the closes after it did to its line (A7, status)."""
    line, start, atr = pair.line, pair.second.idx + 1, past.atr(past.count - 1)
    width = (atr if atr > 0 else max(abs(line) * 0.02, 1e-9)) * TOLERANCE
    crossed = crossings(past.closes(start, past.count), line, width, BREAKING)
    if not crossed:
        return Level(pair, ACTIVE, None, None)
    last = start + crossed[-1]
    if len(crossed) == BREAKING:
        return Level(pair, BROKEN, last, None)
    if past.close > line + width:
        return Level(pair, FLIP, last, "up")
    return Level(pair, FLIP, last, "down" if past.close < line - width else None)


def snapshot(pivots: dict[int, list[Pivot]], past: Past) -> Json:
    """Return the levels of all pivots, as events and heads show them (A7)."""
    reaches = {side: reach_of(pivots[side]) for side in SIDES}
    found = [level for side in SIDES for level in levels_of(side, pivots[side], past)]
    found.sort(key=lambda level: abs(level.pair.line - past.close))
    live = [level for level in found if level.status != BROKEN][:MOST_LIVE]
    broken = [level for level in found if level.status == BROKEN]
    if not found or past.count < LEAST_CANDLES:
        return {"algorithm": "", "levels": [], "pivots": []}
    levels = [shape(level, reaches[level.pair.side], past) for level in live + broken]
    return {
        "algorithm": "pivot_wick_overlap",
        "levels": levels,
        "pivots": pivots_of(levels),
    }


def shape(level: Level, reach: Reach, past: Past) -> Json:
    """Return a level in the form in which events and heads show it (A7, build)."""
    pair = level.pair
    first, second, line = pair.first, pair.second, pair.line
    low, high, width_atr = band(pair)
    touches = count_touches(low, high, reach)
    dead = level.death_idx
    return {
        "price": line,
        "type": FLIP if level.status == FLIP else SIDES[pair.side],
        "level_type": SIDES[pair.side],
        "status": level.status,
        "first_idx": first.idx,
        "second_idx": second.idx,
        "last_idx": second.idx,
        "first_time": first.time,
        "second_time": second.time,
        "last_time": second.time,
        "count": max(2, touches),
        "flip_dir": level.flip_dir,
        "touch_indices": [first.idx, second.idx],
        "touch_times": [first.time, second.time],
        "level_score": 0.5 * min(1, touches / 4) + (0.5 if touches else 0.0),
        "band_low": low,
        "band_high": high,
        "band_width_atr": width_atr,
        "death_idx": dead,
        "death_time": None if dead is None else past.time(dead),
        "death_price": None if dead is None else line,
    }


def band(pair: Pair) -> tuple[float, float, float]:
    """Return the low and the high of the band around a pair's line, and its width in ATRs (A7)."""
    low, high = min(pair.low, pair.high), max(pair.low, pair.high)
    atr = average(pair.first.atr, pair.second.atr) or pair.line * 0.02
    if atr <= 0:
        atr = max(abs(pair.line) * 0.02, 1e-9)
    width = finite(high - low)
    if width <= 0:
        width = atr * 0.5
    width = min(max(width, atr * 0.5), atr * 3.0)
    center = middle(low, high)
    return finite(center - width / 2), finite(center + width / 2), width / atr


def reach_of(pivots: Sequence[Pivot]) -> Reach:
    """Return the pivots of a side as columns."""
    table = np.array([(p.high, p.low, p.atr) for p in pivots], np.float64)
    return Reach(*table.reshape(-1, 3).T)


def count_touches(low: float, high: float, reach: Reach) -> int:
    """Return how many pivots reach into a band, each within its own tolerance (A7, touches)."""
    near = reach.atr * TOLERANCE
    near[near <= 0] = tolerance(0.0, 0.0, middle(low, high))
    with np.errstate(over="ignore"):
        outside = (reach.high < low - near) | (reach.low > high + near)
    return len(outside) - int(np.count_nonzero(outside))


def pivots_of(levels: Sequence[Json]) -> list[Json]:
    """Return the two pivots of each level, on its line (A7)."""
    pivots = [
        {
            "idx": idx,
            "time": time,
            "price": level["price"],
            "type": level["type"],
            "source_window": "major",
        }
        for level in levels
        for idx, time in zip(level["touch_indices"], level["touch_times"], strict=True)
    ]
    return sorted(pivots, key=itemgetter("idx", "price"))


def payload(row: Json) -> Json:
    """Return the payload of a snapshot."""
    return {name: row[name] for name in ("visible_time", "algorithm", "levels", "pivots")}


def key(row: Json) -> str:
    """Return the event key of a snapshot; its digest is over the first levels (A7)."""
    levels = row["levels"]
    text = ";".join(
        f"{level['status']}:{level['type']}:{level['price']:.8f}:{level['last_time']}"
        for level in levels[:10]
    )
    digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:12]
    return f"snapshot:{row['visible_time']}:{len(levels)}:{digest if levels else 'none'}"


@register
class SupportResistance(Factor):
    """Finds lines at which the price turned twice; each major pivot gives a snapshot of them."""

    name = "sr"
    label = "SR"
    default_on = False
    needs = ("pivot",)
    features: ClassVar[tuple[Feature, ...]] = (
        Feature("sr.active", "Active", layer=200),
        Feature("sr.broken", "Broken", default_visible=False, layer=200),
    )
    kinds: ClassVar[tuple[Kind, ...]] = (Kind("sr.snapshot", "snapshots", ROW, key, payload),)

    def start(self) -> State:
        return Memory()

    def dump(self, state: State) -> bytes:
        pivots = [[list(pivot) for pivot in state.pivots[side]] for side in SIDES]
        return orjson.dumps([state.ranges, pivots, state.latest])

    def load(self, blob: bytes) -> State:
        ranges, pivots, latest = orjson.loads(blob)
        sides = zip(SIDES, pivots, strict=True)
        return Memory(ranges, {side: [Pivot(*p) for p in found] for side, found in sides}, latest)

    def lookback(self, params: Params) -> int:
        return int(params["pivot.window_major"]) + ATR_PERIOD + 1

    def reads_from(self, state: State, count: int, params: Params) -> int:
        memory: Memory = state
        oldest = [pivots[0].idx + 1 for pivots in memory.pivots.values() if pivots]
        return min([super().reads_from(state, count, params), *oldest])

    def step(
        self, state: State, candles: Candles, new_from: int, upstream: Records, params: Params
    ) -> dict[str, NDArray[np.void]]:
        wide, base = int(params["pivot.window_major"]), candles.first_ordinal
        settled = max(0, base + new_from - wide)
        past = Past(candles, settled, running_ranges(candles, settled, state.ranges))
        if past.count > wide:
            state.ranges = float(past.ranges[past.count - wide - 1 - settled])
        rows: list[tuple[Any, ...]] = []
        for ordinal, found in majors_by_tick(upstream["pivot.major"]):
            seen = past.until(ordinal)
            for side, idx in found:
                remember(state.pivots, side, idx, seen)
            latest = state.latest = snapshot(state.pivots, seen)
            shown = (latest["algorithm"], latest["levels"], latest["pivots"])
            rows.append((ordinal, seen.time(ordinal), *shown))
        return {"sr.snapshot": np.array(rows, ROW)}

    def head(self, state: State, now: int) -> Json | None:
        latest: Json | None = state.latest
        return latest

    def appears(self, view: View) -> bool:
        return view.states[self.name].latest is not None

    def draw(self, view: View) -> list[Instruction]:
        latest = view.states[self.name].latest or {"levels": []}
        lines = (line_of(level, view) for level in latest["levels"])
        return [line for line in lines if line]


def line_of(level: Json, view: View) -> Instruction | None:
    """Return the line of a level inside the window, if there is any of it.

    A live level ends with the view, so its end is no part of its name.
    """
    is_broken = level["status"] == BROKEN
    feature = "sr.broken" if is_broken else "sr.active"
    start, end = level["first_time"], level["death_time"] if is_broken else view.at_time
    name = f"sr.{feature}:{level['status']}:{level['level_type']}:{level['price']:.8f}:{start}"
    if is_broken:
        name += f":{end}"
    start, end = max(start, view.from_time), min(end, view.at_time)
    if start >= end or level["price"] <= 0:
        return None
    points = [(start, level["price"]), (end, level["price"])]
    look = LOOKS[BROKEN if is_broken else level["level_type"]]
    return polyline(feature, view.at_time, points, look, name)
