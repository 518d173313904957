"""The admin of candles."""

from django.contrib import admin

from market.looking import LookingAdmin
from market.models import StoredCandle


@admin.register(StoredCandle)
class StoredCandleAdmin(LookingAdmin[StoredCandle]):
    """Closed candles."""

    list_display = ("series_id", "time", "open", "high", "low", "close", "volume", "chart")
