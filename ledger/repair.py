"""Repair what is drawn of a series: refresh, throw the stored drawings away, draw them again."""

import logging
from dataclasses import dataclass

from django.db import DatabaseError, OperationalError

from ledger.advance import OVERLAY_STEP, IngestPipelineError, overlay_redraw
from ledger.alignment import Heads
from ledger.sync import PREPARE_WAIT, LedgerSyncService
from market.debug_events import emit

logger = logging.getLogger(__name__)

RESET_STEP = "overlay.reset_series"


class OverlayRepairError(Exception):
    """A repair that failed; what was there before is kept."""

    code = "read_repair.overlay_repair_failed"

    @property
    def detail(self) -> str:
        """What a client is told."""
        return f"overlay_repair_failed:{self}"


@dataclass(frozen=True, slots=True)
class Repaired:
    """A ledger whose drawings were made again up to its factor head."""

    requested_time: int
    aligned_time: int
    heads: Heads
    steps: list[str]


class ReadRepairService:
    """The only thing that mends drawings which fail their check."""

    def __init__(self, sync: LedgerSyncService | None = None) -> None:
        self.sync = sync or LedgerSyncService(PREPARE_WAIT)

    def repair_overlay(self, *, series_id: str, to_time: int | None = None) -> Repaired:
        """Draw a series again from its events, up to its factor head whatever the time.

        The generation rises if a drawing came out differently. Raises `NoDataError`,
        `OutOfSyncError` or `OverlayRepairError`.
        """
        point = self.sync.resolve_aligned_point(series_id, to_time, "read_repair.no_data")
        try:
            done = self.sync.refresh(series_id, point.aligned_time)
            overlay_redraw(series_id, wait=self.sync.wait)
        except OperationalError:
            logger.warning("ledger.busy %s", series_id)
            self._require(series_id, point.aligned_time)
            raise
        except IngestPipelineError as error:
            raise OverlayRepairError(str(error.cause)) from error
        except DatabaseError as error:
            raise OverlayRepairError(str(error)) from error
        heads = self._require(series_id, point.aligned_time)
        steps = [*done.step_names, RESET_STEP, OVERLAY_STEP]
        about = {
            "requested_time": point.requested_time,
            "aligned_time": point.aligned_time,
            "steps": steps,
            "factor_head_time": heads.factor,
            "overlay_head_time": heads.overlay,
        }
        logger.info("overlay.repaired %s up to %s", series_id, heads.overlay)
        emit("read.http.overlay_repair", "read", series_id, data=about)
        return Repaired(point.requested_time, point.aligned_time, heads, steps)

    def _require(self, series_id: str, aligned_time: int) -> Heads:
        return self.sync.require_heads_ready(
            series_id,
            aligned_time,
            "read_repair.ledger_out_of_sync.factor",
            "read_repair.ledger_out_of_sync.overlay",
        )
