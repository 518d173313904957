"""What the feeds do, as programs read it (`protocol.md` 3.9); made from rows alone."""

import time
from typing import Any

import orjson
from django.conf import settings
from django.db.models import BooleanField, ExpressionWrapper, Q
from django.db.models.functions import Now

from ingest.guardrail import IngestLoopGuardrailConfig
from ingest.models import CircuitState, IngestGuardrail, IngestJob, JobState
from market import database
from market.whitelist import whitelist_read

CONFIG = IngestLoopGuardrailConfig()
# The numbers of the guardrail.
GUARDRAIL_CONFIG = {
    "crash_budget": CONFIG.crash_budget,
    "budget_window_s": CONFIG.budget_window_s,
    "backoff_initial_s": CONFIG.backoff_initial_s,
    "backoff_max_s": CONFIG.backoff_max_s,
    "open_cooldown_s": CONFIG.open_cooldown_s,
}
LEASED = ExpressionWrapper(Q(lease_expires_at__gt=Now()), output_field=BooleanField())
JOB_FIELDS = (
    "kind",
    "state",
    "wanted",
    "connected_at",
    "last_frame_at",
    "last_closed_time",
    "last_error",
    "clock_offset_s",
    "lease_owner",
)


def ingest_state(now: float | None = None) -> dict[str, Any]:
    """Return jobs, circuits and the switches that rule them; `now` is the clock by default."""
    now = time.time() if now is None else now
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
        "whitelist_series_ids": sorted(whitelist_read(settings.TRADE_CANVAS_WHITELIST_PATH)),
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
        shown["guardrail"] = circuit_shown(circuit or IngestGuardrail(), now)
    more = {name: getattr(job, name) for name in JOB_FIELDS}
    return shown | more | {"gaps": orjson.loads(job.gaps)}


def circuit_shown(circuit: IngestGuardrail, now: float) -> dict[str, Any]:
    """Return one circuit, with the failures that are still in its window."""
    window = GUARDRAIL_CONFIG["budget_window_s"]
    failures = [time for time in orjson.loads(circuit.failures) if time >= now - window]
    is_open = circuit.state == CircuitState.OPEN and circuit.open_until is not None
    return {
        "enabled": circuit.enabled,
        "state": circuit.state,
        "window_failures": len(failures),
        "consecutive_failures": circuit.consecutive_failures,
        "last_failure_at": circuit.last_failure_at,
        "last_error": circuit.last_error or None,
        "last_backoff_s": circuit.last_backoff_s,
        "next_retry_in_s": max(0.0, (circuit.open_until or 0.0) - now) if is_open else 0.0,
        "config": dict(GUARDRAIL_CONFIG),
        "trips": circuit.trips,
        "last_error_kind": circuit.last_error_kind or None,
        "next_attempt_at": circuit.next_attempt_at,
        "last_success_at": circuit.last_success_at,
    }


def _circuits() -> list[IngestGuardrail]:
    if not settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL:
        return []
    return list(IngestGuardrail.objects.using(database.alias()))
