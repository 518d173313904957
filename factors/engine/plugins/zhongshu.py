"""Zhongshu: zones that three pens after an entry pen share; one lives at a time."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from factors.engine.kernel import Loop
from factors.engine.plugins import pen as pens_of
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

PEN_CONFIRMED, PRICE_CROSS = 0, 1
REASONS = {PEN_CONFIRMED: "pen_confirmed", PRICE_CROSS: "price_cross"}
ROW = np.dtype(
    [
        ("ordinal", "i8"),
        ("visible_time", "i8"),
        ("start_time", "i8"),
        ("end_time", "i8"),
        ("zg", "f8"),
        ("zd", "f8"),
        ("entry_direction", "i8"),
        ("formed_time", "i8"),
        ("formed_reason", "i8"),
    ]
)
# The pen that entered a zone which formed at this ordinal. `last_strength` is that of the latest
# pen with the same start and direction.
ENTRY = np.dtype(
    [
        ("ordinal", "i8"),
        ("start_time", "i8"),
        ("end_time", "i8"),
        ("direction", "i8"),
        ("strength", "f8"),
        ("last_strength", "f8"),
    ]
)
# tail_*: the last four pens, oldest first. Of `alive` and `pending` at most one is set.
# `p3_open`: formed by a price cross and its third pen is not confirmed yet.
STATE = np.dtype(
    [
        ("pens", "i8"),
        ("count", "i8"),
        ("tail_start", "i8", (4,)),
        ("tail_end", "i8", (4,)),
        ("tail_start_price", "f8", (4,)),
        ("tail_end_price", "f8", (4,)),
        ("tail_direction", "i8", (4,)),
        ("pending", "i8"),
        ("extreme", "f8"),
        ("cross_time", "i8"),
        ("alive", "i8"),
        ("start_time", "i8"),
        ("end_time", "i8"),
        ("zg", "f8"),
        ("zd", "f8"),
        ("entry_direction", "i8"),
        ("formed_time", "i8"),
        ("formed_reason", "i8"),
        ("p3_open", "i8"),
        ("p3_start", "i8"),
        ("floor", "i8"),
    ]
)
LOOKS: dict[tuple[str, bool], Json] = {
    ("zhongshu.dead", True): {"color": "rgba(74,222,128,0.58)"},
    ("zhongshu.dead", False): {"color": "rgba(248,113,113,0.58)"},
    ("zhongshu.alive", True): {"color": "rgba(22,163,74,0.72)"},
    ("zhongshu.alive", False): {"color": "rgba(220,38,38,0.72)"},
}


def ticks(
    state: Any, time: Any, high: Any, low: Any, new_from: int, pens: Any, dead: Any, entries: Any
) -> tuple[int, int]:
    """Take, for each new candle, first the pens that it confirmed, then the candle."""
    s = state[0]
    p = 0
    deaths = 0
    formed = 0
    for i in range(new_from, len(time)):
        ordinal = s["count"]
        s["count"] = ordinal + 1
        while p < len(pens) and pens[p]["ordinal"] == ordinal:
            push(s, pens[p])
            p += 1
            if s["alive"] == 1:
                if survives(s):
                    continue
                write_dead(s, dead[deaths], ordinal, time[i])
                deaths += 1
                s["floor"] = s["tail_start"][2]
                s["alive"] = 0
                make_pending(s)
            elif s["pending"] == 1 and form(s, 0, s["tail_start_price"][3], s["tail_end_price"][3]):
                settle(s, time[i], s["tail_end"][3], 0)
                write_entry(s, entries[formed], ordinal, 0)
                formed += 1
            else:
                make_pending(s)
        if s["alive"] == 1:
            s["end_time"] = max(s["end_time"], time[i])
        elif s["pending"] == 1 and time[i] > s["tail_end"][3]:
            cross(s, time[i], high[i], low[i])
            if s["cross_time"] > 0 and form(s, 1, s["tail_end_price"][3], s["extreme"]):
                settle(s, s["cross_time"], time[i], 1)
                s["p3_open"] = 1
                s["p3_start"] = s["tail_end"][3]
                write_entry(s, entries[formed], ordinal, 1)
                formed += 1
    return deaths, formed


def push(s: Any, pen: Any) -> None:
    """Append a pen to the tail, whose oldest one leaves."""
    for j in range(3):
        s["tail_start"][j] = s["tail_start"][j + 1]
        s["tail_end"][j] = s["tail_end"][j + 1]
        s["tail_start_price"][j] = s["tail_start_price"][j + 1]
        s["tail_end_price"][j] = s["tail_end_price"][j + 1]
        s["tail_direction"][j] = s["tail_direction"][j + 1]
    s["tail_start"][3] = pen["start_time"]
    s["tail_end"][3] = pen["end_time"]
    s["tail_start_price"][3] = pen["start_price"]
    s["tail_end_price"][3] = pen["end_price"]
    s["tail_direction"][3] = pen["direction"]
    s["pens"] += 1


def survives(s: Any) -> bool:
    """Say whether the alive zone outlives the newest pen; if so, take its end."""
    start_price = s["tail_start_price"][3]
    end_price = s["tail_end_price"][3]
    is_p3 = s["p3_open"] == 1 and s["tail_start"][3] == s["p3_start"]
    if is_p3:
        s["p3_open"] = 0
    elif max(start_price, end_price) < s["zd"] or min(start_price, end_price) > s["zg"]:
        return False
    s["end_time"] = max(s["end_time"], s["tail_end"][3])
    return True


def make_pending(s: Any) -> None:
    """Wait for a third pen after the last three, unless their first began before the floor."""
    s["pending"] = 0
    if s["pens"] < 3 or (s["floor"] > 0 and s["tail_start"][1] < s["floor"]):
        return
    s["pending"] = 1
    s["extreme"] = s["tail_end_price"][3]
    s["cross_time"] = 0


def cross(s: Any, now: int, high: float, low: float) -> None:
    """Follow the third pen in the making; note when it first reaches the end of the first."""
    trigger = s["tail_end_price"][2]
    if s["tail_direction"][3] > 0:
        s["extreme"] = min(s["extreme"], low)
        crossed = low <= trigger
    else:
        s["extreme"] = max(s["extreme"], high)
        crossed = high >= trigger
    if crossed and s["cross_time"] == 0:
        s["cross_time"] = now


def form(s: Any, e: int, p3_from: float, p3_to: float) -> bool:
    """Test tail pens e, e+1, e+2 and the third pen for a shared price; if so, set the edges."""
    shared_low = min(p3_from, p3_to)
    shared_high = max(p3_from, p3_to)
    for j in range(e + 1, e + 3):
        shared_low = max(shared_low, min(s["tail_start_price"][j], s["tail_end_price"][j]))
        shared_high = min(shared_high, max(s["tail_start_price"][j], s["tail_end_price"][j]))
    entry_low = min(s["tail_start_price"][e], s["tail_end_price"][e])
    entry_high = max(s["tail_start_price"][e], s["tail_end_price"][e])
    if max(shared_low, entry_low) > min(shared_high, entry_high):
        return False
    s["zd"] = shared_low
    s["zg"] = shared_high
    s["start_time"] = s["tail_start"][e]
    s["entry_direction"] = s["tail_direction"][e]
    return True


def settle(s: Any, formed_time: int, end_time: int, reason: int) -> None:
    """Make the zone that `form` found the alive one."""
    s["alive"] = 1
    s["pending"] = 0
    s["p3_open"] = 0
    s["formed_time"] = formed_time
    s["end_time"] = end_time
    s["formed_reason"] = reason


def write_dead(s: Any, row: Any, ordinal: int, now: int) -> None:
    """Write the alive zone as it stood before this candle."""
    row["ordinal"] = ordinal
    row["visible_time"] = now
    row["start_time"] = s["start_time"]
    row["end_time"] = s["end_time"]
    row["zg"] = s["zg"]
    row["zd"] = s["zd"]
    row["entry_direction"] = s["entry_direction"]
    row["formed_time"] = s["formed_time"]
    row["formed_reason"] = s["formed_reason"]


def write_entry(s: Any, row: Any, ordinal: int, e: int) -> None:
    """Write the entry pen, tail pen e."""
    row["ordinal"] = ordinal
    row["start_time"] = s["tail_start"][e]
    row["end_time"] = s["tail_end"][e]
    row["direction"] = s["tail_direction"][e]
    row["strength"] = abs(s["tail_end_price"][e] - s["tail_start_price"][e])
    for j in range(e, 4):
        same = s["tail_start"][j] == s["tail_start"][e]
        if same and s["tail_direction"][j] == s["tail_direction"][e]:
            row["last_strength"] = abs(s["tail_end_price"][j] - s["tail_start_price"][j])


def payload(row: Json) -> Json:
    """Return the payload of a zone's death."""
    names = ("start_time", "end_time", "zg", "zd", "entry_direction", "formed_time")
    return {name: row[name] for name in names} | {
        "formed_reason": REASONS[row["formed_reason"]],
        "death_time": row["visible_time"],
        "visible_time": row["visible_time"],
    }


def key(row: Json) -> str:
    """Return the event key of a zone's death."""
    return (
        f"dead:{row['start_time']}:{row['formed_time']}:{row['visible_time']}"
        f":{row['zg']:.8f}:{row['zd']:.8f}:{REASONS[row['formed_reason']]}"
    )


LOOP = Loop(ticks, ROW, ENTRY)


@register
class Zhongshu(Factor):
    """Finds zones of overlapping pens; a pen wholly outside ends one."""

    name = "zhongshu"
    label = "Zhongshu"
    needs = (pens_of.Pen.name,)
    features: ClassVar[tuple[Feature, ...]] = (
        Feature("zhongshu.alive", "Alive", layer=30),
        Feature("zhongshu.dead", "Dead", layer=20),
    )
    kinds: ClassVar[tuple[Kind, ...]] = (Kind("zhongshu.dead", "dead", ROW, key, payload),)
    provisional: ClassVar[tuple[Provisional, ...]] = (
        Provisional("zhongshu.alive", "alive", "zhongshu.dead", ("start_time", "formed_time")),
    )
    state_dtype = STATE

    def step(
        self, state: State, candles: Candles, new_from: int, upstream: Records, params: Params
    ) -> dict[str, NDArray[np.void]]:
        pens = upstream["pen.confirmed"]
        inputs = (candles.time, candles.high, candles.low, new_from, pens)
        most = len(pens) + len(candles.time) - new_from
        dead, entries = LOOP(state, inputs, (len(pens), most))
        return {"zhongshu.dead": dead, "zhongshu.entry": entries}

    def head(self, state: State, now: int) -> Json | None:
        s = state[0]
        if s["pens"] == 0:
            return None
        if s["alive"] == 0:
            return {"alive": []}
        zone: Json = {
            name: s[name].item()
            for name in ("start_time", "end_time", "zg", "zd", "entry_direction", "formed_time")
        }
        zone |= {
            "formed_reason": REASONS[int(s["formed_reason"])],
            "death_time": None,
            "visible_time": now,
        }
        return {"alive": [zone]}

    def shown(self, state: State, view: View) -> Json:
        return self.head(state, view.at_time) or {"alive": []}

    def appears(self, view: View) -> bool:
        return bool(view.states[self.name]["alive"][0]) or super().appears(view)

    def marks(self, kind: str, payload: Json) -> list[Instruction]:
        name = (
            f"zhongshu.dead:{payload['start_time']}:{payload['end_time']}"
            f":{payload['zg']:.6f}:{payload['zd']:.6f}"
        )
        return edges(kind, name, payload, payload["visible_time"])

    def draw(self, view: View) -> list[Instruction]:
        head = self.head(view.states[self.name], view.at_time) or {"alive": []}
        return [
            line
            for zone in head["alive"]
            for line in edges("zhongshu.alive", "zhongshu.alive", zone, view.at_time)
        ]


def edges(feature: str, name: str, zone: Json, visible_time: int) -> list[Instruction]:
    """Return the upper and the lower edge of a zone as two lines."""
    look = LOOKS[feature, zone["entry_direction"] >= 0] | {
        "lineWidth": 2,
        "entryDirection": zone["entry_direction"],
    }
    times = (zone["start_time"], zone["end_time"])
    return [
        polyline(feature, visible_time, [(t, zone[edge]) for t in times], look, f"{name}:{place}")
        for edge, place in (("zg", "top"), ("zd", "bottom"))
    ]
