"""What a read of a state must answer, to the byte: composed by the protocol from straight runs."""

from bisect import bisect_right
from collections.abc import Callable
from functools import cache

import orjson

from factors.services import current_fingerprint
from ledger.alignment import VERSIONS
from tests.ledger.history.records import History, Question, Reply, State
from tests.ledger.history.straight import Json, Straight


class RefusalError(Exception):
    """The read must be refused."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Reference:
    """The right answers of a run's states. The rules fail nowhere but where the writer says so."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.series_id = history.series_id
        self.straight = Straight(history.series_id, history.epochs)
        self.fingerprint = current_fingerprint()
        self.reply = cache(self._reply)

    def _reply(self, state: State, question: Question) -> Reply:
        """Return status and body that a read of this state must have."""
        routes: dict[str, Callable[[State, Question], Json]] = {
            "market/candles": self._candles,
            "factor/slices": self._slices,
            "draw/delta": self._delta,
            "frame/live": self._live,
            "frame/at_time": self._at_time,
            "delta/poll": self._poll,
            "ledger/digest": self._digest,
        }
        try:
            return Reply(200, orjson.dumps(routes[question.route](state, question)))
        except RefusalError as error:
            return Reply(error.status, orjson.dumps({"detail": error.detail}))

    def _candles(self, state: State, question: Question) -> Json:
        """Compose 3.1; all candles have closed long ago."""
        since, limit = question.get("since"), question.get("limit") or 500
        head = state.candle_head
        rows = [] if head is None else list(self.history.epochs[state.epoch])
        rows = [row for row in rows if head is not None and row.candle_time <= head]
        if since is None:
            rows = rows[-limit:]
        else:
            rows = [row for row in rows if row.candle_time > since][:limit]
        candles = [row._asdict() for row in rows]
        return {"series_id": self.series_id, "server_head_time": head, "candles": candles}

    def _slices(self, state: State, question: Question) -> Json:
        """Compose 4.1."""
        asked, window = question.get("at_time") or 0, _window(question)
        time = self._floor(state, asked)
        if time is None:
            return {
                "schema_version": 1,
                "series_id": self.series_id,
                "at_time": asked,
                "candle_id": None,
                "factors": [],
                "snapshots": {},
            }
        _require(state, time, "factor")
        return self.straight.slices(state.epoch, time, window)

    def _delta(self, state: State, question: Question) -> Json:
        """Compose 5.1."""
        asked, cursor = question.get("at_time"), question.get("cursor_version_id") or 0
        time = state.candle_head if asked is None else self._floor(state, asked)
        if time is None:
            return {
                "schema_version": 1,
                "series_id": self.series_id,
                "to_candle_id": None,
                "to_candle_time": None,
                "active_ids": [],
                "instruction_catalog_patch": [],
                "series_points": {},
                "next_cursor": {"version_id": cursor, "point_time": None},
            }
        _require(state, time, "overlay")
        return self._drawn(state, time, _window(question), cursor)

    def _drawn(self, state: State, time: int, window: int, cursor: int) -> Json:
        """Return what is drawn beyond a cursor; one of another generation counts as none.

        The drawings are checked only where all are sent; else what is missing is missing.
        """
        base = state.generation * VERSIONS
        if cursor // VERSIONS != state.generation:
            cursor = base
        start = max(0, time - window * 60)
        if cursor == base and any(start <= one.visible_time <= time for one in state.missing):
            raise RefusalError(409, "ledger_out_of_sync:overlay")
        whole = self.straight.drawn(state.epoch, time, window)
        gone = {one.instruction_id for one in state.missing if one.visible_time <= time}
        patch = [
            item | {"version_id": base + item["version_id"]}
            for item in whole["instruction_catalog_patch"]
            if base + item["version_id"] > cursor and item["instruction_id"] not in gone
        ]
        version = whole["next_cursor"]["version_id"]
        return whole | {
            "active_ids": [name for name in whole["active_ids"] if name not in gone],
            "instruction_catalog_patch": patch,
            "next_cursor": {"version_id": base + version, "point_time": None},
        }

    def _live(self, state: State, question: Question) -> Json:
        """Compose 6.1."""
        if state.candle_head is None:
            raise RefusalError(404, "no_data")
        if state.ledger_head is None:
            raise RefusalError(404, "no_overlay")
        newest = self._floor(state, min(state.candle_head, state.ledger_head))
        return self._frame(state, state.candle_head, newest, _window(question))

    def _at_time(self, state: State, question: Question) -> Json:
        """Compose 6.2."""
        asked = question.get("at_time") or 0
        return self._frame(state, asked, self._floor(state, asked), _window(question))

    def _frame(self, state: State, asked: int, time: int | None, window: int) -> Json:
        if time is None:
            raise RefusalError(404, "no_data")
        _require(state, time, "factor")
        candle_id = f"{self.series_id}:{time}"
        return {
            "schema_version": 1,
            "series_id": self.series_id,
            "time": {"at_time": asked, "aligned_time": time, "candle_id": candle_id},
            "factor_slices": self.straight.slices(state.epoch, time, window),
            "draw_state": self._drawn(state, time, window, 0),
        }

    def _poll(self, state: State, question: Question) -> Json:
        """Compose 6.3."""
        after, window, time = question.get("after_id") or 0, _window(question), state.candle_head
        answer: Json = {"schema_version": 1, "series_id": self.series_id}
        nothing = answer | {"records": [], "next_cursor": {"id": after}}
        if time is None:
            return nothing
        _require(state, time, "factor")
        drawn = self._drawn(state, time, window, after)
        version = drawn["next_cursor"]["version_id"]
        is_seen = after // VERSIONS == state.generation and after >= version
        if version == state.generation * VERSIONS or is_seen:
            return nothing
        record = {
            "id": version,
            "series_id": self.series_id,
            "to_candle_id": drawn["to_candle_id"],
            "to_candle_time": time,
            "draw_delta": drawn,
            "factor_slices": self.straight.slices(state.epoch, time, window),
        }
        return answer | {"records": [record], "next_cursor": {"id": version}}

    def _digest(self, state: State, question: Question) -> Json:
        """Compose 8.2."""
        asked = question.get("at_time")
        newest = state.candle_head if state.ledger_head is None else state.ledger_head
        time = newest if asked is None else self._floor(state, asked)
        if time is None:
            raise RefusalError(404, "no_data")
        _require(state, time, "factor")
        count, digest = self.straight.digests(state.epoch)[time]
        return {
            "series_id": self.series_id,
            "candle_id": f"{self.series_id}:{time}",
            "candle_time": time,
            "candles": count,
            "digest": digest,
            "generation": state.generation,
            "rules_fingerprint": self.fingerprint,
        }

    def _floor(self, state: State, asked: int) -> int | None:
        times = self.history.times(state)
        place = bisect_right(times, asked)
        return times[place - 1] if place else None


def _window(question: Question) -> int:
    return question.get("window_candles") or 2000


def _require(state: State, time: int, part: str) -> None:
    """Refuse what the ledger does not cover yet, or covers no more."""
    behind = state.ledger_head is None or state.ledger_head < time
    if behind or (state.dirty_from is not None and state.dirty_from <= time):
        raise RefusalError(409, f"ledger_out_of_sync:{part}")
