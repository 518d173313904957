"""One way to tell what happens here to those who watch: `emit`, a structured log record.

`market.debug` keeps the newest for /ws/debug; the log has those that are not routine, always.
"""

import logging
from collections.abc import Mapping
from typing import Any, Literal

from django.conf import settings

logger = logging.getLogger(__name__)

Pipe = Literal["read", "write"]
Level = Literal["info", "warn", "error"]
LEVELS = {"info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
# Writes that come with every candle. Like reads they are told only while the debug API is on.
ROUTINE = frozenset(
    {
        "write.http.ingest_candle_closed_start",
        "write.http.ingest_candle_closed_done",
        "write.http.ingest_candles_closed_batch_start",
        "write.http.ingest_candles_closed_batch_done",
        "write.factor.ingest_done",
        "write.overlay.ingest_done",
        "ingest.flushed",
    }
)


def wanted() -> bool:
    """Say whether routine events are told, so that nobody prepares them in vain."""
    return bool(settings.TRADE_CANVAS_ENABLE_DEBUG_API)


def emit(  # noqa: PLR0913, PLR0917 (the fields of an event)
    event: str,
    pipe: Pipe,
    series_id: str | None = None,
    level: Level = "info",
    message: str = "",
    data: Mapping[str, Any] | None = None,
) -> None:
    """Tell of an event; never raises and never waits.

    The series id is one that was parsed. `data` is the event's own and changes no more.
    """
    try:
        number = LEVELS[level]
        if level == "info" and (pipe == "read" or event in ROUTINE):
            if not wanted():
                return
            number = logging.DEBUG
        told = {
            "pipe": pipe,
            "event": event,
            "series_id": series_id,
            "level": level,
            "message": message or event,
        } | ({"data": data} if data else {})
        extra = {"debug_event": told}
        logger.log(number, "%s %s %s %s", event, series_id, message, data, extra=extra)
    except Exception:
        logger.exception("event not told, %s", event)
