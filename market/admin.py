"""The admin of candles, of who wants them, and of how filling them goes."""

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from market.looking import LookingAdmin, moment
from market.models import BackfillProgress, SeriesDemand, StoredCandle


@admin.register(StoredCandle)
class StoredCandleAdmin(LookingAdmin[StoredCandle]):
    """Closed candles."""

    list_display = ("series_id", "time", "open", "high", "low", "close", "volume", "chart")


@admin.register(SeriesDemand)
class SeriesDemandAdmin(LookingAdmin[SeriesDemand]):
    """How many subscribers each web process has."""

    list_display = ("series_id", "chart", "holder", "count", "expires_at")
    ordering = ("series_id",)
    time_field = "expires_at"


@admin.register(BackfillProgress)
class BackfillProgressAdmin(LookingAdmin[BackfillProgress]):
    """Which windows are wanted, and what is still missing of them."""

    list_display = (
        "series_id",
        "chart",
        "state",
        "reason",
        "window_from",
        "window_to",
        "start_missing_candles",
        "current_missing_candles",
        "requested_at",
        "updated_at",
        "note",
        "error",
    )
    list_filter = ("state", "reason")
    ordering = ("series_id",)
    time_field = "pk"

    @admin.display(description=gettext_lazy("from"))
    def window_from(self, row: BackfillProgress) -> SafeString | None:
        """Return the first candle that is wanted."""
        return moment(row.window_start)

    @admin.display(description=gettext_lazy("to"))
    def window_to(self, row: BackfillProgress) -> SafeString | None:
        """Return the last candle that is wanted."""
        return moment(row.window_end)
