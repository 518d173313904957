"""What is drawn at a closed candle as a patch for one client."""

from collections.abc import Iterable, Mapping

import orjson
from django.conf import settings

from factors.engine.types import Json
from factors.slices import Knowledge, window_start
from ledger.alignment import Heads, OutOfSyncError, first_version, version_id
from ledger.overlay import render
from ledger.overlay.render import Drawn
from ledger.selectors import instructions_between

SIGNED = "zhongshu.dead"


def render_window(window_candles: int) -> int:
    """Return how many candles of events a drawing looks back on."""
    return max(window_candles, settings.TRADE_CANVAS_OVERLAY_WINDOW_CANDLES)


def draw_delta(knowledge: Knowledge, heads: Heads, window_candles: int, cursor: int) -> Json:
    """Return what is active at the knowledge's candle, and the part newer than the cursor.

    `knowledge` covers `render_window(window_candles)`. A cursor of another generation counts as the
    first of this one, which brings everything, after the stored zones were compared with the
    events. The next cursor is that one while nothing is drawn.
    """
    series_id, at_time = str(knowledge.series), knowledge.at_time
    first = first_version(heads.generation)
    if not heads.same_generation(cursor):
        cursor = first
    stored = instructions_between(series_id, knowledge.from_time, at_time)
    start = window_start(knowledge.series, at_time, window_candles)
    if cursor == first:
        require_signature(knowledge, stored, start)
    view = knowledge.view(render_window(window_candles))
    drawn = stored + render.provisional(knowledge.rules, view, knowledge.ordinal)
    active = render.active(drawn, start, at_time)
    begun = bool(drawn) or knowledge.begun()
    version = version_id(heads.generation, knowledge.ordinal) if begun else first
    return {
        "schema_version": 1,
        "series_id": series_id,
        "to_candle_id": f"{series_id}:{at_time}",
        "to_candle_time": at_time,
        "active_ids": sorted(active),
        "instruction_catalog_patch": patch(
            active.values(), render.layers(knowledge.rules), heads.generation, cursor
        ),
        "series_points": {},
        "next_cursor": {"version_id": version, "point_time": None},
    }


def patch(
    active: Iterable[Drawn], layers: Mapping[str, int], generation: int, cursor: int
) -> list[Json]:
    """Return the active instructions newer than the cursor, in patch order."""
    return [
        {
            "version_id": version_id(generation, one.ordinal),
            "instruction_id": one.instruction_id,
            "kind": one.kind,
            "visible_time": one.visible_time,
            "definition": orjson.Fragment(one.text),
        }
        for one in render.in_patch_order(active, layers)
        if version_id(generation, one.ordinal) > cursor
    ]


def require_signature(knowledge: Knowledge, stored: Iterable[Drawn], start: int) -> None:
    """Raise `OutOfSyncError` unless the stored dead zones are those that the events tell of."""
    told = (
        (0, "zhongshu", SIGNED, event.payload)
        for event in knowledge.events.get(SIGNED, ())
        if event.candle_time >= start
    )
    expected = {one.instruction_id for one in render.history(knowledge.rules, told)}
    found = {
        one.instruction_id
        for one in stored
        if one.visible_time >= start and one.definition["feature"] == SIGNED
    }
    if expected != found:
        raise OutOfSyncError("ledger_out_of_sync:overlay")


def empty_delta(series_id: str, cursor: int) -> Json:
    """Return the answer for a series without anything to draw."""
    return {
        "schema_version": 1,
        "series_id": series_id,
        "to_candle_id": None,
        "to_candle_time": None,
        "active_ids": [],
        "instruction_catalog_patch": [],
        "series_points": {},
        "next_cursor": {"version_id": cursor, "point_time": None},
    }
