"""Faults to plant into the product: each makes it lie in one way, and the checker must find it."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import orjson
import pytest

from factors import selectors as selectors_of_events
from factors import slices
from factors.slices import Knowledge
from ingest import pipeline
from ledger import advance, draw, frames
from ledger.advance import Work
from ledger.alignment import Heads, OutOfSyncError
from ledger.answers import Answer
from ledger.selectors import Look
from market import database, selectors
from market.candles import Candles
from market.messages import Frame
from market.store import candles_upsert
from market.subscriptions import Run, Subscription
from tests.ledger.history.checker import Kind

Json = dict[str, Any]
Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """How to plant it, and what must be found then, among others maybe.

    One that another fault stands for is `rare`: only the long tests plant it.
    """

    plant: Plant
    kinds: frozenset[Kind]
    rare: bool


FAULTS: dict[str, Fault] = {}


def finds(*kinds: Kind, rare: bool = False) -> Callable[[Plant], Plant]:
    """Say what must be found where this fault is planted."""

    def register(plant: Plant) -> Plant:
        FAULTS[plant.__name__] = Fault(plant, frozenset(kinds), rare)
        return plant

    return register


class Now:
    """Says of every n-th call that it is the one."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._calls = count(1)

    def __bool__(self) -> bool:
        return next(self._calls) % self._every == 0


@finds(Kind.WRONG)
def reads_see_several_states(patch: Patch) -> None:
    @contextmanager
    def reading() -> Iterator[None]:
        token = database._alias.set(database.READER)
        try:
            yield
        finally:
            database._alias.reset(token)

    patch.setattr(database, "reading", reading)


@finds(Kind.WRONG)
def a_cache_gives_what_was_known_at_an_older_candle(patch: Patch) -> None:
    real, known, now = slices.knowledge_at, dict[Any, Knowledge](), Now(4)

    def cached(series: Any, aligned: int, window: int) -> Knowledge:
        if now or (series, window) not in known:
            known[series, window] = real(series, aligned, window)
        return replace(known[series, window], at_time=aligned)

    patch.setattr(frames, "knowledge_at", cached)


@finds(Kind.OLDER, rare=True)
def a_cache_keeps_whole_answers_too_long(patch: Patch) -> None:
    real, kept, now = frames.live, dict[int, Answer](), Now(12)

    def cached(*, series_id: str, window_candles: int) -> Answer:
        if now or window_candles not in kept:
            kept[window_candles] = real(series_id=series_id, window_candles=window_candles)
        return kept[window_candles]

    patch.setattr(frames, "live", cached)


@finds(Kind.PARTS)
def a_frame_has_drawings_of_another_candle(patch: Patch) -> None:
    real, drawn = frames._framed, dict[str, Any]()

    def mixed(*given: Any) -> Json:
        frame = real(*given)
        older, drawn["last"] = drawn.get("last", frame["draw_state"]), frame["draw_state"]
        return frame | {"draw_state": older}

    patch.setattr(frames, "_framed", mixed)


@finds(Kind.OLDER)
def an_answer_is_kept_though_history_changed(patch: Patch) -> None:
    patch.setattr(Heads, "ledger", lambda heads: (heads.row, 0, heads.rules_fingerprint))


@finds(Kind.WRONG)
def heads_move_before_their_events_are_written(patch: Patch) -> None:
    real = pipeline._take

    def heads_first(part: Mapping[str, Candles], *rest: Any) -> list[Work]:
        ((series_id, batch),) = part.items()
        with database.writing():
            (head,) = advance.heads_lock(part)
            before, last = head.factor_head, int(batch.time[-1])
            if before is None or int(batch.time[0]) <= before or before != head.candle_head:
                return real(part, *rest)
            candles_upsert([(series_id, batch)])
            head.candle_head = head.factor_head = head.overlay_head = last
            head.save()
        time.sleep(0.01)
        with database.writing():
            head.factor_head = head.overlay_head = before
            head.save()
            return real(part, *rest)

    patch.setattr(pipeline, "_take", heads_first)


@finds(Kind.FELL, Kind.WRONG)
def a_cursor_goes_back(patch: Patch) -> None:
    real, now = draw.draw_delta, Now(3)

    def lower(*given: Any) -> Json:
        drawn = real(*given)
        version = drawn["next_cursor"]["version_id"]
        back = {"version_id": max(0, version - 3), "point_time": None}
        return drawn | {"next_cursor": back} if now else drawn

    patch.setattr(frames, "draw_delta", lower)


@finds(Kind.WRONG)
def slices_lack_an_event(patch: Patch) -> None:
    real = selectors_of_events.events_between

    def fewer(*given: Any) -> Any:
        found = real(*given)
        for events in found.values():
            del events[5:6]
        return found

    patch.setattr(slices, "events_between", fewer)


@finds(Kind.WRONG)
def a_patch_lacks_an_instruction(patch: Patch) -> None:
    real = draw.patch
    patch.setattr(draw, "patch", lambda *given: real(*given)[:-1])


@finds(Kind.WRONG, Kind.UNTOLD)
def a_correction_leaves_the_generation(patch: Patch) -> None:
    real = advance._move_heads

    def move(work: Work) -> None:
        real(work)
        work.head.generation -= work.rebuilt

    patch.setattr(advance, "_move_heads", move)


@finds(Kind.WRONG, rare=True)
def a_repair_leaves_the_generation(patch: Patch) -> None:
    patch.setattr(advance, "instructions_checksum", lambda _: b"the same")


@finds(Kind.UNREFUSED, rare=True)
def damage_is_not_seen(patch: Patch) -> None:
    patch.setattr(draw, "require_signature", lambda *_: None)


@finds(Kind.NEEDLESS)
def a_sound_ledger_is_refused(patch: Patch) -> None:
    refuse(patch, "ledger_out_of_sync:factor")


@finds(Kind.UNDOCUMENTED)
def a_refusal_has_words_of_its_own(patch: Patch) -> None:
    refuse(patch, "ledger_busy")


def refuse(patch: Patch, detail: str) -> None:
    """Refuse now and then."""
    real, now = frames.SYNC.require_factor_ready, Now(15)

    def require(*given: Any) -> None:
        if now:
            raise OutOfSyncError(detail)
        real(*given)

    patch.setattr(frames.SYNC, "require_factor_ready", require)


@finds(Kind.WRONG)
def a_candle_is_read_before_it_has_closed(patch: Patch) -> None:
    real = selectors.candles_closed

    def with_forming(*given: Any) -> Candles:
        found = real(*given)
        forming = Candles.from_rows(
            [row._replace(candle_time=row.candle_time + 60) for row in found.rows()[-1:]]
        )
        return found.then(forming)

    patch.setattr(selectors, "candles_closed", with_forming)


@finds(Kind.WRONG, rare=True)
def a_time_is_aligned_to_an_earlier_candle(patch: Patch) -> None:
    real = frames.SYNC.look

    def earlier(name: str, time: int | None, looks_back: int) -> Look:
        return real(name, None if time is None else time - 60, looks_back)

    patch.setattr(frames.SYNC, "look", earlier)


@finds(Kind.SKIPPED)
def a_socket_skips_a_candle(patch: Patch) -> None:
    change_frames(patch, lambda told: told[:-1])


@finds(Kind.TWICE)
def a_socket_sends_a_candle_twice(patch: Patch) -> None:
    change_frames(patch, lambda told: told + told[-1:])


@finds(Kind.DISORDER)
def a_socket_sends_candles_in_disorder(patch: Patch) -> None:
    change_frames(patch, lambda told: told[::-1], every=1)


@finds(Kind.ALTERED, rare=True)
def a_socket_sends_other_numbers(patch: Patch) -> None:
    def altered(told: list[Frame]) -> list[Frame]:
        frame = orjson.loads(told[-1])
        for candle in [*frame.get("candles", ()), frame.get("candle", {})]:
            candle["volume"] = 0.5
        return [*told[:-1], Frame(orjson.dumps(frame).decode())]

    change_frames(patch, altered)


def change_frames(
    patch: Patch, change: Callable[[list[Frame]], list[Frame]], *, every: int = 4
) -> None:
    """Change the frames of some runs of candles."""
    real, now = Subscription.go_on, Now(every)

    def go_on(subscription: Subscription, run: Run) -> list[Frame]:
        told = list(real(subscription, run))
        return change(told) if now else told

    patch.setattr(Subscription, "go_on", go_on)
    patch.setattr(Subscription, "_is_passed_on", lambda *_: False)


@finds(Kind.GAP, rare=True)
def a_hole_is_not_told(patch: Patch) -> None:
    patch.setattr(Subscription, "_jump_to", lambda *_: iter(()))


@finds(Kind.UNTOLD)
def a_changed_past_is_not_told(patch: Patch) -> None:
    patch.setattr(Subscription, "altered", lambda *_: iter(()))


@finds(Kind.NEEDLESSLY_TOLD, rare=True)
def a_changed_past_is_told_again_and_again(patch: Patch) -> None:
    real = Subscription.altered

    def again(subscription: Subscription, generation: int) -> list[Frame]:
        told = list(real(subscription, generation))
        return told * 3

    patch.setattr(Subscription, "altered", again)
