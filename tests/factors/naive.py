"""The rules of the factors, written down naively: what the engine is checked against.

Written from the text of the rules alone (without sr), never from the engine.
Whatever can be looked up again in the candles, or folded again from the pivots, is not remembered.
Candles are named by their ordinal; `now` is the ordinal of the candle whose tick it is. Pivots,
pens, zones and anchors are dicts in the form in which events and heads show them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from market.candles import Candle

Json = dict[str, Any]
KINDS = ("pivot.major", "pivot.minor", "pen.confirmed", "zhongshu.dead", "anchor.switch")
"""A1: The kinds in the order that their events have inside a tick."""


def events_and_heads(
    candles: Sequence[Candle],
    seconds: int,
    window_major: int,
    window_minor: int,
    *,
    with_heads: bool = True,
) -> tuple[list[Json], list[Json]]:
    """Return all events in ledger order, and the heads of every candle (D1).

    Each tick sees the candles up to its own, and none is forgotten. A factor without a head is
    absent from a candle's heads; without `with_heads` there are none at all.
    """
    ticks = range(len(candles))
    majors = [p for now in ticks for p in major_pivots(candles, now, seconds, window_major)]
    minors = [p for now in ticks for p in minor_pivots(candles, now, seconds, window_minor, majors)]
    _, pens = fold(majors)
    structure, lead = Zhongshu(candles), Anchor(candles)
    heads = []
    for now in ticks:
        confirmed = at(candles[now].candle_time, pens)
        entries = structure.tick(now, confirmed)
        lead.tick(now, confirmed, entries)
        if with_heads:
            seen = {"pen": pen_head(candles, now, majors)}
            seen |= {"zhongshu": structure.head(now), "anchor": lead.head()}
            heads.append({name: head for name, head in seen.items() if head is not None})
    return in_order(majors, minors, pens, structure.deaths, lead.switches), heads


def in_order(*payloads: list[Json]) -> list[Json]:
    """A1: Return the events of these payloads, one list per kind, tick by tick in order of kinds.

    Payloads of one kind and tick keep their order.
    """
    events = [
        {
            "factor": kind.split(".")[0],
            "kind": kind,
            "event_key": KEYS[kind](payload),
            "candle_time": payload["visible_time"],
            "payload": payload,
        }
        for kind, found in zip(KINDS, payloads, strict=True)
        for payload in found
    ]
    return sorted(events, key=lambda e: (e["candle_time"], KINDS.index(e["kind"])))


def switch_key(switch: Json) -> str:
    """A1: Return the key of an anchor.switch; only a strong pen's names the kind of anchor."""
    anchor = switch["new_anchor"]
    kind = f"{anchor['kind']}:" if switch["reason"] == "strong_pen" else ""
    place = "{start_time}:{end_time}:{direction}".format(**anchor)
    return f"{switch['reason']}:{switch['switch_time']}:{kind}{place}"


KEYS = {
    "pivot.major": lambda p: "major:{pivot_time}:{direction}:{window}".format(**p),
    "pivot.minor": lambda p: "minor:{pivot_time}:{direction}:{window}".format(**p),
    "pen.confirmed": lambda p: "confirmed:{start_time}:{end_time}:{direction}".format(**p),
    "zhongshu.dead": lambda p: (
        "dead:{start_time}:{formed_time}:{death_time}:{zg:.8f}:{zd:.8f}:{formed_reason}".format(**p)
    ),
    "anchor.switch": switch_key,
}


def at(time: int, payloads: Iterable[Json]) -> list[Json]:
    """Return the payloads that became visible at this time."""
    return [payload for payload in payloads if payload["visible_time"] == time]


def until(time: int, payloads: Iterable[Json]) -> list[Json]:
    """Return the payloads that are visible at this time."""
    return [payload for payload in payloads if payload["visible_time"] <= time]


# A3. Pivot


def center(candles: Sequence[Candle], now: int, seconds: int, window: int) -> int | None:
    """A3: Return the only possible centre of a pivot, or None if it is not examined.

    1. The left window is full, counted in candles.
    2. The centre's time is exactly `window` steps ago, so no gap follows it.
    """
    k = now - window
    if k - window < 0:
        return None
    return k if candles[k].candle_time == candles[now].candle_time - window * seconds else None


def major_pivots(candles: Sequence[Candle], now: int, seconds: int, window: int) -> list[Json]:
    """A3: Return the major pivots of a tick, resistance first.

    Beyond all candles on the left strictly; those on the right may be equal.
    """
    k = center(candles, now, seconds, window)
    if k is None:
        return []
    here, left, right = candles[k], candles[k - window : k], candles[k + 1 : now + 1]
    found = []
    if all(c.high < here.high for c in left) and all(c.high <= here.high for c in right):
        found.append(pivot(candles, now, k, "resistance"))
    if all(c.low > here.low for c in left) and all(c.low >= here.low for c in right):
        found.append(pivot(candles, now, k, "support"))
    return found


def minor_pivots(
    candles: Sequence[Candle], now: int, seconds: int, window: int, majors: list[Json]
) -> list[Json]:
    """A3: Return the minor pivots of a tick, resistance first.

    The left window must lie in the segment that begins at the last major pivot, of this tick
    or before, whether the pens use it or not. Equal candles are allowed on both sides.
    """
    k = center(candles, now, seconds, window)
    if k is None:
        return []
    seen = until(candles[now].candle_time, majors)
    if not seen or k - window < seen[-1]["pivot_idx"]:
        return []
    around = candles[k - window : now + 1]
    found = []
    if all(c.high <= candles[k].high for c in around):
        found.append(pivot(candles, now, k, "resistance"))
    if all(c.low >= candles[k].low for c in around):
        found.append(pivot(candles, now, k, "support"))
    return found


def pivot(candles: Sequence[Candle], now: int, k: int, direction: str) -> Json:
    """A3: Return the payload of the pivot at candle `k`."""
    return {
        "pivot_time": candles[k].candle_time,
        "pivot_price": candles[k].high if direction == "resistance" else candles[k].low,
        "direction": direction,
        "visible_time": candles[now].candle_time,
        "window": now - k,
        "pivot_idx": k,
    }


# A4. Pen


def fold(majors: Iterable[Json]) -> tuple[list[Json], list[Json]]:
    """A4: Return the effective pivots and the confirmed pens that these major pivots give.

    A pivot of the other direction is appended; with three, the pen between the two before it is
    confirmed. One of the same direction replaces the last if it is strictly more extreme.
    """
    effective: list[Json] = []
    pens = []
    for p in majors:
        if not effective or effective[-1]["direction"] != p["direction"]:
            effective.append(p)
            if len(effective) >= 3:
                pens.append(pen(effective[-3], effective[-2], p["visible_time"]))
        elif more_extreme(p, effective[-1]):
            effective[-1] = p
    return effective, pens


def more_extreme(p: Json, last: Json) -> bool:
    """A4: Say whether a pivot is strictly more extreme than the last one of its direction."""
    if p["direction"] == "resistance":
        return bool(p["pivot_price"] > last["pivot_price"])
    return bool(p["pivot_price"] < last["pivot_price"])


def pen(start: Json, end: Json, visible_time: int) -> Json:
    """A4: Return the payload of a confirmed pen; its direction comes from the prices."""
    return {
        "start_time": start["pivot_time"],
        "end_time": end["pivot_time"],
        "start_price": start["pivot_price"],
        "end_price": end["pivot_price"],
        "direction": 1 if end["pivot_price"] > start["pivot_price"] else -1,
        "visible_time": visible_time,
        "start_idx": start["pivot_idx"],
        "end_idx": end["pivot_idx"],
    }


def extreme(candles: Sequence[Candle], after: int, now: int, direction: int) -> int | None:
    """A4: Return where the highest high (+1) or lowest low (-1) after a candle is, up to `now`.

    The first of equal ones; None if no candle follows.
    """
    later = range(after + 1, now + 1)
    if direction > 0:
        return max(later, key=lambda i: candles[i].high, default=None)
    return min(later, key=lambda i: candles[i].low, default=None)


def leg(candles: Sequence[Candle], start: tuple[int, float], end: int, direction: int) -> Json:
    """Return the line from a time and price to an extreme, in the form of the pen head."""
    return {
        "start_time": start[0],
        "end_time": candles[end].candle_time,
        "start_price": start[1],
        "end_price": candles[end].high if direction > 0 else candles[end].low,
        "direction": direction,
    }


def pen_head(candles: Sequence[Candle], now: int, majors: list[Json]) -> Json | None:
    """A4, A8: Return the pen head, None before the first confirmed pen.

    Extending runs from effective[-2] to the extreme of all candles after it, candidate from there
    to the opposite extreme of all candles after that. A leg without a candle or whose price is
    that of its start does not exist.
    """
    effective, pens = fold(until(candles[now].candle_time, majors))
    if not pens:
        return None
    s = effective[-2]
    direction = 1 if s["direction"] == "support" else -1
    end = extreme(candles, s["pivot_idx"], now, direction)
    if end is None:
        return {}
    extending = leg(candles, (s["pivot_time"], s["pivot_price"]), end, direction)
    if extending["end_price"] == s["pivot_price"]:
        return {}
    back = extreme(candles, end, now, -direction)
    if back is None:
        return {"extending": extending}
    turn = extending["end_time"], extending["end_price"]
    candidate = leg(candles, turn, back, -direction)
    if candidate["end_price"] == extending["end_price"]:
        return {"extending": extending}
    return {"extending": extending, "candidate": candidate}


def tail_candidate(candles: Sequence[Candle], now: int, last: Json) -> Json | None:
    """A4: Return the line from the end of the last confirmed pen to the extreme against it.

    None if no candle follows the pen; equal prices are no obstacle.
    """
    direction = -1 if last["direction"] > 0 else 1
    end = extreme(candles, last["end_idx"], now, direction)
    if end is None:
        return None
    return leg(candles, (last["end_time"], last["end_price"]), end, direction)


# A5. Zhongshu


def price_range(start_price: float, end_price: float) -> tuple[float, float]:
    """A5: Return the lower and the higher of a pen's two prices."""
    return min(start_price, end_price), max(start_price, end_price)


def pen_range(found: Json) -> tuple[float, float]:
    """A5: Return the range of a pen."""
    return price_range(found["start_price"], found["end_price"])


@dataclass(frozen=True)
class Pending:
    """A5: An entry pen and two more that wait for a third, since the tick of candle `made`."""

    entry: Json
    p1: Json
    p2: Json
    made: int

    def form(
        self, r3: tuple[float, float], formed_time: int, end_time: int, reason: str
    ) -> Json | None:
        """A5: Return the zhongshu with a third pen of this range, None if it does not form.

        All four ranges must share a point, touching counts; the entry pen's does not bound it.
        """
        three = [pen_range(self.p1), pen_range(self.p2), r3]
        four = [pen_range(self.entry), *three]
        if max(low for low, _ in four) > min(high for _, high in four):
            return None
        return {
            "start_time": self.entry["start_time"],
            "end_time": end_time,
            "zg": min(high for _, high in three),
            "zd": max(low for low, _ in three),
            "entry_direction": self.entry["direction"],
            "formed_time": formed_time,
            "formed_reason": reason,
        }

    def crossed(self, candles: Sequence[Candle], now: int) -> Json | None:
        """A5: Return the zhongshu that an unconfirmed third pen forms by crossing the trigger.

        The third pen starts where P2 ends and crosses with the first candle that reaches the end
        of P1. It reaches to its extreme among the candles since `made`; those before are not
        looked at. If the ranges do not meet, it is tried again with every later candle.
        """
        start, trigger = self.p2["end_price"], self.p1["end_price"]
        looked_at = candles[self.made : now + 1]
        if self.p2["direction"] > 0:
            crossings = [c.candle_time for c in looked_at if c.low <= trigger]
            reached = min(start, *(c.low for c in looked_at))
        else:
            crossings = [c.candle_time for c in looked_at if c.high >= trigger]
            reached = max(start, *(c.high for c in looked_at))
        if not crossings:
            return None
        now_time = candles[now].candle_time
        return self.form(price_range(start, reached), crossings[0], now_time, "price_cross")


@dataclass
class Zhongshu:
    """A5: The zhongshu of a series, tick by tick; at most one of pending and alive is set."""

    candles: Sequence[Candle]
    pens: list[Json] = field(default_factory=list)
    pending: Pending | None = None
    alive: Json | None = None
    open_third: int | None = None
    """Where P3 of the zhongshu alive started, if it crossed and no pen has confirmed it yet."""
    floor: int = 0
    deaths: list[Json] = field(default_factory=list)

    def tick(self, now: int, confirmed: list[Json]) -> list[Json]:
        """A5: Take the pens of a tick, then its candle; return the entry pens of what formed."""
        found = [self.take_pen(now, each) for each in confirmed]
        found.append(self.take_candle(now))
        return [entry for entry in found if entry is not None]

    def take_pen(self, now: int, k: Json) -> Json | None:
        """A5: Take a confirmed pen; return the entry pen if a zhongshu formed."""
        self.pens.append(k)
        if self.alive is not None:
            self.meet_alive(now, self.alive, k)
            return None
        if self.pending is not None:
            reason = "pen_confirmed"
            formed = self.pending.form(pen_range(k), k["visible_time"], k["end_time"], reason)
            if formed is not None:
                return self.become(formed, self.pending, open_third=None)
        self.pending = self.make_pending(now)
        return None

    def meet_alive(self, now: int, alive: Json, k: Json) -> None:
        """A5: Let a confirmed pen confirm P3, kill the zhongshu alive, or run on in it.

        The pen that confirms a crossed P3 does not kill. Death is strictly outside; no entry pen
        may start before the pen before the one that kills.
        """
        low, high = pen_range(k)
        confirms = self.open_third is not None and k["start_time"] == self.open_third
        if not confirms and (high < alive["zd"] or low > alive["zg"]):
            death = {"death_time": k["visible_time"], "visible_time": k["visible_time"]}
            self.deaths.append(alive | death)
            self.floor = self.pens[-2]["start_time"]
            self.alive = None
            self.pending = self.make_pending(now)
        else:
            alive["end_time"] = max(alive["end_time"], k["end_time"])
        self.open_third = None if confirms else self.open_third

    def make_pending(self, now: int) -> Pending | None:
        """A5: Return the last three pens as pending, unless the first starts before the floor."""
        if len(self.pens) < 3:
            return None
        entry, p1, p2 = self.pens[-3:]
        if self.floor > 0 and entry["start_time"] < self.floor:
            return None
        return Pending(entry, p1, p2, now)

    def become(self, formed: Json, pending: Pending, open_third: int | None) -> Json:
        """A5: Let what is pending be alive; return its entry pen."""
        self.alive, self.pending, self.open_third = formed, None, open_third
        return pending.entry

    def take_candle(self, now: int) -> Json | None:
        """A5: Take the candle of a tick, after its pens; return the entry pen if one formed."""
        if self.alive is not None:
            self.alive["end_time"] = max(self.alive["end_time"], self.candles[now].candle_time)
        elif self.pending is not None:
            formed = self.pending.crossed(self.candles, now)
            if formed is not None:
                return self.become(formed, self.pending, self.pending.p2["end_time"])
        return None

    def head(self, now: int) -> Json | None:
        """A5, A8: Return the zhongshu head, None before the first confirmed pen."""
        if self.alive is not None:
            shown = {"death_time": None, "visible_time": self.candles[now].candle_time}
            return {"alive": [self.alive | shown]}
        return {"alive": []} if self.pens else None


# A6. Anchor


def strength(line: Json) -> float:
    """A6: Return the strength of a pen: how far its prices are apart."""
    return float(abs(line["end_price"] - line["start_price"]))


def ref(line: Json, kind: str) -> Json:
    """A6: Return the ref of a pen."""
    names = ("start_time", "end_time", "direction")
    return {"kind": kind} | {name: line[name] for name in names}


@dataclass
class Anchor:
    """A6: The anchor of a series, tick by tick; the strength is known only with a ref."""

    candles: Sequence[Candle]
    last_pen: Json | None = None
    ref: Json | None = None
    strength: float | None = None
    switches: list[Json] = field(default_factory=list)

    def tick(self, now: int, confirmed: list[Json], entries: list[Json]) -> None:
        """A6: Take the pens of a tick, the entry pens of what formed, then the best pen.

        Confirmed pens and the tail candidate are measured against the strength before the tick,
        also after an entry pen took over.
        """
        baseline = self.strength
        offers = [(each, "confirmed") for each in confirmed]
        self.last_pen = confirmed[-1] if confirmed else self.last_pen
        if self.last_pen is not None:
            tail = tail_candidate(self.candles, now, self.last_pen)
            offers += [(tail, "candidate")] if tail is not None else []
        for entry in entries:
            self.switch(now, entry, "confirmed", "zhongshu_entry")
        stronger = [o for o in offers if baseline is None or strength(o[0]) > baseline]
        if stronger:  # max takes the first of equals
            best, kind = max(stronger, key=lambda offer: strength(offer[0]))
            self.switch(now, best, kind, "strong_pen")

    def switch(self, now: int, line: Json, kind: str, reason: str) -> None:
        """A6: Let a pen be the anchor; that is an event only if it starts elsewhere."""
        new = ref(line, kind)
        time = self.candles[now].candle_time
        if self.ref is None or self.ref["start_time"] != new["start_time"]:
            event = {"switch_time": time, "reason": reason, "visible_time": time}
            self.switches.append(event | {"old_anchor": self.ref, "new_anchor": new})
        self.ref, self.strength = new, strength(line)

    def head(self) -> Json | None:
        """A6, A8: Return the anchor head, None before the first confirmed pen."""
        return None if self.last_pen is None else {"current_anchor_ref": self.ref}
