"""How far each series' ledger has come, and what was drawn for ever."""

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy


class LedgerHead(models.Model):
    """One row per series: its heads, and the lock of every writer of the series."""

    series_id = models.CharField(max_length=128, unique=True)
    candle_head = models.BigIntegerField(null=True)
    factor_head = models.BigIntegerField(null=True)
    overlay_head = models.BigIntegerField(null=True)
    dirty_from = models.BigIntegerField(
        null=True, help_text="everything from this candle on is to be computed again"
    )
    generation = models.BigIntegerField(
        default=0, help_text="how often history that a read could have shown was recomputed"
    )
    digest = models.CharField(max_length=64, default="")
    rules_fingerprint = models.CharField(max_length=64, default="")
    last_error = models.TextField(default="")
    last_error_step = models.CharField(max_length=64, default="")
    last_error_at = models.DateTimeField(null=True)
    last_refresh_at = models.DateTimeField(null=True)
    last_duration_ms = models.FloatField(null=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "ledger_heads"
        verbose_name = gettext_lazy("ledger head")
        verbose_name_plural = gettext_lazy("ledger heads")

    def __str__(self) -> str:
        return self.series_id


class JobState(models.TextChoices):
    """How far a job is."""

    WAITING = "waiting", gettext_lazy("waiting")
    RUNNING = "running", gettext_lazy("running")
    DONE = "done", gettext_lazy("done")
    FAILED = "failed", gettext_lazy("failed")
    GIVEN_UP = "given_up", gettext_lazy("given up")


class LedgerJob(models.Model):
    """Long work on one series, such as a rebuild; at most one of a kind is unfinished."""

    kind = models.CharField(max_length=32)
    series_id = models.CharField(max_length=128)
    run = models.CharField(max_length=32, default="", help_text="what was begun together")
    purpose = models.CharField(
        max_length=64, default="", help_text="what a run must share to go on"
    )
    state = models.CharField(max_length=16, choices=JobState, default=JobState.WAITING)
    note = models.TextField(default="", help_text="what it did, or why it failed")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "ledger_jobs"
        verbose_name = gettext_lazy("ledger job")
        verbose_name_plural = gettext_lazy("ledger jobs")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["kind", "series_id"],
                condition=models.Q(state__in=["waiting", "running"]),
                name="ledger_job_one_unfinished",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.series_id} {self.state}"


class OverlayInstructionVersion(models.Model):
    """Something drawn for ever: pivots, dead zhongshu, anchor switches."""

    series_id = models.CharField(max_length=128)
    instruction_id = models.TextField()
    kind = models.CharField(max_length=16)
    visible_time = models.BigIntegerField()
    ordinal = models.BigIntegerField(help_text="of the candle that made it visible")
    seq = models.IntegerField(help_text="place among the instructions of that candle")
    def_json = models.TextField()
    created_at_ms = models.BigIntegerField()

    class Meta:
        db_table = "overlay_instruction_versions"
        verbose_name = gettext_lazy("instruction version")
        verbose_name_plural = gettext_lazy("instruction versions")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["series_id", "instruction_id", "ordinal"], name="overlay_instruction_once"
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["series_id", "visible_time"], name="overlay_by_visible_time")
        ]

    def __str__(self) -> str:
        return f"{self.series_id} {self.instruction_id}"
