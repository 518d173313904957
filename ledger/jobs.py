"""Long work on many series, one row each, so that what was cut off goes on where it stopped."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from django.utils import timezone

from ledger.models import JobState, LedgerJob

OPEN = (JobState.WAITING, JobState.RUNNING)


def jobs_open(
    kind: str, purpose: str, series_ids: Sequence[str], *, anew: bool = False
) -> list[LedgerJob]:
    """Return the jobs of a kind that are to be done for these series, in text order.

    Where an earlier run of the same `purpose` was cut off, these are what it left, what failed in
    it, and series that are new since. Unfinished jobs of another purpose are given up, with `anew`
    all. A job that says it is running belongs to a process that was cut off, or to one that works
    beside us: doing it twice changes nothing.
    """
    unfinished = LedgerJob.objects.filter(kind=kind, state__in=OPEN)
    given_up = unfinished if anew else unfinished.exclude(purpose=purpose)
    given_up.update(state=JobState.GIVEN_UP, updated_at=timezone.now())
    run = unfinished.values_list("run", flat=True).first() or uuid4().hex
    finished = LedgerJob.objects.filter(kind=kind, run=run, state=JobState.DONE)
    left = set(series_ids) - set(finished.values_list("series_id", flat=True))
    rows = [LedgerJob(kind=kind, run=run, purpose=purpose, series_id=name) for name in sorted(left)]
    LedgerJob.objects.bulk_create(rows, ignore_conflicts=True)
    return sorted(unfinished.all(), key=lambda job: job.series_id)


def job_run(job: LedgerJob, action: Callable[[str], Any]) -> Any:
    """Do the work of a job; its row says how it went. An error rises after it is written down."""
    _move(job, JobState.RUNNING)
    try:
        result = action(job.series_id)
    except Exception as error:
        _move(job, JobState.FAILED, f"{type(error).__name__}: {error}"[:2000])
        raise
    _move(job, JobState.DONE, str(result))
    return result


def _move(job: LedgerJob, state: JobState, note: str = "") -> None:
    job.state, job.note = state, note
    job.save(update_fields=["state", "note", "updated_at"])
