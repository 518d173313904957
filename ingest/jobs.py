"""The rows of jobs, as the supervisor and the loops write them. Blocking work."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from ingest.feed import SeriesFeed
from ingest.models import IngestJob, JobKind


def jobs_make(kinds: Mapping[str, str]) -> None:
    """Make the missing rows of these series, and say why each is followed."""
    known = dict(
        IngestJob.objects.filter(series_id__in=list(kinds)).values_list("series_id", "kind")
    )
    IngestJob.objects.bulk_create(
        [
            IngestJob(series_id=series_id, kind=kind)
            for series_id, kind in kinds.items()
            if series_id not in known
        ],
        ignore_conflicts=True,
    )
    for kind in JobKind.values:
        moved = [name for name, new in kinds.items() if new == kind != known.get(name, kind)]
        IngestJob.objects.filter(series_id__in=moved).update(kind=kind)


def jobs_note(series_ids: Iterable[str], **fields: Any) -> None:
    """Write the same into the rows of these series."""
    IngestJob.objects.filter(series_id__in=list(series_ids)).update(**fields)


def jobs_heard(feeds: Iterable[SeriesFeed], now: float, tick: float) -> None:
    """Write what the feeds heard last, and what they miss."""
    for feed in feeds:
        heard = None if feed.last_frame is None else now - (tick - feed.last_frame)
        gaps = [{"start": h.start, "end": h.end, "state": h.state} for h in feed.holes]
        IngestJob.objects.filter(series_id=str(feed.series)).update(
            last_frame_at=heard, last_closed_time=feed.head, gaps=orjson.dumps(gaps).decode()
        )
