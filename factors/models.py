"""What factors found: events, append only, and the states from which a run can go on."""

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy


class FactorEvent(models.Model):
    """A fact of one factor, known since `candle_time`; never edited."""

    series_id = models.CharField(max_length=128)
    factor_name = models.CharField(max_length=64)
    candle_time = models.BigIntegerField()
    ordinal = models.BigIntegerField(help_text="of the candle, from the first stored one")
    seq = models.IntegerField(help_text="place among the events of the candle")
    kind = models.CharField(max_length=64)
    event_key = models.TextField()
    payload_json = models.TextField()
    created_at_ms = models.BigIntegerField()

    class Meta:
        db_table = "factor_events"
        verbose_name = gettext_lazy("factor event")
        verbose_name_plural = gettext_lazy("factor events")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["series_id", "factor_name", "event_key"], name="factor_event_once"
            ),
            models.UniqueConstraint(
                fields=["series_id", "candle_time", "seq"], name="factor_event_place"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.series_id} {self.factor_name} {self.event_key}"


class FactorHeadSnapshot(models.Model):
    """The head of one factor after a candle, and the state from which its run goes on.

    Rows exist at every 512th ordinal and for the newest candle.
    """

    series_id = models.CharField(max_length=128)
    factor_name = models.CharField(max_length=64)
    candle_time = models.BigIntegerField()
    seq = models.IntegerField(default=0)
    ordinal = models.BigIntegerField()
    head_json = models.TextField(help_text="null: the factor has no head yet")
    state = models.BinaryField()
    state_version = models.IntegerField()
    digest = models.BinaryField(help_text="of candles and events up to this candle")
    created_at_ms = models.BigIntegerField()

    class Meta:
        db_table = "factor_head_snapshots"
        verbose_name = gettext_lazy("head snapshot")
        verbose_name_plural = gettext_lazy("head snapshots")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["series_id", "candle_time", "factor_name", "seq"],
                name="factor_head_snapshot_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.series_id}:{self.candle_time} {self.factor_name}"
