"""The admin of events and head snapshots: for looking."""

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from factors.models import FactorEvent, FactorHeadSnapshot
from market.looking import LookingAdmin, pretty


@admin.register(FactorEvent)
class FactorEventAdmin(LookingAdmin[FactorEvent]):
    """Events as they became known."""

    list_display = ("series_id", "time", "kind", "event_key", "ordinal", "chart")
    list_filter = ("factor_name",)
    fields = ("series_id", "factor_name", "candle_time", "ordinal", "kind", "event_key", "payload")
    readonly_fields = ("payload",)

    @admin.display(description=gettext_lazy("payload"))
    def payload(self, event: FactorEvent) -> SafeString:
        """Return the payload, indented."""
        return pretty(event.payload_json)


@admin.register(FactorHeadSnapshot)
class FactorHeadSnapshotAdmin(LookingAdmin[FactorHeadSnapshot]):
    """Heads and checkpoints of the factors."""

    list_display = ("series_id", "time", "factor_name", "ordinal", "chart")
    list_filter = ("factor_name",)
    fields = ("series_id", "factor_name", "candle_time", "ordinal", "state_version", "head")
    readonly_fields = ("head",)

    @admin.display(description=gettext_lazy("head"))
    def head(self, snapshot: FactorHeadSnapshot) -> SafeString:
        """Return the head, indented."""
        return pretty(snapshot.head_json)
