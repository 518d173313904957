"""How filling the candles of a series goes, read from its row."""

from datetime import datetime

from market.database import alias
from market.health import Filling
from market.models import BackfillProgress


def filling_read(series_id: str) -> Filling:
    """Return how filling goes; a series without a row was never filled."""
    row = BackfillProgress.objects.using(alias()).filter(series_id=series_id).first()
    if row is None:
        return Filling()
    return Filling(
        state=row.state,
        started_at=_seconds(row.started_at),
        updated_at=_seconds(row.updated_at),
        reason=row.reason or None,
        note=row.note or None,
        error=row.error or None,
        start_missing_seconds=row.start_missing_seconds,
        start_missing_candles=row.start_missing_candles,
        current_missing_seconds=row.current_missing_seconds,
        current_missing_candles=row.current_missing_candles,
    )


def _seconds(time: datetime | None) -> int | None:
    return None if time is None else int(time.timestamp())
