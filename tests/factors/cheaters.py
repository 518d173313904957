"""Factors that know more than the past, each in another way; and one that does not."""

import time
from collections.abc import Callable
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from factors.engine.rules import Rules
from factors.engine.types import Factor, Json, Kind, Params, Records, State
from market.candles import Candles

ROW = np.dtype([("ordinal", "i8"), ("visible_time", "i8"), ("price", "f8")])
Rows = list[tuple[int, int, float]]


class Made(Factor):
    """A factor whose rule is one function of the candles, the new rows and the state."""

    name = "made"
    label = "Made"
    state_dtype = np.dtype([("count", "i8"), ("price", "f8")])
    kinds: ClassVar[tuple[Kind, ...]] = (
        Kind(
            "made.found",
            "found",
            ROW,
            lambda row: f"found:{row['visible_time']}",
            lambda row: {"visible_time": row["visible_time"], "price": row["price"]},
        ),
    )
    rule: Callable[[Candles, int, State], Rows]

    def lookback(self, params: Params) -> int:
        return 4

    def step(
        self, state: State, candles: Candles, new_from: int, upstream: Records, params: Params
    ) -> dict[str, NDArray[np.void]]:
        return {"made.found": np.array(type(self).rule(candles, new_from, state), ROW)}

    def head(self, state: State, now: int) -> Json | None:
        return {"price": float(state["price"][0])}


def made(rule: Callable[[Candles, int, State], Rows], **facts: object) -> Rules:
    """Return rules that hold one factor with this rule."""
    factor = type("Cheater", (Made,), {"rule": staticmethod(rule)} | facts)()
    return Rules((factor,), {"made": {}})


def at(candles: Candles, row: int, price: float) -> tuple[int, int, float]:
    """Return an event at a row."""
    return (candles.first_ordinal + row, int(candles.time[row]), price)


def honest(candles: Candles, new_from: int, state: State) -> Rows:
    """Tell each candle that closes above the four before it."""
    state["price"] = candles.close[-1]
    return [
        at(candles, row, candles.close[row])
        for row in range(new_from, len(candles))
        if row >= 4 and candles.close[row] > candles.close[row - 4 : row].max()
    ]


def future_high(candles: Candles, new_from: int, state: State) -> Rows:
    """Tell each candle whose high the next three do not reach."""
    return [
        at(candles, row, candles.high[row])
        for row in range(new_from, len(candles))
        if len(candles) > row + 3 and candles.high[row] > candles.high[row + 1 : row + 4].max()
    ]


def centred_mean(candles: Candles, new_from: int, state: State) -> Rows:
    """Tell the mean of the candles around each candle."""
    return [
        at(candles, row, float(candles.close[max(0, row - 2) : row + 3].mean()))
        for row in range(new_from, len(candles))
    ]


def end_of_batch(candles: Candles, new_from: int, state: State) -> Rows:
    """Tell each candle that closes above a mark which only moves when the batch ends."""
    mark = float(state["price"][0])
    rows = [
        at(candles, row, candles.close[row])
        for row in range(new_from, len(candles))
        if candles.close[row] > mark
    ]
    state["price"] = candles.close[-1]
    return rows


def repainting(candles: Candles, new_from: int, state: State) -> Rows:
    """Tell the highest close so far, and tell it again under the same key when it moves."""
    rows = []
    for row in range(new_from, len(candles)):
        if candles.close[row] > float(state["price"][0]):
            state["price"] = candles.close[row]
            rows.append(at(candles, row, candles.close[row]))
    return rows


def wall_clock(candles: Candles, new_from: int, state: State) -> Rows:
    """Tell the hour at which it is asked."""
    return [
        at(candles, row, float(time.time() // 3600))
        for row in range(new_from, len(candles))
        if row >= 4 and candles.close[row] > candles.close[row - 4 : row].max()
    ]
