"""Who works on a series: one worker at a time, by a row with a token and the database's clock.

On SQLite one process follows feeds, held by a file lock beside the database.
Rules: `docs/ingest.md`. Blocking work; the supervisor calls it in threads.
"""

import fcntl
import os
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Self

from django.conf import settings
from django.db.models import F, Q
from django.db.models.functions import Now

from ingest.models import IngestJob
from market import database

LEASE_SECONDS, RENEW_SECONDS, GIVE_UP_SECONDS = 30.0, 10.0, 20.0
FENCE = "SELECT series_id, lease_token, lease_owner FROM ingest_jobs WHERE series_id IN ({})"


class LeaseLostError(Exception):
    """Another worker has these series now; nothing of them may be written."""

    def __init__(self, series_ids: Iterable[str]) -> None:
        self.series_ids = sorted(series_ids)
        super().__init__(f"another worker has {', '.join(self.series_ids)}")


class SupervisorBusyError(Exception):
    """Another process on this SQLite database follows the feeds."""


def free_for(owner: str) -> Q:
    """Return which jobs nobody else works on: without a lease, with one that is over, or ours."""
    is_over = Q(lease_expires_at__isnull=True) | Q(lease_expires_at__lt=Now())
    return is_over | Q(lease_owner__in=["", owner])


def leases_take(series_ids: Iterable[str], owner: str) -> dict[str, int]:
    """Take the free ones of these series; return the token of each that is ours now.

    A series is free if nobody has it, its lease is over, or it is ours already.
    """
    taken = {}
    for series_id in sorted(series_ids):
        rows = IngestJob.objects.filter(free_for(owner), series_id=series_id)
        until = Now() + timedelta(seconds=LEASE_SECONDS)
        if rows.update(lease_owner=owner, lease_token=F("lease_token") + 1, lease_expires_at=until):
            taken[series_id] = IngestJob.objects.get(series_id=series_id).lease_token
    return taken


def leases_renew(tokens: Mapping[str, int], owner: str) -> set[str]:
    """Renew leases by their tokens; return the series whose lease is another's now."""
    held = IngestJob.objects.filter(series_id__in=list(tokens), lease_owner=owner)
    kept = {
        series_id
        for series_id, token in held.values_list("series_id", "lease_token")
        if tokens[series_id] == token
    }
    until = Now() + timedelta(seconds=LEASE_SECONDS)
    held.filter(series_id__in=kept).update(lease_expires_at=until, heartbeat_at=Now())
    return set(tokens) - kept


def leases_release(series_ids: Iterable[str], owner: str) -> None:
    """Give up leases, so that another worker can take them at once."""
    IngestJob.objects.filter(series_id__in=list(series_ids), lease_owner=owner).update(
        lease_owner="", lease_expires_at=None
    )


def leases_inherit() -> None:
    """End the leases of a process that died, where the lock says that there is no other one."""
    if database.vendor() == "sqlite":
        IngestJob.objects.exclude(lease_owner="").update(lease_owner="", lease_expires_at=None)


def leases_require(tokens: Mapping[str, int]) -> None:
    """Raise `LeaseLostError` unless these tokens are the current ones, and keep them so.

    Called in the transaction that writes candles: on PostgreSQL nobody takes the lease before it
    ends.
    """
    if not tokens:
        return
    sql = FENCE.format(", ".join(["%s"] * len(tokens)))
    if database.vendor() == "postgresql":
        sql += " FOR SHARE"
    current = {name: token for name, token, _ in database.rows(sql, list(tokens))}
    if lost := [name for name, token in tokens.items() if current.get(name) != token]:
        raise LeaseLostError(lost)


class SupervisorLock:
    """The one place for a supervisor on a SQLite database; on PostgreSQL there is no such limit."""

    def __init__(self) -> None:
        self._file: int | None = None

    @staticmethod
    def path() -> Path | None:
        """Return the lock file beside the SQLite file, or None where there is none."""
        config = settings.DATABASES["default"]
        if config["ENGINE"] != "django.db.backends.sqlite3":
            return None
        return Path(f"{config['NAME']}.supervisor")

    def take(self) -> Self:
        """Take the place until the process ends or `release`; raise `SupervisorBusyError`."""
        path = self.path()
        if path is None:
            return self
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.release()
            raise SupervisorBusyError(str(path)) from None
        return self

    def release(self) -> None:
        """Leave the place."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
