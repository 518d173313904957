"""What the feeds are doing: one job and one circuit per series, one gate per exchange and market.

Every process reads these rows and shows the same. State changes are log lines, not rows.
"""

from django.db import models
from django.utils.translation import gettext_lazy

from market.closing import expected_closed_time
from market.series import MAX_LENGTH, SeriesId


class CircuitState(models.TextChoices):
    """Whether a series may try: yes, not now, or one probe."""

    CLOSED = "closed", gettext_lazy("closed")
    OPEN = "open", gettext_lazy("open")
    HALF_OPEN = "half_open", gettext_lazy("half open")


class IngestGuardrail(models.Model):
    """The circuit of one series, kept over restarts; every event is one update of `revision`.

    Times are seconds since the epoch, as the guardrail counts them.
    """

    series_id = models.CharField(max_length=MAX_LENGTH, unique=True)
    enabled = models.BooleanField(default=True)
    state = models.CharField(
        max_length=16, choices=CircuitState.choices, default=CircuitState.CLOSED
    )
    failures = models.TextField(default="[]", help_text="JSON: times of failures in the window")
    rotations = models.TextField(default="[]", help_text="JSON: times of closes that are usual")
    consecutive_failures = models.IntegerField(default=0)
    trips = models.IntegerField(default=0, help_text="openings without a success between")
    last_failure_at = models.FloatField(null=True)
    last_error = models.CharField(max_length=2000, default="")
    last_error_kind = models.CharField(max_length=16, default="")
    last_backoff_s = models.FloatField(default=0.0)
    open_until = models.FloatField(null=True)
    next_attempt_at = models.FloatField(null=True)
    probe_owner = models.CharField(max_length=128, default="")
    probe_at = models.FloatField(null=True)
    last_success_at = models.FloatField(null=True)
    revision = models.BigIntegerField(default=0)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "ingest_guardrails"
        verbose_name = gettext_lazy("circuit")
        verbose_name_plural = gettext_lazy("circuits")

    def __str__(self) -> str:
        return f"{self.series_id} {self.state}"


class JobKind(models.TextChoices):
    """Why a series is followed."""

    WHITELIST = "whitelist", gettext_lazy("whitelist")
    ONDEMAND = "ondemand", gettext_lazy("on demand")


class JobState(models.TextChoices):
    """What the job of a series does now."""

    IDLE = "idle", gettext_lazy("idle")
    STARTING = "starting", gettext_lazy("starting")
    BACKFILLING = "backfilling", gettext_lazy("backfilling")
    STREAMING = "streaming", gettext_lazy("streaming")
    WAITING = "waiting", gettext_lazy("waiting")
    OPEN = "open", gettext_lazy("circuit open")
    RATE_LIMITED = "rate_limited", gettext_lazy("rate limited")
    STOPPING = "stopping", gettext_lazy("stopping")


class IngestJob(models.Model):
    """What is wanted of one series, who works on it, and what came last.

    Times without a time zone are seconds since the epoch: `started_at` since a worker has it,
    `connected_at` since it is connected. `refcount` -1 is a whitelisted series.
    """

    series_id = models.CharField(max_length=MAX_LENGTH, unique=True)
    kind = models.CharField(max_length=16, choices=JobKind.choices, default=JobKind.ONDEMAND)
    state = models.CharField(max_length=16, choices=JobState.choices, default=JobState.IDLE)
    source = models.CharField(max_length=32, default="binance_ws")
    wanted = models.BooleanField(default=True, help_text="False: staff stopped it")
    refcount = models.IntegerField(default=0)
    last_zero_at = models.FloatField(null=True)
    started_at = models.FloatField(null=True)
    connected_at = models.FloatField(null=True)
    last_frame_at = models.FloatField(null=True)
    last_closed_time = models.BigIntegerField(null=True)
    last_error = models.CharField(max_length=2000, default="")
    last_error_kind = models.CharField(max_length=16, default="")
    crashes = models.IntegerField(default=0)
    last_crash_at = models.FloatField(null=True)
    gaps = models.TextField(default="[]", help_text="JSON: holes with their state")
    clock_offset_s = models.FloatField(null=True, help_text="the exchange's clock minus ours")
    lease_owner = models.CharField(max_length=128, default="")
    lease_token = models.BigIntegerField(default=0)
    lease_expires_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "ingest_jobs"
        verbose_name = gettext_lazy("job")
        verbose_name_plural = gettext_lazy("jobs")

    def __str__(self) -> str:
        return f"{self.series_id} {self.state}"

    def lag(self, now: float) -> int | None:
        """Return how many candles that should be over have not come; None where none ever did."""
        if self.last_closed_time is None:
            return None
        seconds = SeriesId.parse(self.series_id).seconds
        return max(0, (expected_closed_time(now, seconds) - self.last_closed_time) // seconds)


class ExchangeGate(models.Model):
    """What an exchange still lets us ask, shared by all processes."""

    exchange = models.CharField(max_length=32)
    market = models.CharField(max_length=32)
    blocked_until = models.FloatField(null=True, help_text="seconds since the epoch")
    blocked_at = models.FloatField(null=True, help_text="when that was said")
    blocked_why = models.CharField(max_length=200, default="")
    bans = models.IntegerField(default=0, help_text="how often 418 came without an answer between")
    used_weight_1m = models.IntegerField(default=0)
    used_at = models.FloatField(null=True, help_text="when that was said")
    limit_1m = models.IntegerField(null=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "exchange_gates"
        verbose_name = gettext_lazy("exchange gate")
        verbose_name_plural = gettext_lazy("exchange gates")
        constraints = (
            models.UniqueConstraint(fields=["exchange", "market"], name="gate_once_per_market"),
        )

    def __str__(self) -> str:
        return f"{self.exchange} {self.market}"
