"""Strict reads of one series: slices, drawings and both in one frame. They never write.

Whether the ledger is ready is asked each time; only then an answer that was made before counts.
"""

from collections.abc import Hashable
from dataclasses import dataclass

from factors.engine.types import Json
from factors.slices import Knowledge, empty_slices, knowledge_at, slices_answer
from ledger.alignment import Heads, NoDataError, NoOverlayError, OutOfSyncError, first_version
from ledger.answers import Answer, Pending, answer, answered
from ledger.draw import draw_delta, empty_delta, render_window
from ledger.selectors import Look
from ledger.sync import LedgerSyncService
from market.series import BadSeriesIdError, SeriesId

SYNC = LedgerSyncService()


def parsed(series_id: str) -> SeriesId | None:
    """Return the series, or None where the text names none (a read then finds no data)."""
    try:
        return SeriesId.parse(series_id)
    except BadSeriesIdError:
        return None


@dataclass(frozen=True, slots=True)
class Ready:
    """A read of a window that ends with a closed candle which the ledger covers."""

    series: SeriesId
    heads: Heads
    aligned: int
    window_candles: int
    stored: tuple[int, int]

    def key(self, route: str, asked: int = 0) -> Hashable:
        """Return all that the answer depends on.

        The rows that are stored of its window are counted: one taken out by hand is noticed.
        """
        where = (str(self.series), self.heads.ledger(), self.aligned, self.stored)
        return route, *where, self.window_candles, render_window(self.window_candles), asked

    def knowledge(self) -> Knowledge:
        """Return what was known, as far back as slices and drawings look."""
        return knowledge_at(self.series, self.aligned, render_window(self.window_candles))


def _look(series: SeriesId, at_time: int | None, window_candles: int) -> Look:
    return SYNC.look(str(series), at_time, render_window(window_candles) * series.seconds)


def _ready(series: SeriesId, look: Look, window_candles: int) -> Ready:
    if look.aligned is None:
        raise NoDataError
    stored = (look.events, look.instructions)
    return Ready(series, look.heads, look.aligned, window_candles, stored)


def slices(*, series_id: str, at_time: int, window_candles: int) -> Answer:
    """Return what the factors knew at a time."""
    series = parsed(series_id)

    def read() -> Answer | Pending:
        look = _look(series, at_time, window_candles) if series else None
        if series is None or look is None or look.aligned is None:
            return answer(empty_slices(series_id, at_time))
        SYNC.require_factor_ready(look.heads, look.aligned)
        ready = _ready(series, look, window_candles)
        return Pending(ready.key("slices"), lambda: _known(ready))

    return answered(read)


def delta(*, series_id: str, cursor: int, window_candles: int, at_time: int | None) -> Answer:
    """Return what is drawn at a time, or now, beyond a cursor."""
    series = parsed(series_id)

    def read() -> Answer | Pending:
        if series is None:
            return answer(empty_delta(series_id, cursor))
        look = _look(series, at_time, window_candles)
        asked = look.heads.candle if at_time is None else look.aligned
        if asked is None:
            return answer(empty_delta(series_id, cursor))
        SYNC.require_overlay_ready(look.heads, asked)
        SYNC.require_factor_ready(look.heads, asked)
        ready = _ready(series, look, window_candles)
        return Pending(ready.key("delta", cursor), lambda: _drawn(ready, cursor))

    return answered(read)


def live(*, series_id: str, window_candles: int) -> Answer:
    """Return the newest consistent frame."""
    series = parsed(series_id)
    if series is None:
        raise NoDataError

    def read() -> Answer | Pending:
        look = _look(series, None, window_candles)
        if look.heads.candle is None:
            raise NoDataError
        if look.heads.overlay is None:
            raise NoOverlayError
        return _frame(series, look, look.heads.candle, window_candles)

    return answered(read)


def at_time(*, series_id: str, at_time: int, window_candles: int) -> Answer:
    """Return the frame of the newest closed candle at or before a time."""
    series = parsed(series_id)
    if series is None:
        raise NoDataError

    def read() -> Answer | Pending:
        return _frame(series, _look(series, at_time, window_candles), at_time, window_candles)

    return answered(read)


def poll(*, series_id: str, after_id: int, window_candles: int) -> Answer:
    """Return a record of what is drawn now, if it is newer than `after_id`."""
    series = parsed(series_id)

    def read() -> Answer | Pending:
        look = _look(series, None, window_candles) if series else None
        if series is None or look is None or look.heads.candle is None:
            return answer(_polled(series_id, [], after_id))
        SYNC.require_heads_ready(series_id, look.heads.candle, heads=look.heads)
        ready = _ready(series, look, window_candles)
        return Pending(ready.key("poll", after_id), lambda: _record(ready, after_id))

    return answered(read)


def _frame(series: SeriesId, look: Look, at_time: int, window_candles: int) -> Pending:
    """Return slices and drawings of one candle, if the ledger is ready."""
    ready = _ready(series, look, window_candles)
    SYNC.require_heads_ready(str(series), ready.aligned, heads=look.heads)
    return Pending(ready.key("frame", at_time), lambda: _framed(ready, at_time))


def _known(ready: Ready) -> Json:
    knowledge = knowledge_at(ready.series, ready.aligned, ready.window_candles)
    return slices_answer(knowledge, ready.window_candles)


def _drawn(ready: Ready, cursor: int) -> Json:
    return draw_delta(ready.knowledge(), ready.heads, ready.window_candles, cursor)


def _framed(ready: Ready, at_time: int) -> Json:
    knowledge = ready.knowledge()
    factor_slices = slices_answer(knowledge, ready.window_candles)
    draw_state = draw_delta(knowledge, ready.heads, ready.window_candles, 0)
    candle_id = f"{ready.series}:{ready.aligned}"
    if not factor_slices["candle_id"] == draw_state["to_candle_id"] == candle_id:
        raise OutOfSyncError
    return {
        "schema_version": 1,
        "series_id": str(ready.series),
        "time": {"at_time": at_time, "aligned_time": ready.aligned, "candle_id": candle_id},
        "factor_slices": factor_slices,
        "draw_state": draw_state,
    }


def _record(ready: Ready, after_id: int) -> Json:
    knowledge = ready.knowledge()
    drawn = draw_delta(knowledge, ready.heads, ready.window_candles, after_id)
    next_id = drawn["next_cursor"]["version_id"]
    nothing = next_id == first_version(ready.heads.generation)
    if nothing or (ready.heads.same_generation(after_id) and after_id >= next_id):
        return _polled(str(ready.series), [], after_id)
    record = {
        "id": next_id,
        "series_id": str(ready.series),
        "to_candle_id": drawn["to_candle_id"],
        "to_candle_time": drawn["to_candle_time"],
        "draw_delta": drawn,
        "factor_slices": slices_answer(knowledge, ready.window_candles),
    }
    return _polled(str(ready.series), [record], next_id)


def _polled(series_id: str, records: list[Json], next_id: int) -> Json:
    return {
        "schema_version": 1,
        "series_id": series_id,
        "records": records,
        "next_cursor": {"id": next_id},
    }
