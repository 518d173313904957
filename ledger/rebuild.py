"""Compute a series again from its first candle; candles are only read.

The whole of it is one transaction: until its commit reads see what was there before, and a crash
leaves that. The generation rises only if the rules are others or something came out differently.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from django.conf import settings

from factors import services
from ledger.advance import Work, heads_lock, works_advance, works_announce
from ledger.alignment import NoDataError
from ledger.selectors import ledger_checksum
from market import database, selectors


class RebuildOffError(Exception):
    """Factors are switched off: there is nothing that could compute a ledger again."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild did: candles read, events found, whether anything is not as it was."""

    candles: int
    events: int
    is_altered: bool
    generation: int


def series_rebuild(series_id: str, progress: Callable[[int], None] = lambda _: None) -> Rebuilt:
    """Compute the ledger of a series again; `progress` hears how many candles were taken.

    Raises `NoDataError` for a series without candles, `IngestPipelineError` if a rule raises: then
    the former ledger stays.
    """
    if not settings.TRADE_CANVAS_ENABLE_FACTOR_INGEST:
        raise RebuildOffError("TRADE_CANVAS_ENABLE_FACTOR_INGEST is 0")
    work, altered = database.retrying(partial(_rebuild, series_id, progress))
    works_announce([work])
    if work.error:
        raise work.error
    assert work.found
    found = work.found.advance
    candles = found.checkpoints[-1].ordinal + 1
    return Rebuilt(candles, len(found.events), altered, work.head.generation)


def _rebuild(series_id: str, progress: Callable[[int], None]) -> tuple[Work, bool]:
    """Rebuild in one transaction; return whether the generation rose."""
    with database.writing():
        heads = heads_lock([series_id])
        head = heads[0]
        head.candle_head = selectors.head_time(series_id)
        if head.candle_head is None:
            raise NoDataError
        same_rules = head.rules_fingerprint == services.current_fingerprint()
        if same_rules:
            works_advance([Work(head)])  # what is only behind would else count as altered
        before, generation = ledger_checksum(series_id), head.generation
        work = Work(head, from_first=True, progress=progress)
        works_advance([work])
        if work.found and same_rules and ledger_checksum(series_id) == before:
            head.generation, work.rebuilt = generation, False
            head.save()
    return work, head.generation != generation
