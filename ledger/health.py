"""How far the parts of a ledger are behind its candles.

A part that is to be computed again counts as behind from there on, or, where the rules are others,
as missing: reads refuse it just so.
"""

from django.conf import settings

from factors.engine.types import Json
from ledger.alignment import Heads
from ledger.selectors import heads_of
from market import database
from market.series import SeriesId


def factor_health(series_id: str) -> Json:
    """Return the heads, their delays and a status; raise `BadSeriesIdError` for a bad id."""
    seconds = SeriesId.parse(series_id).seconds
    with database.reading():
        heads = heads_of(series_id)
    factor = delay(heads.candle, heads.sound(heads.factor))
    overlay = delay(heads.candle, heads.sound(heads.overlay))
    delays = (delay(heads.candle, heads.sound(head)) for head in watched(heads).values())
    worst = max((d for d in delays if d is not None), default=None)
    state, reason = status(heads, candles(worst, seconds))
    return {
        "series_id": series_id,
        "timeframe_seconds": seconds,
        "store_head_time": heads.candle,
        "factor_head_time": heads.factor,
        "overlay_head_time": heads.overlay,
        "factor_delay_seconds": factor,
        "factor_delay_candles": candles(factor, seconds),
        "overlay_delay_seconds": overlay,
        "overlay_delay_candles": candles(overlay, seconds),
        "max_delay_seconds": worst,
        "max_delay_candles": candles(worst, seconds),
        "status": state,
        "status_reason": reason,
    }


def behind(heads: Heads) -> int | None:
    """Return by how many seconds the slowest part that is on is behind; None if one is missing.

    Drawings come from factors: where those are off, nothing is on.
    """
    parts = [heads.candle]
    if settings.TRADE_CANVAS_ENABLE_FACTOR_INGEST:
        parts = [heads.factor]
        if settings.TRADE_CANVAS_ENABLE_OVERLAY_INGEST:
            parts.append(heads.overlay)
    delays = [delay(heads.candle, heads.sound(part)) for part in parts]
    known = [each for each in delays if each is not None]
    return max(known) if len(known) == len(delays) else None


def delay(store: int | None, head: int | None) -> int | None:
    """Return by how many seconds a head is behind the candles; None if either is missing."""
    return None if store is None or head is None else max(0, store - head)


def candles(seconds: int | None, timeframe: int) -> int | None:
    """Return a delay in candles, rounded up."""
    return None if seconds is None else -(-seconds // timeframe)


def watched(heads: Heads) -> dict[str, int | None]:
    """Return the heads that count, by name: without the drawings where only these are off."""
    heads_by_name = {"factor": heads.factor, "overlay": heads.overlay}
    if (
        settings.TRADE_CANVAS_ENABLE_FACTOR_INGEST
        and not settings.TRADE_CANVAS_ENABLE_OVERLAY_INGEST
    ):
        del heads_by_name["overlay"]
    return heads_by_name


def status(heads: Heads, behind: int | None) -> tuple[str, str]:
    """Return the colour of the lamp and why."""
    if heads.candle is None:
        return "gray", "no_store_head"
    missing = [name for name, head in watched(heads).items() if heads.sound(head) is None]
    if missing:
        return "red", f"missing_{'_'.join(missing)}_head"
    if not behind:
        return "green", "up_to_date"
    return ("yellow", "lagging_one_candle") if behind == 1 else ("red", "lagging_many_candles")
