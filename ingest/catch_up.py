"""Bring derived series up to their base: at start, at the start of a job, at the first look."""

import logging
from collections.abc import Collection

from django.conf import settings

from ingest import pipeline
from market import derived, selectors
from market.rollup import Times

logger = logging.getLogger(__name__)

PART = pipeline.CANDLES_PER_TRANSACTION
BEFORE_ALL = -1


def derived_catch_up(series_id: str) -> None:
    """Make what the derived series of a family lack, from their newest candle to the base's.

    `series_id` is the base or one of them. One without candles begins with the first base candle.
    What changed further back while derived timeframes were off stays as it is until a base candle
    of the bucket comes again with another value.
    """
    base = derived.family_of(series_id)
    lengths = derived.derived_from(base)
    heads = selectors.head_times(list(lengths))
    known = {name: head for name, head in heads.items() if head is not None}
    ends = [known[name] + lengths[name] - 1 if name in known else BEFORE_ALL for name in lengths]
    if ends:
        _derive_after(base, min(ends), lengths)


def _derive_after(base: str, since: int, among: Collection[str]) -> None:
    """Go through the base candles later than `since`, so many in a transaction."""
    while len(times := _times_after(base, since)):
        pipeline.derive_sync(base, times, among)
        since = int(times[-1])


def _times_after(base: str, since: int) -> Times:
    return selectors.candles_after(base, since, PART).time


def derived_catch_up_all() -> None:
    """Catch up every family that has candles of its base; one that fails stops no other."""
    for series_id in selectors.series_stored():
        if derived.derived_from(series_id):
            _catch_up_alone(series_id)


def _catch_up_alone(series_id: str) -> None:
    try:
        derived_catch_up(series_id)
    except Exception:  # whatever it is: the other families go on
        logger.exception("derived.catch_up_failed %s", series_id)


def first_window(series_id: str) -> None:
    """Fill a derived series that has no candle yet from the newest base candles.

    So many of them as `TRADE_CANVAS_DERIVED_BACKFILL_BASE_CANDLES` says. Who comes second finds
    nothing left to do, in another process too: what there is, is looked up again under the lock.
    """
    base = derived.base_of(series_id)
    if base is None or selectors.head_time(series_id) is not None:
        return
    count = settings.TRADE_CANVAS_DERIVED_BACKFILL_BASE_CANDLES
    newest = selectors.candles_latest(base, count).time
    if len(newest):
        pipeline.derive_sync(base, newest, [series_id])
