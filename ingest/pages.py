"""The page /ingest: every feed, its circuit and what went wrong, readable without JavaScript."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import user_passes_test
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from ingest.circuits import Circuits
from ingest.models import CircuitState, IngestJob, JobState
from market import clock, database
from market.closing import expected_closed_time
from market.series import SeriesId

SILENT_AFTER = 30.0
ORDER = {"open": 0, "half_open": 1, "closed": 2}


@dataclass(frozen=True, slots=True)
class FeedRow:
    """One line of the page."""

    job: IngestJob
    circuit: dict[str, Any]
    lag: int | None

    @property
    def running(self) -> int:
        """1 while a worker follows the feed, else 0."""
        return int(self.job.state != JobState.IDLE)

    @property
    def circuit_label(self) -> str:
        """The state of the circuit in words."""
        return str(CircuitState(self.circuit["state"]).label)

    @property
    def next_try(self) -> int:
        """Seconds until the next attempt; 0 where nothing has to wait."""
        seconds: float = self.circuit["next_attempt_in_s"]
        return round(seconds)


def feeds(request: HttpRequest) -> HttpResponse:
    """Show the feeds, open circuits first; with `?stopped=1` those that nobody follows, too.

    `series_id` leaves one feed, whatever it does.
    """
    shows_stopped, only = request.GET.get("stopped") == "1", request.GET.get("series_id", "")
    now = clock.now()
    with database.reading():
        jobs = list(IngestJob.objects.using(database.alias()).order_by("series_id"))
        circuits = Circuits().snapshots([job.series_id for job in jobs], now)
    shown = [job for job in jobs if _is_wanted(job, only, shows_stopped=shows_stopped)]
    rows = [FeedRow(job, circuits[job.series_id], _lag(job, now)) for job in shown]
    rows.sort(key=lambda row: (ORDER[row.circuit["state"]], row.job.series_id))
    about = {
        "rows": rows,
        "only": only,
        "shows_stopped": shows_stopped,
        "stopped": len(jobs) - sum(job.state != JobState.IDLE for job in jobs),
        "most": settings.TRADE_CANVAS_ONDEMAND_MAX_JOBS,
        "guarded": settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL,
        "silent": _silent(jobs),
        "may_steer": request.user.has_perm("ingest.change_ingestjob"),
    }
    return render(request, "ingest.html", about)


@require_POST
@user_passes_test(lambda user: user.has_perm("ingest.change_ingestjob"))
def steer(request: HttpRequest) -> HttpResponse:
    """Reset the circuit of a feed, stop it or start it again; then show the page."""
    name, action = request.POST.get("series_id", ""), request.POST.get("action")
    job = IngestJob.objects.filter(series_id=name)
    if action == "reset":
        Circuits().reset(
            list(job.values_list("series_id", flat=True)),
            request.user.get_username(),
            clock.now(),
        )
    elif action in {"stop", "restart"}:
        job.update(wanted=action == "restart")
    return redirect("ingest")


def _is_wanted(job: IngestJob, only: str, *, shows_stopped: bool) -> bool:
    """Say whether a feed is to be shown."""
    if only:
        return job.series_id == only
    return shows_stopped or job.state != JobState.IDLE


def _lag(job: IngestJob, now: float) -> int | None:
    """Return how many candles that should be over have not come."""
    if job.last_closed_time is None:
        return None
    seconds = SeriesId.parse(job.series_id).seconds
    return max(0, (expected_closed_time(now, seconds) - job.last_closed_time) // seconds)


def _silent(jobs: list[IngestJob]) -> str:
    """Say since when no worker said that it lives; empty where one did, or none should."""
    followed = [job.heartbeat_at for job in jobs if job.state != JobState.IDLE]
    beats = [beat for beat in followed if beat is not None]
    if not beats or (timezone.now() - max(beats)).total_seconds() <= SILENT_AFTER:
        return ""
    return str(_("Worker silent since {time} UTC.")).format(time=f"{max(beats):%Y-%m-%d %H:%M:%S}")
