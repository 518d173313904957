"""The frames of /ws/market: parsed from clients, built for them. Imports no framework.

Frames are compact JSON whose keys stand in the order type, series_id, rest; prices keep their
decimal point (`44.0`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson
from websockets import frames

from market.candles import Candle
from market.series import BadSeriesIdError, SeriesId

ENVELOPE = "invalid message envelope"
REBUILT = "factor.rebuild"
LEAST_INT, GREATEST_INT = -(2**63), 2**63 - 1


class Frame(str):
    """The text of a frame; as bytes for the wire it is made once, for all sockets."""

    @cached_property
    def encoded(self) -> bytes:
        """The whole WebSocket frame, as a server sends it."""
        return frames.Frame(frames.Opcode.TEXT, self.encode()).serialize(mask=False)


class BadRequestError(Exception):
    """A frame that is not understood; the socket stays open."""

    code = "bad_request"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Subscribe:
    """A wish for the candles of a series after `since`, or for its newest."""

    series: SeriesId
    since: int | None
    supports_batch: bool


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """The end of a wish; the series need not be known, nor named."""

    series_id: str


def parse(text: str | None) -> Subscribe | Unsubscribe:
    """Return what a client says, or raise `BadRequestError`; a binary frame has no text."""
    frame = _object(text)
    kind = frame.get("type")
    if not isinstance(kind, str) or not kind:
        raise BadRequestError("missing message type")
    if kind not in {"subscribe", "unsubscribe"}:
        raise BadRequestError(f"unknown message type: {kind}")
    series_id = frame.get("series_id")
    if kind == "unsubscribe":
        return Unsubscribe(series_id if isinstance(series_id, str) else "")
    if not isinstance(series_id, str) or not series_id:
        raise BadRequestError("missing series_id")
    return _subscribe(series_id, frame)


def candle_closed(series_id: str, candle: Candle) -> Frame:
    """Return the frame of one closed candle."""
    return _frame("candle_closed", series_id, candle=candle._asdict())


def candles_batch(series_id: str, candles: Sequence[Candle]) -> Frame:
    """Return the frame of closed candles, at least one, ascending."""
    rows = [candle._asdict() for candle in candles]
    return _frame("candles_batch", series_id, candles=rows)


def candle_forming(series_id: str, candle: Candle) -> Frame:
    """Return the frame of a candle that still forms."""
    return _frame("candle_forming", series_id, candle=candle._asdict())


def gap(series_id: str, expected_next_time: int, actual_time: int) -> Frame:
    """Return the frame that announces a jump."""
    times = {"expected_next_time": expected_next_time, "actual_time": actual_time}
    return _frame("gap", series_id, **times)


def factors_rebuilt(series_id: str) -> Frame:
    """Return the frame that says: history changed, read it again."""
    about = {"event": REBUILT, "message": "factors recomputed", "data": {"series_id": series_id}}
    return _frame("system", series_id, **about)


def error(code: str, message: str) -> Frame:
    """Return the frame of an error that concerns no series."""
    return _text({"type": "error", "code": code, "message": message})


def capacity(series_id: str) -> Frame:
    """Return the frame that says that no more series can be followed."""
    about = {"type": "error", "code": "capacity", "message": "ondemand_ingest_capacity"}
    return _text(about | {"series_id": series_id})


def _frame(kind: str, series_id: str, **rest: object) -> Frame:
    return _text({"type": kind, "series_id": series_id} | rest)


def _text(message: dict[str, Any]) -> Frame:
    return Frame(orjson.dumps(message).decode())


def _object(text: str | None) -> dict[str, Any]:
    try:
        frame = orjson.loads(text or "")
    except orjson.JSONDecodeError:
        raise BadRequestError(ENVELOPE) from None
    if not isinstance(frame, dict):
        raise BadRequestError(ENVELOPE)
    return frame


def _subscribe(series_id: str, frame: dict[str, Any]) -> Subscribe:
    since, supports_batch = frame.get("since"), frame.get("supports_batch")
    if since is not None and not (isinstance(since, int) and LEAST_INT <= since <= GREATEST_INT):
        raise BadRequestError("invalid since")
    if supports_batch is not None and not isinstance(supports_batch, bool):
        raise BadRequestError("invalid supports_batch")
    try:
        series = SeriesId.parse(series_id)
    except BadSeriesIdError:
        raise BadRequestError("invalid series_id") from None
    # JSON's true is a Python int as well; as a time it is 1.
    return Subscribe(series, None if since is None else int(since), supports_batch or False)
