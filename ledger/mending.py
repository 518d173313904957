"""What people may have done to one ledger from its page, and what can go wrong with it."""

from collections.abc import Callable

from django.db import DatabaseError
from django.utils.translation import gettext

from ledger.advance import IngestPipelineError
from ledger.alignment import LedgerError
from ledger.rebuild import RebuildOffError
from ledger.recovery import FAR_FUTURE
from ledger.repair import OverlayRepairError, ReadRepairService
from ledger.sync import PREPARE_WAIT, LedgerSyncService

MENDING_ERRORS = (
    IngestPipelineError,
    LedgerError,
    OverlayRepairError,
    RebuildOffError,
    DatabaseError,
)


def sync(series_id: str) -> str:
    """Compute what a ledger lacks; return what came of it in words."""
    LedgerSyncService(PREPARE_WAIT).refresh(series_id, FAR_FUTURE)
    return gettext("The ledger is up to date.")


def repair(series_id: str) -> str:
    """Draw a ledger again from its events; return what came of it in words."""
    ReadRepairService().repair_overlay(series_id=series_id)
    return gettext("The ledger was drawn again from its events.")


MENDS: dict[str, Callable[[str], str]] = {"sync": sync, "repair": repair}
