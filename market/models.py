"""The table of closed candles. Hot paths read and write it through `selectors` and `store`."""

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
