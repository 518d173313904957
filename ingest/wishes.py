"""Which series are to be followed: the whitelist for ever, others while somebody watches them.

Rules: `docs/ingest.md`. Blocking work; the supervisor calls it in threads.
"""

import logging
from collections.abc import Mapping

from django.conf import settings

from ingest.jobs import jobs_idle, jobs_make
from ingest.lease import free_for
from ingest.models import IngestJob, JobKind, JobState
from market.demand import demand_counts
from market.whitelist import whitelist_current

logger = logging.getLogger(__name__)

PINNED = -1


def jobs_allowed(role: str) -> bool:
    """Say whether a process of this role may follow feeds at all."""
    if not settings.TRADE_CANVAS_ENABLE_INGEST_ROLE_GUARD:
        return True
    return role != "read" and settings.TRADE_CANVAS_INGEST_ROLE != "read"


def jobs_wanted() -> bool:
    """Say whether the settings ask for any feed."""
    asked = settings.TRADE_CANVAS_ENABLE_WHITELIST_INGEST
    return bool(asked or settings.TRADE_CANVAS_ENABLE_ONDEMAND_INGEST)


def series_pinned(named: tuple[str, ...] = ()) -> list[str]:
    """Return the series that are followed for ever: these, and the whitelist where it is on."""
    pinned = set(named)
    if settings.TRADE_CANVAS_ENABLE_WHITELIST_INGEST:
        pinned |= set(whitelist_current(settings.TRADE_CANVAS_WHITELIST_PATH))
    return sorted(pinned)


def jobs_settle(now: float, named: tuple[str, ...] = (), owner: str = "") -> list[str]:
    """Bring the rows of jobs up to what is wanted; return the series to follow, in text order.

    `named` are followed for ever, like those of the whitelist. A series that nobody watches any
    more is followed until its idle time is over, or until its place is needed. What another worker
    than `owner` follows is left to it.
    """
    pinned = set(series_pinned(named))
    counts = demand_counts() if settings.TRADE_CANVAS_ENABLE_ONDEMAND_INGEST else {}
    kinds = dict.fromkeys(counts, JobKind.ONDEMAND) | dict.fromkeys(pinned, JobKind.WHITELIST)
    jobs_make({name: str(kind) for name, kind in kinds.items()})
    watched, idle = [], []
    for job in IngestJob.objects.all():
        _count(job, pinned, counts, now)
        if not job.wanted or job.last_zero_at is None:
            watched += [job.series_id] if job.wanted else []
        elif now - job.last_zero_at < settings.TRADE_CANVAS_ONDEMAND_IDLE_TTL_S:
            idle.append((job.last_zero_at, job.series_id))
    followed = {*watched, *_with_place(len(set(watched) - pinned), idle)}
    others = IngestJob.objects.exclude(series_id__in=followed).exclude(state=JobState.IDLE)
    jobs_idle(others.filter(free_for(owner)))
    return sorted(followed)


def _count(job: IngestJob, pinned: set[str], counts: Mapping[str, int], now: float) -> None:
    """Write into a job how many watch it, and since when nobody does."""
    refcount = PINNED if job.series_id in pinned else counts.get(job.series_id, 0)
    zero_at = None if refcount else job.last_zero_at or now
    if (refcount, zero_at) != (job.refcount, job.last_zero_at):
        job.refcount, job.last_zero_at = refcount, zero_at
        job.save(update_fields=["refcount", "last_zero_at", "updated_at"])


def _with_place(watched: int, idle: list[tuple[float, str]]) -> list[str]:
    """Return the idle series that may stay: those left last, as far as there is place."""
    most = settings.TRADE_CANVAS_ONDEMAND_MAX_JOBS
    places = len(idle) if not most else max(0, most - watched)
    return [name for _, name in sorted(idle, reverse=True)[:places]]
