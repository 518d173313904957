"""Strict reads of one series: slices, drawings and both in one frame. They never write."""

from factors.engine.types import Json
from factors.slices import Knowledge, empty_slices, knowledge_at, slices_answer
from ledger.alignment import Heads, NoDataError, NoOverlayError, OutOfSyncError
from ledger.draw import draw_delta, empty_delta, render_window
from ledger.selectors import heads_of
from ledger.sync import LedgerSyncService
from market import database
from market.series import BadSeriesIdError, SeriesId

SYNC = LedgerSyncService()


def parsed(series_id: str) -> SeriesId | None:
    """Return the series, or None where the text names none (a read then finds no data)."""
    try:
        return SeriesId.parse(series_id)
    except BadSeriesIdError:
        return None


def slices(*, series_id: str, at_time: int, window_candles: int) -> Json:
    """Return what the factors knew at a time (`protocol.md` 4.1)."""
    series = parsed(series_id)
    with database.reading():
        aligned = SYNC.aligned_time(series_id, at_time) if series else None
        if series is None or aligned is None:
            return empty_slices(series_id, at_time)
        SYNC.require_factor_ready(heads_of(series_id), aligned)
        return slices_answer(knowledge_at(series, aligned, window_candles), window_candles)


def delta(*, series_id: str, cursor: int, window_candles: int, at_time: int | None) -> Json:
    """Return what is drawn at a time, or now, beyond a cursor (`protocol.md` 5.1)."""
    series = parsed(series_id)
    with database.reading():
        if series is None:
            return empty_delta(series_id, cursor)
        heads = heads_of(series_id)
        aligned = heads.candle if at_time is None else SYNC.aligned_time(series_id, at_time)
        if aligned is None:
            return empty_delta(series_id, cursor)
        SYNC.require_overlay_ready(heads, aligned)
        SYNC.require_factor_ready(heads, aligned)
        knowledge = knowledge_at(series, aligned, render_window(window_candles))
        return draw_delta(knowledge, heads, window_candles, cursor)


def live(*, series_id: str, window_candles: int) -> Json:
    """Return the newest consistent frame (`protocol.md` 6.1)."""
    series = parsed(series_id)
    if series is None:
        raise NoDataError
    with database.reading():
        heads = heads_of(series_id)
        if heads.candle is None:
            raise NoDataError
        if heads.overlay is None:
            raise NoOverlayError
        aligned = SYNC.aligned_time(series_id, min(heads.candle, heads.overlay))
        return _frame(series, heads, heads.candle, aligned, window_candles)


def at_time(*, series_id: str, at_time: int, window_candles: int) -> Json:
    """Return the frame of the newest closed candle at or before a time (`protocol.md` 6.2)."""
    series = parsed(series_id)
    with database.reading():
        aligned = SYNC.aligned_time(series_id, at_time) if series else None
        if series is None or aligned is None:
            raise NoDataError
        return _frame(series, heads_of(series_id), at_time, aligned, window_candles)


def poll(*, series_id: str, after_id: int, window_candles: int) -> Json:
    """Return a record of what is drawn now, if it is newer than `after_id` (`protocol.md` 6.3)."""
    series = parsed(series_id)
    answer: Json = {"schema_version": 1, "series_id": series_id}
    nothing = {"records": [], "next_cursor": {"id": after_id}}
    if series is None:
        return answer | nothing
    with database.reading():
        heads = heads_of(series_id)
        if heads.candle is None:
            return answer | nothing
        SYNC.require_heads_ready(series_id, heads.candle, heads=heads)
        knowledge = knowledge_at(series, heads.candle, render_window(window_candles))
        drawn = draw_delta(knowledge, heads, window_candles, after_id)
        next_id = drawn["next_cursor"]["version_id"]
        if next_id == 0 or _is_seen(next_id, after_id, heads):
            return answer | nothing
        record = {
            "id": next_id,
            "series_id": series_id,
            "to_candle_id": drawn["to_candle_id"],
            "to_candle_time": drawn["to_candle_time"],
            "draw_delta": drawn,
            "factor_slices": slices_answer(knowledge, window_candles),
        }
        return answer | {"records": [record], "next_cursor": {"id": next_id}}


def _is_seen(version: int, after_id: int, heads: Heads) -> bool:
    """Say whether a cursor of this generation already reached the version."""
    return heads.same_generation(after_id) and after_id >= version


def _frame(
    series: SeriesId, heads: Heads, at_time: int, aligned: int | None, window_candles: int
) -> Json:
    """Return slices and drawings of one candle, from one state of the database."""
    if aligned is None:
        raise NoDataError
    SYNC.require_heads_ready(str(series), aligned, heads=heads)
    knowledge: Knowledge = knowledge_at(series, aligned, render_window(window_candles))
    factor_slices = slices_answer(knowledge, window_candles)
    draw_state = draw_delta(knowledge, heads, window_candles, 0)
    candle_id = f"{series}:{aligned}"
    if not factor_slices["candle_id"] == draw_state["to_candle_id"] == candle_id:
        raise OutOfSyncError
    return {
        "schema_version": 1,
        "series_id": str(series),
        "time": {"at_time": at_time, "aligned_time": aligned, "candle_id": candle_id},
        "factor_slices": factor_slices,
        "draw_state": draw_state,
    }
