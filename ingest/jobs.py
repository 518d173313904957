"""The rows of jobs, as the supervisor and the loops write them. Blocking work."""

from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any

import orjson
from django.db.models import QuerySet

from ingest.feed import SeriesFeed
from ingest.models import IngestJob, JobKind, JobState
from market import database

HEARD = {"last_frame_at": "float8", "last_closed_time": "bigint", "gaps": "text"}


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


def jobs_idle(jobs: QuerySet[IngestJob]) -> None:
    """Write that nobody works on these."""
    jobs.update(state=JobState.IDLE, started_at=None, connected_at=None)


def jobs_heard(feeds: Iterable[SeriesFeed], now: float, tick: float) -> None:
    """Write what the feeds heard last, and what they miss, in one statement."""
    rows = []
    for feed in feeds:
        heard = None if feed.last_frame is None else now - (tick - feed.last_frame)
        gaps = [{"start": h.start, "end": h.end, "state": h.state} for h in feed.holes]
        rows.append((heard, feed.head, orjson.dumps(gaps).decode(), str(feed.series)))
    with database.writing():
        database.update(
            "ingest_jobs", HEARD, {"series_id": "text"}, sorted(rows, key=itemgetter(-1))
        )
