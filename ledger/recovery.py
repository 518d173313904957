"""The recovery sweep: bring ledgers up to date that a crash or a failing rule left behind."""

import logging

from django.db import DatabaseError

from ledger.advance import IngestPipelineError
from ledger.selectors import series_behind
from ledger.sync import LedgerSyncService

logger = logging.getLogger(__name__)

FAR_FUTURE = 2**62


def recover() -> list[str]:
    """Refresh every series that is behind its candles; return those that still are.

    A series that fails keeps its error in its head row and does not stop the others.
    """
    failed, sync = [], LedgerSyncService()
    for series_id in series_behind():
        try:
            sync.refresh(series_id, FAR_FUTURE)
        except (IngestPipelineError, DatabaseError) as error:
            logger.warning("ledger.recovery_failed %s %s", series_id, error)
            failed.append(series_id)
    return failed
