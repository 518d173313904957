"""Pivots: confirmed swing highs and lows, in a wide (major) and a narrow (minor) window."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from factors.engine.kernel import Loop
from factors.engine.registry import register
from factors.engine.types import (
    Factor,
    Feature,
    Instruction,
    Json,
    Kind,
    Param,
    Params,
    Records,
    State,
)
from market.candles import Candles

RESISTANCE, SUPPORT = 1, -1
SIDES = {RESISTANCE: "resistance", SUPPORT: "support"}
ROW = np.dtype(
    [
        ("ordinal", "i8"),
        ("visible_time", "i8"),
        ("pivot_time", "i8"),
        ("pivot_price", "f8"),
        ("direction", "i8"),
        ("window", "i8"),
        ("pivot_idx", "i8"),
    ]
)
STATE = np.dtype([("count", "i8"), ("last_major", "i8")])
LOOKS = {
    ("pivot.major", "resistance"): ("aboveBar", "#ef4444", 1.0),
    ("pivot.major", "support"): ("belowBar", "#22c55e", 1.0),
    ("pivot.minor", "resistance"): ("aboveBar", "rgba(239,68,68,0.6)", 0.5),
    ("pivot.minor", "support"): ("belowBar", "rgba(34,197,94,0.6)", 0.5),
}


def ticks(
    state: Any,
    time: Any,
    high: Any,
    low: Any,
    new_from: int,
    seconds: int,
    wide: int,
    narrow: int,
    major: Any,
    minor: Any,
) -> tuple[int, int]:
    """Examine, for each new candle, the candle `wide` and the one `narrow` before it."""
    s = state[0]
    count = s["count"]
    last_major = s["last_major"]
    majors = 0
    minors = 0
    for i in range(new_from, len(time)):
        ordinal = count
        count += 1
        if ordinal >= 2 * wide and time[i - wide] == time[i] - wide * seconds:
            k = i - wide
            if is_major(high, k, wide, 1):
                write(major[majors], ordinal, time, high, k, i, 1)
                majors += 1
                last_major = ordinal - wide
            if is_major(low, k, wide, -1):
                write(major[majors], ordinal, time, low, k, i, -1)
                majors += 1
                last_major = ordinal - wide
        if (
            last_major >= 0
            and ordinal - 2 * narrow >= last_major
            and time[i - narrow] == time[i] - narrow * seconds
        ):
            k = i - narrow
            if is_minor(high, k, narrow, 1):
                write(minor[minors], ordinal, time, high, k, i, 1)
                minors += 1
            if is_minor(low, k, narrow, -1):
                write(minor[minors], ordinal, time, low, k, i, -1)
                minors += 1
    s["count"] = count
    s["last_major"] = last_major
    return majors, minors


def is_major(price: Any, k: int, window: int, side: int) -> bool:
    """Say whether row k is strictly beyond the rows before it and not behind those after it."""
    center = price[k] * side
    for d in range(1, window + 1):
        if price[k - d] * side >= center or price[k + d] * side > center:
            return False
    return True


def is_minor(price: Any, k: int, window: int, side: int) -> bool:
    """Say whether no row within the window is beyond row k."""
    center = price[k] * side
    for d in range(1, window + 1):
        if price[k - d] * side > center or price[k + d] * side > center:
            return False
    return True


def write(row: Any, ordinal: int, time: Any, price: Any, k: int, i: int, side: int) -> None:
    """Write the pivot at row k, seen at row i."""
    row["ordinal"] = ordinal
    row["visible_time"] = time[i]
    row["pivot_time"] = time[k]
    row["pivot_price"] = price[k]
    row["direction"] = side
    row["window"] = i - k
    row["pivot_idx"] = ordinal - (i - k)


def payload(row: Json) -> Json:
    """Return the payload of a pivot event."""
    return {
        "pivot_time": row["pivot_time"],
        "pivot_price": row["pivot_price"],
        "direction": SIDES[row["direction"]],
        "visible_time": row["visible_time"],
        "window": row["window"],
        "pivot_idx": row["pivot_idx"],
    }


def major_key(row: Json) -> str:
    """Return the event key of a major pivot."""
    return f"major:{row['pivot_time']}:{SIDES[row['direction']]}:{row['window']}"


def minor_key(row: Json) -> str:
    """Return the event key of a minor pivot."""
    return f"minor:{row['pivot_time']}:{SIDES[row['direction']]}:{row['window']}"


LOOP = Loop(ticks, ROW, ROW)


@register
class Pivot(Factor):
    """Finds pivots; a gap in time right of the center loses the pivot for ever."""

    name = "pivot"
    label = "Pivot"
    params: ClassVar[tuple[Param, ...]] = (
        Param("window_major", 50, 1),
        Param("window_minor", 5, 1),
    )
    features: ClassVar[tuple[Feature, ...]] = (
        Feature("pivot.major", "Major"),
        Feature("pivot.minor", "Minor", default_visible=False),
    )
    kinds: ClassVar[tuple[Kind, ...]] = (
        Kind("pivot.major", "major", ROW, major_key, payload),
        Kind("pivot.minor", "minor", ROW, minor_key, payload),
    )
    state_dtype = STATE

    def start(self) -> State:
        state = super().start()
        state["last_major"] = -1
        return state

    def lookback(self, params: Params) -> int:
        return 2 * int(max(params["window_major"], params["window_minor"]))

    def step(
        self, state: State, candles: Candles, new_from: int, upstream: Records, params: Params
    ) -> dict[str, NDArray[np.void]]:
        wide, narrow = params["window_major"], params["window_minor"]
        columns = (candles.time, candles.high, candles.low)
        most = 2 * (len(candles.time) - new_from)
        inputs = (*columns, new_from, params["seconds"], wide, narrow)
        major, minor = LOOP(state, inputs, (most, most))
        return {"pivot.major": major, "pivot.minor": minor}

    def appears(self, view: Any) -> bool:
        return bool(view.history.get("pivot.major"))

    def marks(self, kind: str, payload: Json) -> list[Instruction]:
        position, color, size = LOOKS[kind, payload["direction"]]
        name = f"{kind}:{payload['pivot_time']}:{payload['direction']}:{payload['window']}"
        definition = {
            "type": "marker",
            "feature": kind,
            "time": payload["pivot_time"],
            "position": position,
            "color": color,
            "shape": "circle",
            "text": "",
            "size": size,
        }
        return [Instruction(name, "marker", payload["visible_time"], definition)]
