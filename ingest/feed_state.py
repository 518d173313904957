"""How the feed of one series does, for whoever looks at its chart; made from rows alone."""

from typing import Any

import orjson
from django.utils import timezone

from ingest.circuits import Circuits
from ingest.models import IngestGuardrail, IngestJob, JobState
from market import clock, database
from market.derived import family_of

OFF = "off"
UNREACHABLE = "unreachable"


def feed_state(series_id: str, now: float | None = None) -> dict[str, Any]:
    """Return what is known of the feed that a series gets its candles from.

    `state` is `off` (nobody follows it), `unreachable` (no way to the exchange), or the state of
    its job. Times are Unix seconds; a derived series has the feed of its base.
    """
    now = clock.now() if now is None else now
    base = family_of(series_id)
    with database.reading():
        job = IngestJob.objects.using(database.alias()).filter(series_id=base).first()
        row = IngestGuardrail.objects.using(database.alias()).filter(series_id=base).first()
    circuit = Circuits().guardrail_of(row or IngestGuardrail(), now).snapshot(now=now)
    job = job or IngestJob(series_id=base)
    return {
        "series_id": series_id,
        "base_series_id": base,
        "state": _state(job),
        "kind": job.kind if job.pk else None,
        "connected_at": job.connected_at,
        "last_frame_at": job.last_frame_at,
        "last_closed_time": job.last_closed_time,
        "last_error_kind": job.last_error_kind or None,
        "next_attempt_in_s": circuit["next_attempt_in_s"],
        "circuit": circuit["state"],
        "clock_offset_s": job.clock_offset_s,
        "holes": orjson.loads(job.gaps),
    }


def _state(job: IngestJob) -> str:
    lease_ends = job.lease_expires_at
    if job.state == JobState.IDLE or (lease_ends is not None and lease_ends < timezone.now()):
        return OFF
    if job.last_error_kind == "connect" and job.state != JobState.STREAMING:
        return UNREACHABLE
    return str(job.state)
