"""Closed candles, who wants which series, and how filling them goes.

Hot paths read and write candles through `selectors` and `store`.
"""

from django.db import models
from django.utils.translation import gettext_lazy

from market.series import MAX_LENGTH


class StoredCandle(models.Model):
    """One closed candle of one series; `candle_time` is its open time in Unix seconds."""

    series_id = models.CharField(max_length=MAX_LENGTH)
    candle_time = models.BigIntegerField()
    open = models.FloatField()
    high = models.FloatField()
    low = models.FloatField()
    close = models.FloatField()
    volume = models.FloatField()

    class Meta:
        db_table = "candles"
        verbose_name = gettext_lazy("candle")
        verbose_name_plural = gettext_lazy("candles")
        constraints = (
            models.UniqueConstraint(
                fields=["series_id", "candle_time"], name="candles_one_per_time"
            ),
        )

    def __str__(self) -> str:
        return f"{self.series_id}:{self.candle_time}"


class SeriesDemand(models.Model):
    """How many subscribers of a series one web process has, until it expires or is renewed."""

    series_id = models.CharField(max_length=MAX_LENGTH)
    holder = models.CharField(max_length=64, help_text="the process that holds the sockets")
    count = models.IntegerField()
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "series_demand"
        verbose_name = gettext_lazy("demand")
        verbose_name_plural = gettext_lazy("demand")
        constraints = (
            models.UniqueConstraint(fields=["series_id", "holder"], name="demand_once_per_holder"),
        )

    def __str__(self) -> str:
        return f"{self.series_id} x {self.count} of {self.holder}"


class BackfillState(models.TextChoices):
    """How filling the candles of a series goes."""

    IDLE = "idle", gettext_lazy("idle")
    RUNNING = "running", gettext_lazy("running")
    SUCCEEDED = "succeeded", gettext_lazy("succeeded")
    FAILED = "failed", gettext_lazy("failed")


class BackfillProgress(models.Model):
    """One row per series: the window that is wanted, and how far filling one has come.

    `requested_at` and `wanted_*` are set by who wants a window, and `requested_at` is cleared when
    it was served. The rest is written by who fills: its own window, and how far it has come.
    """

    series_id = models.CharField(max_length=MAX_LENGTH, unique=True)
    state = models.CharField(
        max_length=16, choices=BackfillState.choices, default=BackfillState.IDLE
    )
    reason = models.CharField(max_length=64, default="")
    requested_at = models.DateTimeField(null=True)
    wanted_start = models.BigIntegerField(null=True)
    wanted_end = models.BigIntegerField(null=True)
    wanted_reason = models.CharField(max_length=64, default="")
    window_start = models.BigIntegerField(null=True)
    window_end = models.BigIntegerField(null=True)
    started_at = models.DateTimeField(null=True)
    updated_at = models.DateTimeField(null=True)
    start_missing_seconds = models.BigIntegerField(default=0)
    start_missing_candles = models.BigIntegerField(default=0)
    current_missing_seconds = models.BigIntegerField(default=0)
    current_missing_candles = models.BigIntegerField(default=0)
    owner = models.CharField(max_length=64, default="")
    note = models.TextField(default="")
    error = models.TextField(default="")

    class Meta:
        db_table = "backfill_progress"
        verbose_name = gettext_lazy("backfill")
        verbose_name_plural = gettext_lazy("backfills")

    def __str__(self) -> str:
        return f"{self.series_id} {self.state}"
