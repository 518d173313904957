"""What the feeds do, as programs read it; made from rows alone."""

from typing import Any

import orjson
from django.conf import settings
from django.db.models import BooleanField, ExpressionWrapper, Q
from django.db.models.functions import Now

from ingest.circuits import Circuits
from ingest.models import IngestGuardrail, IngestJob, JobState
from market import clock, database
from market.whitelist import whitelist_current

LEASED = ExpressionWrapper(Q(lease_expires_at__gt=Now()), output_field=BooleanField())
JOB_FIELDS = (
    "kind",
    "state",
    "wanted",
    "connected_at",
    "last_frame_at",
    "last_closed_time",
    "last_error",
    "last_error_kind",
    "clock_offset_s",
    "lease_owner",
)


def ingest_state(now: float | None = None) -> dict[str, Any]:
    """Return jobs, circuits and the switches that rule them; `now` is the clock by default."""
    now = clock.now() if now is None else now
    with database.reading():
        jobs = list(IngestJob.objects.using(database.alias()).annotate(is_leased=LEASED))
        circuits = {row.series_id: row for row in _circuits()}
    role_guard = settings.TRADE_CANVAS_ENABLE_INGEST_ROLE_GUARD
    role = settings.TRADE_CANVAS_INGEST_ROLE
    return {
        "jobs": [
            job_shown(job, circuits.get(job.series_id), now)
            for job in sorted(jobs, key=lambda job: job.series_id)
        ],
        "whitelist_series_ids": sorted(whitelist_current(settings.TRADE_CANVAS_WHITELIST_PATH)),
        "ondemand_max_jobs": settings.TRADE_CANVAS_ONDEMAND_MAX_JOBS,
        "whitelist_ingest_enabled": settings.TRADE_CANVAS_ENABLE_WHITELIST_INGEST,
        "ingest_role_guard_enabled": role_guard,
        "ingest_role": role,
        "ingest_jobs_enabled": not role_guard or role != "read",
        "loop_guardrail_enabled": settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL,
    }


def job_shown(job: IngestJob, circuit: IngestGuardrail | None, now: float) -> dict[str, Any]:
    """Return one job; it runs while a worker holds its lease."""
    is_leased = bool(getattr(job, "is_leased", False))
    shown = {
        "series_id": job.series_id,
        "source": job.source,
        "refcount": job.refcount,
        "last_zero_at": job.last_zero_at,
        "started_at": job.started_at,
        "crashes": job.crashes,
        "last_crash_at": job.last_crash_at,
        "running": is_leased and job.state != JobState.IDLE,
        "guardrail": None,
    }
    if settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL:
        shown["guardrail"] = _shown(circuit, now)
    more = {name: getattr(job, name) for name in JOB_FIELDS}
    return shown | more | {"gaps": orjson.loads(job.gaps)}


def _shown(row: IngestGuardrail | None, now: float) -> dict[str, Any]:
    """Return the circuit of a series; one that never failed has no row."""
    return Circuits().guardrail_of(row or IngestGuardrail(), now).snapshot(now=now)


def _circuits() -> list[IngestGuardrail]:
    if not settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL:
        return []
    return list(IngestGuardrail.objects.using(database.alias()))
