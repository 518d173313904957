"""The page /ingest: every feed, its circuit and what went wrong, readable without JavaScript."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from ingest.circuits import Circuits
from ingest.models import CircuitState, IngestJob, JobKind, JobState
from market import clock, database
from market.access import may_write

SILENT_AFTER = 30.0
ORDER = {"open": 0, "half_open": 1, "closed": 2}
STEPS = {
    "reset": _("The circuit of {series} is closed: it may try at once."),
    "stop": _("{series} is being stopped."),
    "restart": _("{series} is being started."),
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FeedRow:
    """One line of the page."""

    job: IngestJob
    circuit: dict[str, Any]
    lag: int | None
    now: float

    @property
    def running(self) -> int:
        """1 while a worker follows the feed, else 0."""
        return int(self.job.state != JobState.IDLE)

    @property
    def circuit_label(self) -> str:
        """The state of the circuit in words."""
        return str(CircuitState(self.circuit["state"]).label)

    @property
    def error(self) -> str:
        """What went wrong last."""
        return self.job.last_error or self.circuit["last_error"] or ""

    @property
    def failed_at(self) -> int | None:
        """When it failed last."""
        at = self.circuit["last_failure_at"]
        return None if at is None else int(at)

    @property
    def next_try(self) -> int:
        """Seconds until the next attempt; 0 where nothing has to wait."""
        seconds: float = self.circuit["next_attempt_in_s"]
        return round(seconds)

    @property
    def next_try_at(self) -> datetime:
        """The time of the next attempt."""
        return datetime.fromtimestamp(self.now + self.next_try, UTC)


def feeds(request: HttpRequest) -> HttpResponse:
    """Show the feeds, open circuits first; with `?stopped=1` those that nobody follows, too.

    `series_id` leaves one feed, whatever it does.
    """
    return _page(request, request.GET.get("series_id", ""))


@require_POST
def steer(request: HttpRequest) -> HttpResponse:
    """Reset the circuit of a feed, stop it or start it again; the page says what came of it.

    The query is that of the page, which is shown as it was.
    """
    name, action = request.POST.get("series_id", ""), request.POST.get("action", "")
    if not may_write(request):
        messages.error(request, gettext("Staff only."))
        return _page(request, name, status=403)
    if action not in STEPS or not IngestJob.objects.filter(series_id=name).exists():
        return _page(request, name, status=404)
    if action == "reset":
        Circuits().reset([name], request.user.get_username(), clock.now())
    else:
        IngestJob.objects.filter(series_id=name).update(wanted=action == "restart")
    logger.info("ingest.steered %s %s user_id=%s", action, name, request.user.pk)
    messages.success(request, str(STEPS[action]).format(series=name))
    query = request.GET.copy()
    if action == "stop":
        query["stopped"] = "1"
    return redirect(reverse("ingest", query=query))


def _page(request: HttpRequest, only: str, status: int = 200) -> HttpResponse:
    """Show the feeds that the query asks for, or the one of this name."""
    shows_stopped, now = request.GET.get("stopped") == "1", clock.now()
    with database.reading():
        jobs = list(IngestJob.objects.using(database.alias()).order_by("series_id"))
        circuits = Circuits().snapshots([job.series_id for job in jobs], now)
    shown = [job for job in jobs if _is_wanted(job, only, shows_stopped=shows_stopped)]
    rows = [FeedRow(job, circuits[job.series_id], job.lag(now), now) for job in shown]
    rows.sort(key=lambda row: (ORDER[row.circuit["state"]], row.job.series_id))
    followed = [job for job in jobs if job.state != JobState.IDLE]
    has_role = settings.TRADE_CANVAS_ENABLE_INGEST_ROLE_GUARD
    about = {
        "rows": rows,
        "only": only,
        "shows_stopped": shows_stopped,
        "followed": len(followed),
        "stopped": len(jobs) - len(followed),
        "on_demand": sum(job.kind == JobKind.ONDEMAND for job in followed),
        "most": settings.TRADE_CANVAS_ONDEMAND_MAX_JOBS,
        "role": settings.TRADE_CANVAS_INGEST_ROLE if has_role else "hybrid",
        "guarded": settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL,
        "silent": _silent(followed),
        "here": reverse("ingest", query=request.GET),
        "may_write": may_write(request),
    }
    return render(request, "ingest.html", about, status=status)


def _is_wanted(job: IngestJob, only: str, *, shows_stopped: bool) -> bool:
    """Say whether a feed is to be shown."""
    if only:
        return job.series_id == only
    return shows_stopped or job.state != JobState.IDLE


def _silent(followed: list[IngestJob]) -> str:
    """Say since when no worker said that it lives; empty where one did, or none should."""
    beats = [job.heartbeat_at for job in followed if job.heartbeat_at is not None]
    if not beats or (timezone.now() - max(beats)).total_seconds() <= SILENT_AFTER:
        return ""
    return gettext("Worker silent since {time} UTC.").format(time=f"{max(beats):%Y-%m-%d %H:%M:%S}")
