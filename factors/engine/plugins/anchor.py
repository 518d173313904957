"""Anchor: the strongest pen, confirmed or in the making, that leads the present structure."""

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
    Params,
    Provisional,
    Records,
    State,
    View,
    polyline,
)
from market.candles import Candles

CONFIRMED, CANDIDATE = 0, 1
KINDS = {CONFIRMED: "confirmed", CANDIDATE: "candidate"}
REASONS = {0: "zhongshu_entry", 1: "strong_pen"}
ROW = np.dtype(
    [
        ("ordinal", "i8"),
        ("visible_time", "i8"),
        ("reason", "i8"),
        ("had_old", "i8"),
        ("old_kind", "i8"),
        ("old_start", "i8"),
        ("old_end", "i8"),
        ("old_direction", "i8"),
        ("kind", "i8"),
        ("start", "i8"),
        ("end", "i8"),
        ("direction", "i8"),
    ]
)
# The ref with its strength; `pen_strength` is that of the latest confirmed pen with the ref's
# start and direction (-1: none). The tail begins at the end of the last confirmed pen.
STATE = np.dtype(
    [
        ("count", "i8"),
        ("is_set", "i8"),
        ("kind", "i8"),
        ("start", "i8"),
        ("end", "i8"),
        ("direction", "i8"),
        ("strength", "f8"),
        ("pen_strength", "f8"),
        ("pens", "i8"),
        ("tail_time", "i8"),
        ("tail_price", "f8"),
        ("tail_direction", "i8"),
        ("high", "f8"),
        ("high_time", "i8"),
        ("low", "f8"),
        ("low_time", "i8"),
    ]
)


def ticks(
    state: Any,
    time: Any,
    high: Any,
    low: Any,
    new_from: int,
    pens: Any,
    entries: Any,
    switches: Any,
) -> tuple[int]:
    """Offer, for each new candle, its new pens and the tail; zones that formed come between."""
    s = state[0]
    p = 0
    e = 0
    n = 0
    for i in range(new_from, len(time)):
        ordinal = s["count"]
        s["count"] = ordinal + 1
        has_baseline = s["is_set"] == 1
        baseline = s["strength"]
        first_pen = p
        best = -1
        best_strength = 0.0
        if s["pens"] > 0:
            follow(s, time[i], high[i], low[i])
        while p < len(pens) and pens[p]["ordinal"] == ordinal:
            strength = abs(pens[p]["end_price"] - pens[p]["start_price"])
            if (not has_baseline or strength > baseline) and (best < 0 or strength > best_strength):
                best = p
                best_strength = strength
            begin_tail(s, pens[p])
            p += 1
        while e < len(entries) and entries[e]["ordinal"] == ordinal:
            entry = entries[e]
            e += 1
            n += point(
                s, switches, n, ordinal, time[i], 0, 0,
                entry["start_time"], entry["end_time"], entry["direction"], entry["strength"],
            )  # fmt: skip
            s["pen_strength"] = entry["last_strength"]
        if s["pens"] > 0:
            end = s["high_time"]
            direction = 1
            strength = abs(s["high"] - s["tail_price"])
            if s["tail_direction"] > 0:
                end = s["low_time"]
                direction = -1
                strength = abs(s["low"] - s["tail_price"])
            if (not has_baseline or strength > baseline) and (best < 0 or strength > best_strength):
                n += point(
                    s, switches, n, ordinal, time[i], 1, 1,
                    s["tail_time"], end, direction, strength,
                )  # fmt: skip
            elif best >= 0:
                n += point(
                    s, switches, n, ordinal, time[i], 1, 0,
                    pens[best]["start_time"], pens[best]["end_time"], pens[best]["direction"],
                    best_strength,
                )  # fmt: skip
        for j in range(first_pen, p):
            if pens[j]["start_time"] == s["start"] and pens[j]["direction"] == s["direction"]:
                s["pen_strength"] = abs(pens[j]["end_price"] - pens[j]["start_price"])
    return (n,)


def follow(s: Any, time: int, high: float, low: float) -> None:
    """Take one candle into the tail; the first of equal extremes stays."""
    if high > s["high"]:
        s["high"] = high
        s["high_time"] = time
    if low < s["low"]:
        s["low"] = low
        s["low_time"] = time


def begin_tail(s: Any, pen: Any) -> None:
    """Begin the tail at the end of a new pen, with the extremes up to its confirmation."""
    s["pens"] += 1
    s["tail_time"] = pen["end_time"]
    s["tail_price"] = pen["end_price"]
    s["tail_direction"] = pen["direction"]
    s["high"] = pen["high"]
    s["high_time"] = pen["high_time"]
    s["low"] = pen["low"]
    s["low_time"] = pen["low_time"]


def point(
    s: Any,
    switches: Any,
    n: int,
    ordinal: int,
    now: int,
    reason: int,
    kind: int,
    start: int,
    end: int,
    direction: int,
    strength: float,
) -> int:
    """Point the anchor at another pen; write a switch if its start changed, return how many."""
    written = 0
    if s["is_set"] == 0 or s["start"] != start:
        row = switches[n]
        row["ordinal"] = ordinal
        row["visible_time"] = now
        row["reason"] = reason
        row["had_old"] = s["is_set"]
        row["old_kind"] = s["kind"]
        row["old_start"] = s["start"]
        row["old_end"] = s["end"]
        row["old_direction"] = s["direction"]
        row["kind"] = kind
        row["start"] = start
        row["end"] = end
        row["direction"] = direction
        written = 1
    if s["start"] != start or s["direction"] != direction:
        s["pen_strength"] = -1.0
    s["is_set"] = 1
    s["kind"] = kind
    s["start"] = start
    s["end"] = end
    s["direction"] = direction
    s["strength"] = strength
    return written


def ref(kind: int, start: int, end: int, direction: int) -> Json:
    """Return an anchor ref as the wire shows it."""
    return {
        "kind": KINDS[kind],
        "start_time": start,
        "end_time": end,
        "direction": direction,
    }


def payload(row: Json) -> Json:
    """Return the payload of a switch."""
    old = ref(row["old_kind"], row["old_start"], row["old_end"], row["old_direction"])
    return {
        "switch_time": row["visible_time"],
        "reason": REASONS[row["reason"]],
        "old_anchor": old if row["had_old"] else None,
        "new_anchor": ref(row["kind"], row["start"], row["end"], row["direction"]),
        "visible_time": row["visible_time"],
    }


def key(row: Json) -> str:
    """Return the event key of a switch."""
    kind = "" if row["reason"] == 0 else f"{KINDS[row['kind']]}:"
    return (
        f"{REASONS[row['reason']]}:{row['visible_time']}:{kind}"
        f"{row['start']}:{row['end']}:{row['direction']}"
    )


LOOP = Loop(ticks, ROW)


@register
class Anchor(Factor):
    """Points at the pen that leads; a switch is written when the pen's start changes."""

    name = "anchor"
    label = "Anchor"
    needs = ("pen", "zhongshu")
    features: ClassVar[tuple[Feature, ...]] = (
        Feature("anchor.current", "Current", layer=40),
        Feature("anchor.history", "History", layer=50),
        Feature("anchor.switch", "Switches"),
    )
    kinds: ClassVar[tuple[Kind, ...]] = (Kind("anchor.switch", "switches", ROW, key, payload),)
    provisional: ClassVar[tuple[Provisional, ...]] = (
        Provisional(
            "anchor.current", "current_anchor_ref", "pen.confirmed", ("start_time", "direction")
        ),
    )
    state_dtype = STATE

    def step(
        self, state: State, candles: Candles, new_from: int, upstream: Records, params: Params
    ) -> dict[str, NDArray[np.void]]:
        pens, entries = upstream["pen.confirmed"], upstream["zhongshu.entry"]
        inputs = (candles.time, candles.high, candles.low, new_from, pens, entries)
        most = len(entries) + len(candles.time) - new_from
        (switches,) = LOOP(state, inputs, (most,))
        return {"anchor.switch": switches}

    def head(self, state: State, now: int) -> Json | None:
        s = state[0]
        return {"current_anchor_ref": current(state)} if s["pens"] else None

    def shown(self, state: State, view: View) -> Json:
        return {"current_anchor_ref": preview(state, view.heads.get("pen", {}))}

    def appears(self, view: View) -> bool:
        return bool(view.history.get("pen.confirmed") or view.history.get("anchor.switch"))

    def history(self, view: View) -> Json:
        switches = listed(view)
        anchors = [switch["new_anchor"] for switch in switches]
        return {"anchors": anchors, "switches": switches}

    def marks(self, kind: str, payload: Json) -> list[Instruction]:
        direction = payload["new_anchor"]["direction"]
        up = direction >= 0
        definition = {
            "type": "marker",
            "feature": "anchor.switch",
            "time": payload["switch_time"],
            "position": "belowBar" if up else "aboveBar",
            "color": "#f59e0b",
            "shape": "arrowUp" if up else "arrowDown",
            "text": "A",
            "size": 1.0,
        }
        name = f"anchor.switch:{payload['switch_time']}:{direction}:{payload['reason']}"
        return [Instruction(name, "marker", payload["switch_time"], definition)]

    def draw(self, view: View) -> list[Instruction]:
        shown = view.heads.get("anchor", {}).get("current_anchor_ref")
        drawn = [line for line in [current_line(view, shown)] if line] if shown else []
        for switch in listed(view):
            anchor = switch["new_anchor"]
            if shown is None or anchor["start_time"] != shown["start_time"]:
                drawn += past_line(view, switch["switch_time"], anchor)
        return drawn


def current(state: State) -> Json | None:
    """Return the ref of the ledger, without the preview of the read side."""
    s = state[0]
    if not s["is_set"]:
        return None
    return ref(*(int(s[name]) for name in ("kind", "start", "end", "direction")))


def preview(state: State, pen_head: Json) -> Json | None:
    """Return the ref as shown: the candidate pen takes its place when it is stronger (B3)."""
    now = current(state)
    candidate = pen_head.get("candidate")
    if candidate is None:
        return now
    shown = {"kind": "candidate"} | {
        name: candidate[name] for name in ("start_time", "end_time", "direction")
    }
    if now is None or now["start_time"] == candidate["start_time"]:
        return shown
    strength = float(state["pen_strength"][0])
    for leg in (pen_head.get("candidate"), pen_head.get("extending")):
        if leg and same(now, leg):
            strength = size(leg)
    return shown if size(candidate) > strength else now


def same(anchor: Json, pen: Json) -> bool:
    """Say whether a ref names exactly this pen."""
    return all(anchor[name] == pen[name] for name in ("start_time", "end_time", "direction"))


def size(pen: Json) -> float:
    """Return the strength of a pen."""
    strength: float = abs(pen["end_price"] - pen["start_price"])
    return strength


def listed(view: View) -> list[Json]:
    """Return the switches of the window: the last of each candle, the first of each pointer."""
    last = {switch["switch_time"]: switch for switch in view.payloads("anchor.switch")}
    first: dict[int, Json] = {}
    for switch in last.values():
        first.setdefault(switch["new_anchor"]["start_time"], switch)
    return list(first.values())


def resolve(view: View, anchor: Json) -> tuple[Json, bool] | None:
    """Return the pen that a ref names and whether it is provisional, or None (C2)."""
    pen_head = view.heads.get("pen", {})
    if anchor["kind"] == "candidate":
        for name in ("candidate", "extending"):
            leg = pen_head.get(name)
            if leg and same(anchor, leg):
                return leg, True
    alike = [
        pen
        for pen in view.payloads("pen.confirmed")
        if (pen["start_time"], pen["direction"]) == (anchor["start_time"], anchor["direction"])
    ]
    exact = [pen for pen in alike if same(anchor, pen)]
    if not alike:
        return None
    return (exact or [max(alike, key=lambda pen: pen["end_time"])])[-1], False


def ends(pen: Json) -> list[tuple[int, float]]:
    """Return both ends of a pen as points."""
    return [(pen["start_time"], pen["start_price"]), (pen["end_time"], pen["end_price"])]


def current_line(view: View, anchor: Json) -> Instruction | None:
    """Return the line of the shown anchor, dashed while its pen is provisional."""
    found = resolve(view, anchor)
    if found is None:
        return None
    pen, provisional = found
    look: Json = {"color": "#f59e0b", "lineWidth": 2}
    dashed = {"lineStyle": "dashed"} if provisional else {}
    return polyline("anchor.current", view.at_time, ends(pen), look | dashed)


def past_line(view: View, switch_time: int, anchor: Json) -> list[Instruction]:
    """Return the line of a former anchor, if its pen is known."""
    found = resolve(view, anchor)
    if found is None:
        return []
    name = "anchor.history:{}:{}:{}:{}".format(
        switch_time, anchor["start_time"], anchor["end_time"], anchor["direction"]
    )
    look: Json = {"color": "rgba(59,130,246,0.55)", "lineWidth": 1}
    return [polyline("anchor.history", max(1, switch_time), ends(found[0]), look, name)]
