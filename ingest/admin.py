"""The admin of feeds: how each job, circuit and gate is, and what staff may do about a job."""

from collections.abc import Collection, Iterable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy

from ingest.circuits import Circuits
from ingest.models import CircuitState, ExchangeGate, IngestGuardrail, IngestJob
from market import clock
from market.looking import LookingAdmin, moment, pretty


def at(seconds: float | None) -> SafeString | None:
    """Return a time in seconds since the epoch, for people."""
    return None if seconds is None else moment(int(seconds))


def left(seconds: float) -> int | None:
    """Return whole seconds that are left, or None."""
    return round(seconds) or None


class CircuitFilter(admin.SimpleListFilter):
    """Jobs by the state of their circuit; one without a row has a closed one."""

    title = gettext_lazy("circuit")
    parameter_name = "circuit"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the states."""
        return list(CircuitState.choices)

    def queryset(self, request: HttpRequest, jobs: QuerySet[IngestJob]) -> QuerySet[IngestJob]:
        """Return the jobs in the chosen state."""
        if self.value() not in CircuitState.values:
            return jobs
        if self.value() == CircuitState.CLOSED:
            others = IngestGuardrail.objects.exclude(state=CircuitState.CLOSED)
            return jobs.exclude(series_id__in=others.values("series_id"))
        chosen = IngestGuardrail.objects.filter(state=self.value())
        return jobs.filter(series_id__in=chosen.values("series_id"))


@admin.register(IngestJob)
class IngestJobAdmin(LookingAdmin[IngestJob]):
    """What each feed does, how far it is behind, and when it tries again."""

    list_display = (
        "series_id",
        "chart",
        "kind",
        "state",
        "wanted",
        "circuit",
        "next_attempt",
        "lag",
        "closed_to",
        "frame_at",
        "error",
        "refcount",
        "lease_owner",
    )
    list_filter = ("state", CircuitFilter, "kind", "wanted")
    ordering = ("series_id",)
    time_field = "pk"
    actions = ("stop", "restart", "reset_circuit", "hold_circuit")
    exclude = ("gaps",)
    readonly_fields = ("holes",)

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Put the circuits of the page beside its jobs, by one query."""
        page = super().get_changelist_instance(request)
        jobs = list(page.result_list)
        circuits = Circuits().snapshots([job.series_id for job in jobs], clock.now())
        for job in jobs:
            vars(job)["circuit_now"] = circuits[job.series_id]
        page.result_list = jobs
        return page

    def has_steer_permission(self, request: HttpRequest) -> bool:
        """Say who may stop and start feeds and set circuits; nobody may edit a row."""
        return request.user.has_perm("ingest.change_ingestjob")

    @admin.action(description=gettext_lazy("Stop"), permissions=("steer",))
    def stop(self, request: HttpRequest, jobs: QuerySet[IngestJob]) -> None:
        """Have the chosen feeds stopped; the supervisor looks at what is wanted."""
        self._want(request, jobs, wanted=False)

    @admin.action(description=gettext_lazy("Restart"), permissions=("steer",))
    def restart(self, request: HttpRequest, jobs: QuerySet[IngestJob]) -> None:
        """Have the chosen feeds started again."""
        self._want(request, jobs, wanted=True)

    @admin.action(description=gettext_lazy("Reset circuit"), permissions=("steer",))
    def reset_circuit(self, request: HttpRequest, jobs: QuerySet[IngestJob]) -> None:
        """Close the circuits of the chosen feeds: they may try at once."""
        names, user = [job.series_id for job in jobs], request.user.get_username()
        Circuits().reset(names, user, clock.now())
        self._tell(request, jobs, "reset circuit", names)

    @admin.action(description=gettext_lazy("Hold circuit"), permissions=("steer",))
    def hold_circuit(self, request: HttpRequest, jobs: QuerySet[IngestJob]) -> None:
        """Keep the circuits of the chosen feeds open until they are reset."""
        names, user = [job.series_id for job in jobs], request.user.get_username()
        held = Circuits().hold(names, user, clock.now())
        self._tell(request, jobs, "hold circuit", held)

    def _want(self, request: HttpRequest, jobs: QuerySet[IngestJob], *, wanted: bool) -> None:
        chosen = list(jobs)  # a list that is filtered by `wanted` loses them
        IngestJob.objects.filter(pk__in=[job.pk for job in chosen]).update(wanted=wanted)
        names = [job.series_id for job in chosen]
        self._tell(request, chosen, "restart" if wanted else "stop", names)

    def _tell(
        self, request: HttpRequest, jobs: Iterable[IngestJob], what: str, done: Collection[str]
    ) -> None:
        """Say how it came out for each feed, and keep who asked for it."""
        why = gettext("circuits are switched off")
        for job in jobs:
            if job.series_id not in done:
                said = f"{gettext('failed')}: {job.series_id}: {why}"
                self.message_user(request, said, messages.ERROR)
                continue
            self.log_change(request, job, what)
            self.message_user(request, f"{gettext('done')}: {job.series_id}")

    @admin.display(description=gettext_lazy("circuit"))
    def circuit(self, job: IngestJob) -> str:
        """Return the state of the circuit, and what opened it."""
        now = circuit_now(job)
        state = str(CircuitState(now["state"]).label)
        return f"{state} ({now['last_error_kind']})" if now["state"] != "closed" else state

    @admin.display(description=gettext_lazy("next attempt in s"))
    def next_attempt(self, job: IngestJob) -> int | None:
        """Return the seconds until the feed may try again, if it has to wait."""
        return left(circuit_now(job)["next_attempt_in_s"])

    @admin.display(description=gettext_lazy("lag in candles"))
    def lag(self, job: IngestJob) -> int | None:
        """Return how many candles that should be over have not come."""
        return job.lag(clock.now())

    @admin.display(description=gettext_lazy("last candle"))
    def closed_to(self, job: IngestJob) -> SafeString | None:
        """Return the time of the newest closed candle."""
        return at(job.last_closed_time)

    @admin.display(description=gettext_lazy("last frame"))
    def frame_at(self, job: IngestJob) -> SafeString | None:
        """Return when the feed last said anything."""
        return at(job.last_frame_at)

    @admin.display(description=gettext_lazy("last error"))
    def error(self, job: IngestJob) -> str:
        """Return what went wrong last."""
        return job.last_error or circuit_now(job)["last_error"] or ""

    @admin.display(description=gettext_lazy("holes"))
    def holes(self, job: IngestJob) -> SafeString:
        """Return the holes that are known, indented."""
        return pretty(job.gaps)


@admin.register(IngestGuardrail)
class IngestGuardrailAdmin(LookingAdmin[IngestGuardrail]):
    """The circuit of each series; its job has the actions."""

    list_display = (
        "series_id",
        "chart",
        "enabled",
        "state",
        "next_attempt",
        "consecutive_failures",
        "trips",
        "error",
        "failed_at",
        "succeeded_at",
        "probe_owner",
    )
    list_filter = ("state", "enabled", "last_error_kind")
    ordering = ("series_id",)
    time_field = "pk"

    @admin.display(description=gettext_lazy("next attempt in s"))
    def next_attempt(self, row: IngestGuardrail) -> int | None:
        """Return the seconds until the series may try again, if it has to wait."""
        now = clock.now()
        return left(Circuits().guardrail_of(row, now).peek(now=now))

    @admin.display(description=gettext_lazy("last error"))
    def error(self, row: IngestGuardrail) -> str:
        """Return what went wrong last, and what kind of failure it was."""
        return f"{row.last_error_kind}: {row.last_error}" if row.last_error else ""

    @admin.display(description=gettext_lazy("last failure"))
    def failed_at(self, row: IngestGuardrail) -> SafeString | None:
        """Return when it failed last."""
        return at(row.last_failure_at)

    @admin.display(description=gettext_lazy("last success"))
    def succeeded_at(self, row: IngestGuardrail) -> SafeString | None:
        """Return when it worked last."""
        return at(row.last_success_at)


@admin.register(ExchangeGate)
class ExchangeGateAdmin(LookingAdmin[ExchangeGate]):
    """What each exchange still lets us ask."""

    list_display = (
        "exchange",
        "market",
        "closed_for",
        "blocked_why",
        "bans",
        "used_weight_1m",
        "limit_1m",
        "updated_at",
    )
    ordering = ("exchange",)
    time_field = "pk"

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Return none: a gate has no series."""
        return ()

    @admin.display(description=gettext_lazy("closed for s"))
    def closed_for(self, gate: ExchangeGate) -> int | None:
        """Return the seconds until it may be asked again, if it has to wait."""
        return left(max(0.0, (gate.blocked_until or 0.0) - clock.now()))


def circuit_now(job: IngestJob) -> dict[str, Any]:
    """Return the snapshot that the list put beside a job."""
    found: dict[str, Any] = vars(job)["circuit_now"]
    return found
