"""What debug events say of reads of the ledger; nothing is prepared while nobody watches."""

from typing import Any

from ledger.alignment import OutOfSyncError
from ledger.answers import Answer
from market.debug_events import emit, wanted


def frame_told(event: str, series_id: str, answer: Answer) -> None:
    """Tell that a frame was read."""
    if wanted():
        emit(event, "read", series_id, data=answer.about)


def delta_told(series_id: str, cursor: int, at_time: int | None, answer: Answer) -> None:
    """Tell what was drawn for a client, if that was anything new to it."""
    about = answer.about
    if wanted() and (about["patch_len"] or about["next_version_id"] != cursor):
        asked = {"cursor_version_id": cursor, "at_time": at_time}
        emit("read.http.draw_delta", "read", series_id, data=asked | about)


def poll_told(series_id: str, after_id: int, answer: Answer) -> None:
    """Tell that a poll brought a record."""
    if wanted() and answer.about["has_record"]:
        data = {"after_id": after_id} | answer.about
        emit("read.http.world_delta_poll", "read", series_id, data=data)


def overlay_refused(series_id: str, at_time: int | None, error: OutOfSyncError) -> None:
    """Tell that drawings were refused: a repair is called for if this does not pass."""
    if wanted() and error.detail == "ledger_out_of_sync:overlay":
        reason = error.code or error.detail
        checks: list[dict[str, Any]] = [
            {"plugin": "overlay", "should_rebuild": True, "reason": reason}
        ]
        data = {"at_time": at_time, "strict_mode": True, "checks": checks}
        emit("read.http.draw_delta.overlay_out_of_sync", "read", series_id, "warn", data=data)
