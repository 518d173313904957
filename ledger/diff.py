"""What became of a series between two closed candles: `GET /api/ledger/diff`."""

from collections.abc import Iterable, Mapping

import orjson

from factors.engine.types import Json, Provisional, StoredEvent
from factors.selectors import events_in_order
from factors.slices import Knowledge, knowledge_at
from ledger.alignment import NoDataError
from ledger.frames import SYNC, parsed
from ledger.selectors import heads_of
from market import database


def diff(*, series_id: str, from_time: int, to_time: int, window_candles: int) -> Json:
    """Return the events between two times, and the fate of what could change.

    All events between are given; the window is that of the slices whose heads are compared, and
    the built-in heads know the whole past whatever the window.
    """
    series = parsed(series_id)
    if series is None:
        raise NoDataError
    with database.reading():
        first = SYNC.aligned_time(series_id, from_time)
        last = SYNC.aligned_time(series_id, to_time)
        if first is None or last is None:
            raise NoDataError
        SYNC.require_factor_ready(heads_of(series_id), last)
        before = knowledge_at(series, first, window_candles)
        after = knowledge_at(series, last, window_candles)
        rows = list(events_in_order(series_id, after=first, to_time=last))
    events: dict[str, list[StoredEvent]] = {}
    for _, kind, _, time, text in rows:
        events.setdefault(kind, []).append(StoredEvent(kind, time, text))
    return {
        "series_id": series_id,
        "from": {"candle_id": f"{series_id}:{first}", "candle_time": first},
        "to": {"candle_id": f"{series_id}:{last}", "candle_time": last},
        "events": [
            {
                "factor": factor,
                "kind": kind,
                "event_key": key,
                "candle_time": time,
                "payload": orjson.Fragment(text),
            }
            for factor, kind, key, time, text in rows
        ],
        "provisional": provisional(before, after, events, window_candles),
    }


def provisional(
    before: Knowledge,
    after: Knowledge,
    events: Mapping[str, Iterable[StoredEvent]],
    window_candles: int,
) -> list[Json]:
    """Return one row for each provisional thing that either candle knew, with its fate."""
    heads_before = before.view(window_candles).heads
    heads_after = after.view(window_candles).heads
    found = []
    for factor in before.rules.factors:
        for thing in factor.provisional:
            at_from = thing.of(heads_before[factor.name])
            at_to = thing.of(heads_after[factor.name])
            if at_from or at_to:
                fate = fate_of(thing, at_from, at_to, events)
                found.append({"what": thing.name, "at_from": at_from, "at_to": at_to, "fate": fate})
    return found


def fate_of(
    thing: Provisional,
    at_from: Json | None,
    at_to: Json | None,
    events: Mapping[str, Iterable[StoredEvent]],
) -> str:
    """Say what became of `at_from`; `at_to` may be another one that took its place."""
    if at_from is None:
        return "new"
    if thing.is_stated(at_from, (event.payload for event in events.get(thing.kind, ()))):
        return "confirmed"
    if at_to is None:
        return "gone"
    return "same" if at_from == at_to else "changed"
