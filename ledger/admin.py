"""The admin of ledger heads and stored instructions: for looking, and to have them mended."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy

from ledger.health import behind, candles
from ledger.mending import MENDING_ERRORS
from ledger.models import LedgerHead, LedgerJob, OverlayInstructionVersion
from ledger.rebuild import series_rebuild
from ledger.recovery import FAR_FUTURE
from ledger.repair import ReadRepairService
from ledger.selectors import heads_in
from ledger.standing import Status, standings
from ledger.sync import LedgerSyncService
from market.looking import LookingAdmin, chart_link, moment, pretty
from market.series import SeriesId, timeframe_seconds


class StatusFilter(admin.SimpleListFilter):
    """Ledgers by how they are, as the page /ledger says it."""

    title = gettext_lazy("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return how a ledger can be, the worst first."""
        return list(Status.choices)

    def queryset(self, request: HttpRequest, heads: QuerySet[LedgerHead]) -> QuerySet[LedgerHead]:
        """Return the heads of the ledgers that are so."""
        if self.value() not in Status.values:
            return heads
        chosen = [each.series_id for each in standings() if each.status == self.value()]
        return heads.filter(series_id__in=chosen)


class TimeframeFilter(admin.SimpleListFilter):
    """Ledgers by the timeframe of their series."""

    title = gettext_lazy("timeframe")
    parameter_name = "timeframe"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the timeframes that are here, the shortest first."""
        names = LedgerHead.objects.values_list("series_id", flat=True)
        found = {SeriesId.parse(name).timeframe for name in names}
        return [(each, each) for each in sorted(found, key=timeframe_seconds)]

    def queryset(self, request: HttpRequest, heads: QuerySet[LedgerHead]) -> QuerySet[LedgerHead]:
        """Return the heads of series of the chosen timeframe."""
        chosen = self.value()
        return heads.filter(series_id__endswith=f":{chosen}") if chosen else heads


@admin.register(LedgerHead)
class LedgerHeadAdmin(LookingAdmin[LedgerHead]):
    """How far each ledger has come, how far it is behind, and why."""

    list_display = (
        "series_id",
        "to_chart",
        "candles_to",
        "factors_to",
        "drawn_to",
        "lag",
        "recompute_from",
        "generation",
        "rules",
        "history",
        "error",
        "last_refresh_at",
    )
    list_filter = (StatusFilter, TimeframeFilter)
    ordering = ("series_id",)
    time_field = "pk"
    actions = ("refresh", "repair_overlay", "rebuild")

    def has_mend_permission(self, request: HttpRequest) -> bool:
        """Say who may let a ledger be computed again; nobody may edit one."""
        return request.user.has_perm("ledger.change_ledgerhead")

    @admin.action(description=gettext_lazy("Bring up to date"), permissions=("mend",))
    def refresh(self, request: HttpRequest, heads: QuerySet[LedgerHead]) -> None:
        """Compute what the chosen ledgers lack."""
        self._mend(request, heads, lambda name: LedgerSyncService().refresh(name, FAR_FUTURE))

    @admin.action(description=gettext_lazy("Draw again"), permissions=("mend",))
    def repair_overlay(self, request: HttpRequest, heads: QuerySet[LedgerHead]) -> None:
        """Draw the chosen ledgers again from their events."""
        service = ReadRepairService()
        self._mend(request, heads, lambda name: service.repair_overlay(series_id=name))

    @admin.action(description=gettext_lazy("Compute again"), permissions=("mend",))
    def rebuild(self, request: HttpRequest, heads: QuerySet[LedgerHead]) -> None:
        """Compute the chosen ledgers again from their first candle."""
        self._mend(request, heads, series_rebuild)

    def _mend(
        self,
        request: HttpRequest,
        heads: QuerySet[LedgerHead],
        work: Callable[[str], object],
    ) -> None:
        """Do the work series by series; say how each came out, and keep who asked for it."""
        for head in heads:
            try:
                done = work(head.series_id)
            except MENDING_ERRORS as error:
                said = f"{gettext('failed')}: {head.series_id}: {error}"
                self.message_user(request, said, messages.ERROR)
                continue
            self.log_change(request, head, str(done))
            self.message_user(request, f"{gettext('done')}: {head.series_id}")

    @admin.display(description=gettext_lazy("candle head"))
    def candles_to(self, head: LedgerHead) -> SafeString | None:
        """Return the time of the newest candle."""
        return moment(head.candle_head)

    @admin.display(description=gettext_lazy("factor head"))
    def factors_to(self, head: LedgerHead) -> SafeString | None:
        """Return up to when the factors have come."""
        return moment(head.factor_head)

    @admin.display(description=gettext_lazy("overlay head"))
    def drawn_to(self, head: LedgerHead) -> SafeString | None:
        """Return up to when it is drawn."""
        return moment(head.overlay_head)

    @admin.display(description=gettext_lazy("dirty from"))
    def recompute_from(self, head: LedgerHead) -> SafeString | None:
        """Return from when everything is to be computed again."""
        return moment(head.dirty_from)

    @admin.display(description=gettext_lazy("lag in candles"))
    def lag(self, head: LedgerHead) -> int | None:
        """Return by how many candles the slower of factors and drawings is behind."""
        return candles(behind(heads_in(head)), SeriesId.parse(head.series_id).seconds)

    @admin.display(description=gettext_lazy("rules"))
    def rules(self, head: LedgerHead) -> str:
        """Return the first part of the rules' fingerprint."""
        return head.rules_fingerprint[:8]

    @admin.display(description=gettext_lazy("digest"))
    def history(self, head: LedgerHead) -> str:
        """Return the first part of the digest of all candles and events; the page has all of it."""
        return head.digest[:8]

    @admin.display(description=gettext_lazy("last error"))
    def error(self, head: LedgerHead) -> str:
        """Return where and why the last run stopped, if it did."""
        return f"{head.last_error_step}: {head.last_error}" if head.last_error else ""

    @admin.display(description=gettext_lazy("chart"))
    def to_chart(self, head: LedgerHead) -> SafeString:
        """Return a link to the chart of the series."""
        return chart_link(head.series_id)


@admin.register(LedgerJob)
class LedgerJobAdmin(LookingAdmin[LedgerJob]):
    """Rebuilds and other long work, the newest first."""

    list_display = ("kind", "series_id", "to_chart", "state", "note", "created_at", "updated_at")
    list_filter = ("kind", "state")
    time_field = "pk"

    @admin.display(description=gettext_lazy("chart"))
    def to_chart(self, job: LedgerJob) -> SafeString:
        """Return a link to the chart of the series."""
        return chart_link(job.series_id)


@admin.register(OverlayInstructionVersion)
class OverlayInstructionVersionAdmin(LookingAdmin[OverlayInstructionVersion]):
    """What was drawn for ever."""

    list_display = ("series_id", "time", "instruction_id", "kind", "ordinal", "chart")
    list_filter = ("kind",)
    time_field = "visible_time"
    fields = ("series_id", "instruction_id", "kind", "visible_time", "ordinal", "definition")
    readonly_fields = ("definition",)

    @admin.display(description=gettext_lazy("definition"))
    def definition(self, row: OverlayInstructionVersion) -> SafeString:
        """Return the definition, indented."""
        return pretty(row.def_json)
