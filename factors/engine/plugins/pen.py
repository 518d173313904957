"""Pens: lines between alternating major pivots, confirmed by the next reverse pivot."""

from typing import Any, ClassVar, NamedTuple

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
    Params,
    Provisional,
    Records,
    State,
    View,
    polyline,
)
from market.candles import Candles

ROW = np.dtype(
    [
        ("ordinal", "i8"),
        ("visible_time", "i8"),
        ("start_time", "i8"),
        ("end_time", "i8"),
        ("start_price", "f8"),
        ("end_price", "f8"),
        ("direction", "i8"),
        ("start_idx", "i8"),
        ("end_idx", "i8"),
        # For the anchor only: the extremes after the end, up to the confirming candle.
        ("high", "f8"),
        ("high_time", "i8"),
        ("low", "f8"),
        ("low_time", "i8"),
    ]
)
# Slot 0 is the last but one effective pivot, slot 1 the last. Of each: highest high and lowest
# low after it; and `back`, the opposite extreme after the one that a pen from it would run to.
STATE = np.dtype(
    [
        ("count", "i8"),
        ("effective", "i8"),
        ("pens", "i8"),
        ("last_direction", "i8"),
        ("time", "i8", (2,)),
        ("price", "f8", (2,)),
        ("side", "i8", (2,)),
        ("idx", "i8", (2,)),
        ("high", "f8", (2,)),
        ("high_time", "i8", (2,)),
        ("low", "f8", (2,)),
        ("low_time", "i8", (2,)),
        ("back", "f8", (2,)),
        ("back_time", "i8", (2,)),
    ]
)
WHITE: Json = {"color": "#ffffff", "lineWidth": 2}
DASHED: Json = WHITE | {"lineStyle": "dashed"}


def ticks(
    state: Any, time: Any, high: Any, low: Any, new_from: int, majors: Any, pens: Any
) -> tuple[int]:
    """Follow the last two effective pivots and take each new major pivot of the tick."""
    s = state[0]
    m = 0
    n = 0
    for i in range(new_from, len(time)):
        ordinal = s["count"]
        s["count"] = ordinal + 1
        if s["effective"] > 0:
            follow(s, 1, time[i], high[i], low[i])
        if s["effective"] > 1:
            follow(s, 0, time[i], high[i], low[i])
        while m < len(majors) and majors[m]["ordinal"] == ordinal:
            pivot = majors[m]
            m += 1
            if s["effective"] > 0 and pivot["direction"] == s["side"][1]:
                if (pivot["pivot_price"] - s["price"][1]) * s["side"][1] > 0:
                    place(s, pivot, time, high, low, i)
                continue
            if s["effective"] > 1:
                confirm(s, pens[n], ordinal, time[i])
                n += 1
            if s["effective"] > 0:
                shift(s)
            s["effective"] = min(2, s["effective"] + 1)
            place(s, pivot, time, high, low, i)
    return (n,)


def follow(s: Any, j: int, time: int, high: float, low: float) -> None:
    """Take one candle after the pivot in slot j into its extremes; the first of equals stays."""
    higher = s["high_time"][j] == 0 or high > s["high"][j]
    lower = s["low_time"][j] == 0 or low < s["low"][j]
    if higher:
        s["high"][j] = high
        s["high_time"][j] = time
    if lower:
        s["low"][j] = low
        s["low_time"][j] = time
    if s["side"][j] < 0:
        if higher:
            s["back_time"][j] = 0
        elif s["back_time"][j] == 0 or low < s["back"][j]:
            s["back"][j] = low
            s["back_time"][j] = time
    elif lower:
        s["back_time"][j] = 0
    elif s["back_time"][j] == 0 or high > s["back"][j]:
        s["back"][j] = high
        s["back_time"][j] = time


def shift(s: Any) -> None:
    """Move the last effective pivot to the place before it."""
    s["time"][0] = s["time"][1]
    s["price"][0] = s["price"][1]
    s["side"][0] = s["side"][1]
    s["idx"][0] = s["idx"][1]
    s["high"][0] = s["high"][1]
    s["high_time"][0] = s["high_time"][1]
    s["low"][0] = s["low"][1]
    s["low_time"][0] = s["low_time"][1]
    s["back"][0] = s["back"][1]
    s["back_time"][0] = s["back_time"][1]


def place(s: Any, pivot: Any, time: Any, high: Any, low: Any, i: int) -> None:
    """Make `pivot` the last effective one; its extremes start with the candles up to row i."""
    s["time"][1] = pivot["pivot_time"]
    s["price"][1] = pivot["pivot_price"]
    s["side"][1] = pivot["direction"]
    s["idx"][1] = pivot["pivot_idx"]
    s["high_time"][1] = 0
    s["low_time"][1] = 0
    s["back_time"][1] = 0
    for r in range(i - pivot["window"] + 1, i + 1):
        follow(s, 1, time[r], high[r], low[r])


def confirm(s: Any, row: Any, ordinal: int, now: int) -> None:
    """Write the pen between the two slots; its direction comes from the prices."""
    row["ordinal"] = ordinal
    row["visible_time"] = now
    row["start_time"] = s["time"][0]
    row["end_time"] = s["time"][1]
    row["start_price"] = s["price"][0]
    row["end_price"] = s["price"][1]
    row["direction"] = 1 if s["price"][1] > s["price"][0] else -1
    row["start_idx"] = s["idx"][0]
    row["end_idx"] = s["idx"][1]
    row["high"] = s["high"][1]
    row["high_time"] = s["high_time"][1]
    row["low"] = s["low"][1]
    row["low_time"] = s["low_time"][1]
    s["pens"] += 1
    s["last_direction"] = row["direction"]


class Leg(NamedTuple):
    """A pen that is not confirmed, or one end of a confirmed one."""

    start_time: int
    end_time: int
    start_price: float
    end_price: float
    direction: int


def legs(state: State) -> tuple[Leg | None, Leg | None]:
    """Return the extending and the candidate pen of the last two effective pivots (A4)."""
    s = state[0]
    if s["effective"] < 2:
        return None, None
    up = s["side"][0] < 0
    extreme, extreme_time = ("high", "high_time") if up else ("low", "low_time")
    start, price = int(s["time"][0]), float(s["price"][0])
    end, end_price = int(s[extreme_time][0]), float(s[extreme][0])
    if end == 0 or end_price == price:
        return None, None
    extending = Leg(start, end, price, end_price, 1 if up else -1)
    back, back_time = float(s["back"][0]), int(s["back_time"][0])
    if back_time == 0 or back == end_price:
        return extending, None
    return extending, Leg(end, back_time, end_price, back, -extending.direction)


def tail_candidate(state: State) -> Leg | None:
    """Return the best line back from the end of the last confirmed pen (A4, tail candidate)."""
    s = state[0]
    if s["pens"] == 0 or s["high_time"][0] == 0:
        return None
    start, price = int(s["time"][0]), float(s["price"][0])
    if s["last_direction"] > 0:
        return Leg(start, int(s["low_time"][0]), price, float(s["low"][0]), -1)
    return Leg(start, int(s["high_time"][0]), price, float(s["high"][0]), 1)


def payload(row: Json) -> Json:
    """Return the payload of a confirmed pen."""
    names = ("start_time", "end_time", "start_price", "end_price", "direction")
    return {name: row[name] for name in (*names, "visible_time", "start_idx", "end_idx")}


def key(row: Json) -> str:
    """Return the event key of a confirmed pen."""
    return f"confirmed:{row['start_time']}:{row['end_time']}:{row['direction']}"


LOOP = Loop(ticks, ROW)


@register
class Pen(Factor):
    """Joins effective major pivots; a confirmed pen never changes."""

    name = "pen"
    label = "Pen"
    needs = ("pivot",)
    features: ClassVar[tuple[Feature, ...]] = (
        Feature("pen.confirmed", "Confirmed", layer=10),
        Feature("pen.extending", "Extending", layer=60),
        Feature("pen.candidate", "Candidate", layer=70),
    )
    kinds: ClassVar[tuple[Kind, ...]] = (Kind("pen.confirmed", "confirmed", ROW, key, payload),)
    provisional: ClassVar[tuple[Provisional, ...]] = (
        Provisional("pen.extending", "extending", "pen.confirmed", ("start_time", "direction")),
        Provisional("pen.candidate", "candidate", "pen.confirmed", ("start_time", "direction")),
    )
    state_dtype = STATE

    def lookback(self, params: Params) -> int:
        return int(params["pivot.window_major"])

    def step(
        self, state: State, candles: Candles, new_from: int, upstream: Records, params: Params
    ) -> dict[str, NDArray[np.void]]:
        majors = upstream["pivot.major"]
        inputs = (candles.time, candles.high, candles.low, new_from, majors)
        (pens,) = LOOP(state, inputs, (len(majors),))
        return {"pen.confirmed": pens}

    def head(self, state: State, now: int) -> Json | None:
        if state["pens"][0] == 0:
            return None
        extending, candidate = legs(state)
        found = {"extending": extending, "candidate": candidate}
        return {name: leg._asdict() for name, leg in found.items() if leg}

    def draw(self, view: View) -> list[Instruction]:
        state = view.states[self.name]
        extending, candidate = legs(state)
        if candidate is None:
            tail = tail_candidate(state)
            candidate = tail if tail != extending else None
        drawn = confirmed_line(view)
        for feature, leg in (("pen.extending", extending), ("pen.candidate", candidate)):
            if leg:
                points = [(leg.start_time, leg.start_price), (leg.end_time, leg.end_price)]
                drawn.append(polyline(feature, view.at_time, points, DASHED))
        return drawn


def confirmed_line(view: View) -> list[Instruction]:
    """Return one line through all confirmed pens that end in the window, if there are any."""
    points: list[tuple[int, float]] = []
    for pen in view.payloads("pen.confirmed"):
        if pen["end_time"] < view.from_time:
            continue
        if not points or points[-1][0] != pen["start_time"]:
            points.append((pen["start_time"], pen["start_price"]))
        points.append((pen["end_time"], pen["end_price"]))
    return [polyline("pen.confirmed", view.at_time, points, WHITE)] if points else []
