"""The lamp of a series says whether its candles reach up to now.

Imports no framework.
"""

from collections.abc import Callable
from dataclasses import dataclass

from market.closing import expected_closed_time


@dataclass(frozen=True, slots=True)
class Filling:
    """How filling the candles of a series goes; without a row nothing was ever filled."""

    state: str = "idle"
    started_at: int | None = None
    updated_at: int | None = None
    reason: str | None = None
    note: str | None = None
    error: str | None = None
    start_missing_seconds: int = 0
    start_missing_candles: int = 0
    current_missing_seconds: int = 0
    current_missing_candles: int = 0

    @property
    def progress_pct(self) -> float | None:
        """How much of what was missing is filled; None where nothing was missing and now is."""
        start, current = self.start_missing_seconds, self.current_missing_seconds
        if start <= 0:
            return None if current > 0 else 100.0
        return min(100.0, max(0.0, (start - current) / start * 100))

    def is_recent(self, now: int, seconds: int) -> bool:
        """Say whether it was updated within the last `seconds`."""
        return self.updated_at is not None and now - self.updated_at <= seconds


@dataclass(frozen=True, slots=True)
class Looked:
    """What a lamp is decided by."""

    head: int | None
    target: int
    filling: Filling
    is_recent: bool

    @property
    def missing_seconds(self) -> int | None:
        """How far the newest candle is before the one that should be there."""
        return None if self.head is None else max(0, self.target - self.head)


# The first rule that holds decides.
RULES: tuple[tuple[Callable[[Looked], bool], str, str], ...] = (
    (lambda look: look.head is None, "red", "missing_head"),
    (lambda look: (look.head or 0) > look.target, "yellow", "head_ahead_of_closed_window"),
    (lambda look: not look.missing_seconds, "green", "up_to_date"),
    (lambda look: look.filling.state == "running", "yellow", "backfill_running"),
    (
        lambda look: look.filling.state == "succeeded" and look.is_recent,
        "yellow",
        "backfill_recent",
    ),
    (lambda look: True, "red", "lagging_no_recent_backfill"),
)


def status(look: Looked) -> tuple[str, str]:
    """Return the colour of the lamp and why."""
    return next((colour, reason) for holds, colour, reason in RULES if holds(look))


def target_time(now: int, seconds: int, grace: int, head: int | None) -> int:
    """Return the time of the candle that should be there by now.

    Closes come some seconds late. So within `grace` seconds after a candle ended it need not be
    there yet; if it is, it is no candle of the future.

    >>> target_time(3602, 60, 5, 3480), target_time(3602, 60, 5, 3540), target_time(3605, 60, 5, 0)
    (3480, 3540, 3540)
    """
    newest = expected_closed_time(now, seconds)
    before = max(0, newest - seconds)
    in_grace = now % seconds < grace
    return before if in_grace and (head is None or head <= before) else newest


def kline_health(  # noqa: PLR0913 (the facts, the clock and two settings)
    *, seconds: int, now: int, head: int | None, filling: Filling, grace: int, recent_seconds: int
) -> dict[str, object]:
    """Return the lamp as clients read it, but for the name of the series."""
    target = target_time(now, seconds, grace, head)
    look = Looked(head, target, filling, filling.is_recent(now, recent_seconds))
    missing = look.missing_seconds
    colour, reason = status(look)
    return {
        "timeframe_seconds": seconds,
        "now_time": now,
        "expected_latest_closed_time": target,
        "head_time": head,
        "lag_seconds": None if head is None else max(0, now - head),
        "missing_seconds": missing,
        "missing_candles": None if missing is None else -(-missing // seconds),
        "status": colour,
        "status_reason": reason,
        "backfill": {
            "state": filling.state,
            "progress_pct": filling.progress_pct,
            "started_at": filling.started_at,
            "updated_at": filling.updated_at,
            "reason": filling.reason,
            "note": filling.note,
            "error": filling.error,
            "recent": look.is_recent,
            "start_missing_seconds": filling.start_missing_seconds,
            "start_missing_candles": filling.start_missing_candles,
            "current_missing_seconds": filling.current_missing_seconds,
            "current_missing_candles": filling.current_missing_candles,
        },
    }
