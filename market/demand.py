"""Which series the sockets of each web process want: rows that expire unless they are renewed.

Whoever follows feeds reads them; a process that dies counts no more after `TTL`. All times are the
database's. Whether one more series may be followed is decided here, from these rows alone, in the
transaction that writes the new one: so no two processes take the last place.
"""

from collections.abc import Mapping
from datetime import timedelta

from django.conf import settings
from django.db import connections
from django.db.models import Sum
from django.db.models.functions import Now

from market import database
from market.models import SeriesDemand
from market.whitelist import whitelist_current

TTL = timedelta(seconds=60)
# One number for this lock in the whole database; PostgreSQL asks for it, and knows no name.
LOCK = 0x7263_6465


def demand_write(holder: str, counts: Mapping[str, int]) -> frozenset[str]:
    """Let a holder have so many subscribers of each series; return those that were refused.

    A count of 0 ends the demand. A series that the holder already has is never refused; a new one
    is where TRADE_CANVAS_ONDEMAND_MAX_JOBS others that are not whitelisted are in demand.
    """
    with database.writing():
        _lock()
        SeriesDemand.objects.filter(expires_at__lte=Now()).delete()
        refused = _too_many(holder, [name for name, count in counts.items() if count > 0])
        gone = [name for name, count in counts.items() if count <= 0]
        SeriesDemand.objects.filter(holder=holder, series_id__in=gone).delete()
        rows = [
            SeriesDemand(series_id=name, holder=holder, count=count, expires_at=Now() + TTL)
            for name, count in sorted(counts.items())
            if count > 0 and name not in refused
        ]
        SeriesDemand.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["series_id", "holder"],
            update_fields=["count", "expires_at"],
        )
    return refused


def demand_end(holder: str) -> None:
    """Forget all that a holder wants."""
    with database.writing():
        _lock()
        SeriesDemand.objects.filter(holder=holder).delete()


def demand_counts() -> dict[str, int]:
    """Return how many subscribers each series has now, over all processes."""
    alive = SeriesDemand.objects.using(database.alias()).filter(expires_at__gt=Now())
    counted = alive.values("series_id").annotate(subscribers=Sum("count"))
    return dict(counted.values_list("series_id", "subscribers"))


def _too_many(holder: str, wanted: list[str]) -> frozenset[str]:
    """Return the wanted series for which there is no place."""
    most, whitelisted = settings.TRADE_CANVAS_ONDEMAND_MAX_JOBS, _whitelisted()
    if not most:
        return frozenset()
    pairs = set(SeriesDemand.objects.values_list("series_id", "holder"))  # the expired are gone
    followed = {name for name, _ in pairs} - whitelisted
    refused = set()
    for name in wanted:
        if name in whitelisted or (name, holder) in pairs:
            continue
        if len(followed - {name}) >= most:
            refused.add(name)
        else:
            followed.add(name)
    return frozenset(refused)


def _whitelisted() -> frozenset[str]:
    """Return the series that are followed for ever, whoever wants them."""
    if not settings.TRADE_CANVAS_ENABLE_WHITELIST_INGEST:
        return frozenset()
    return frozenset(whitelist_current(settings.TRADE_CANVAS_WHITELIST_PATH))


def _lock() -> None:
    """Let one process decide at a time; on SQLite the transaction itself is the lock."""
    if connections[database.WRITER].vendor == "postgresql":
        database.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
