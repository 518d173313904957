"""What is stored of a ledger, in one comparable value, and the ways to bring it about."""

from typing import Any

from django.db import connections

from factors import services
from ingest import pipeline
from ledger.answers import kept
from ledger.invariants import violations
from ledger.models import LedgerHead
from ledger.selectors import ledger_facts
from ledger.verify import TABLES
from market import database, selectors
from market.candles import Candles
from tests.ledger.reading import SERIES

HEADS = ("candle_head", "factor_head", "overlay_head", "dirty_from", "digest", "rules_fingerprint")


class Killed(BaseException):
    """The process ends here."""


class OddCandleError(Exception):
    """What a broken rule raises."""


def failing(*_: Any) -> None:
    """Stand in for a part of a rule that raises."""
    raise OddCandleError("no luck")


def ledger(series_id: str = SERIES) -> list[Any]:
    """Return all that is stored of a series, generation, errors and clock times aside.

    A head row that was only made to be locked says nothing yet.
    """
    begun = LedgerHead.objects.filter(series_id=series_id, candle_head__isnull=False)
    head = begun.values(*HEADS).first()
    candles = selectors.candles_between(series_id, 0, 2**62).rows()
    tables = [database.series_rows(t.name, t.columns, series_id) for t in TABLES]
    return [head, candles, *map(sorted, tables)]


def generation(series_id: str = SERIES) -> int:
    """Return how often the history of a series was altered."""
    return LedgerHead.objects.get(series_id=series_id).generation


def straight(candles: Candles, series_id: str = SERIES) -> list[Any]:
    """Return the ledger of these candles taken at once, as the first of their series."""
    pipeline.run_sync({series_id: candles})
    return ledger(series_id)


def reset() -> None:
    """Forget everything that was stored."""
    for table in ("candles", "ledger_heads", "ledger_jobs", *(t.name for t in TABLES)):
        database.execute(f"DELETE FROM {table}", [])  # noqa: S608 (our names)


def restart() -> None:
    """Forget what a process keeps in memory, its connections too; not inside a transaction."""
    kept.cache_clear()
    services._rules.cache_clear()
    connections.close_all()


def require_invariants(*series_ids: str) -> None:
    """Fail if an invariant does not hold of one of these ledgers."""
    for series_id in series_ids:
        assert violations(ledger_facts(series_id)) == []
