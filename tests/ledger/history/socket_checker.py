"""Compares what the sockets of a run heard with what was committed, and says what does not fit.

Each subscription gets every candle after its cursor once and in order, none before its ledger is
ready, with numbers that it had; a hole is told before the candle behind it, and that history
changed, behind the cursor, at least once after the last time that it did.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise

from market.candles import Candle
from tests.ledger.history.checker import Kind, Violation
from tests.ledger.history.records import Frame, History, Listening, State

STEP = 60
REBUILT = "factor.rebuild"
KNOWN = {"candle_closed", "candles_batch", "gap", "system"}
Heard = tuple[int, Candle]


def check_sockets(history: History) -> list[Violation]:
    """Return what does not fit."""
    on_time, announced = _on_time(history), _announced(history)
    found = []
    for one in history.listenings:
        heard = [(frame.heard, candle) for frame in one.frames for candle in candles_in(frame)]
        checks = (
            _order(one, heard),
            _whole(history, one, heard, on_time),
            _numbers(history, one, heard, announced),
            _told(history, one),
            _gaps(history, one),
            _envelopes(history, one),
        )
        found += [violation for check in checks for violation in check]
    return found


def candles_in(frame: Frame) -> list[Candle]:
    """Return the closed candles of a frame."""
    content = frame.content
    rows = content.get("candles", [content["candle"]] if "candle" in content else [])
    return [Candle(**row) for row in rows]


def _rises(history: History, moment: str) -> list[int]:
    """Return when the changes of the past began, or ended."""
    pairs = pairwise(history.commits)
    return [
        getattr(after, moment)
        for before, after in pairs
        if after.state.generation > before.state.generation
    ]


def _on_time(history: History) -> list[int]:
    """Return the times of the candles that were newer than all others when they came."""
    found: list[int] = []
    before = State()
    for commit in history.commits:
        head = before.candle_head
        known = set() if head is None else set(history.times(before))
        found += [
            time
            for time in history.times(commit.state)
            if time not in known and (head is None or time > head)
        ]
        before = commit.state
    return found


def _order(one: Listening, heard: list[Heard]) -> Iterator[Violation]:
    """Each candle once, each later than the one before, all after the cursor."""
    last, seen = -1 if one.since is None else one.since, set()
    for _, candle in heard:
        time = candle.candle_time
        if time <= last:
            kind = Kind.TWICE if time in seen or time == one.since else Kind.DISORDER
            yield Violation(kind, one.client, f"{time} after {last}")
        seen.add(time)
        last = max(last, time)


def _whole(
    history: History, one: Listening, heard: list[Heard], on_time: list[int]
) -> Iterator[Violation]:
    """No candle is left out between the cursor and the last one heard, or the end of the run."""
    times = {candle.candle_time for _, candle in heard}
    first = one.since if one.since is not None else min(times, default=0) - 1
    last = max(times, default=-1)
    if one.stayed:
        last = max(last, history.commits[-1].state.announced or -1)
    for time in on_time:
        if first < time <= last and time not in times:
            yield Violation(Kind.SKIPPED, one.client, f"{time}, after {first}, up to {last}")


def _numbers(
    history: History, one: Listening, heard: list[Heard], announced: Mapping[object, int]
) -> Iterator[Violation]:
    """Each candle was announced, and had these numbers; that they changed is told afterwards."""
    last = history.commits[-1].state
    final = {row.candle_time: row for row in history.epochs[last.epoch]}
    told = max((frame.heard for frame in one.frames if _is_rebuilt(frame)), default=-1)
    for moment, candle in heard:
        if announced.get(candle.candle_time, moment) >= moment:
            yield Violation(Kind.EARLY, one.client, str(candle))
        elif announced.get(candle, moment) >= moment:
            yield Violation(Kind.ALTERED, one.client, str(candle))
        if one.stayed and final.get(candle.candle_time) != candle and told < moment:
            yield Violation(Kind.UNTOLD, one.client, f"{candle} is no more")


def _announced(history: History) -> dict[object, int]:
    """Return since when each candle time, and each candle with its numbers, was announced."""
    found: dict[object, int] = {}
    for commit in history.commits:
        for row in history.epochs[commit.state.epoch]:
            if row.candle_time <= (commit.state.announced or -1):
                found.setdefault(row, commit.began)
                found.setdefault(row.candle_time, commit.began)
    return found


def _told(history: History, one: Listening) -> Iterator[Violation]:
    """Told after the last change of the past, and no more often than it changed."""
    began, ended = _rises(history, "began"), _rises(history, "ended")
    told = [frame.heard for frame in one.frames if _is_rebuilt(frame)]
    certain = [moment for moment in began if moment >= one.ready]
    if one.stayed and certain and max(told, default=-1) < certain[-1]:
        yield Violation(Kind.UNTOLD, one.client, f"{len(certain)} changes, told {len(told)} times")
    since = sum(1 for moment in ended if moment < one.began)
    for times, heard in enumerate(told, 1):
        if times > sum(1 for moment in began if moment < heard) - since:
            yield Violation(Kind.NEEDLESSLY_TOLD, one.client, f"{times} times")


def _gaps(history: History, one: Listening) -> Iterator[Violation]:
    """Each gap tells of a hole that was there, before the candle behind it; no hole is untold.

    Holes inside of a batch, and inside of the catch-up, are not told.
    """
    last = one.since or None
    gap: Frame | None = None
    for frame in one.frames:
        if frame.content["type"] == "gap":
            gap = frame
            continue
        candles = candles_in(frame)
        if not candles:
            continue
        first = candles[0].candle_time
        if gap is not None:
            expected = (last or 0) + STEP, first
            told = gap.content["expected_next_time"], gap.content["actual_time"]
            if told != expected or not _was_hole(history, frame.heard, *expected):
                yield Violation(Kind.GAP, one.client, f"{gap.content}, before {first}")
        elif last is not None and first > last + STEP and frame.heard > one.ready:
            yield Violation(Kind.GAP, one.client, f"none between {last} and {first}")
        last, gap = candles[-1].candle_time, None
    if gap is not None and one.stayed:
        yield Violation(Kind.GAP, one.client, f"{gap.content}, and no candle")


def _was_hole(history: History, moment: int, start: int, end: int) -> bool:
    """Say whether a state had a candle at the end, and none from the start to it."""
    for state in history.begun_before(moment):
        times = history.times(state)
        if end in times and not any(start <= time < end for time in times):
            return True
    return False


def _envelopes(history: History, one: Listening) -> Iterator[Violation]:
    for frame in one.frames:
        content = frame.content
        is_known = content["type"] in KNOWN and content.get("series_id") == history.series_id
        if not is_known or (content["type"] == "candles_batch" and not one.supports_batch):
            yield Violation(Kind.FRAME, one.client, str(content)[:200])


def _is_rebuilt(frame: Frame) -> bool:
    return frame.content.get("event") == REBUILT
