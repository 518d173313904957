"""The only way in for candles: store, compute, announce. One read from top to bottom."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError, transaction

from ledger import advance
from ledger.advance import CANDLE_STEP, SERIES_PER_TRANSACTION, IngestPipelineError, Step, Work
from market import database, selectors
from market.candles import Candles
from market.series import SeriesId
from market.store import candles_upsert

logger = logging.getLogger(__name__)

CANDLES_PER_TRANSACTION = 20_000


@dataclass(slots=True)
class PipelineResult:
    """What a run did: candles that were new or changed per series, rebuilt series, steps."""

    stored: dict[str, int] = field(default_factory=dict)
    rebuilt_series: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    duration_ms: float = 0.0


def run_sync(batches: Mapping[str, Candles], *, publish: bool = True) -> PipelineResult:
    """Take closed candles of any number of series, in any order of time.

    Equal candles are dropped, the last of a time wins. What is written and announced of one series
    does not depend on the others; after all are tried, the first error in text order is raised
    as `IngestPipelineError`. `publish=False` gives no hint: sockets find the candles themselves.
    A bad series id raises `BadSeriesIdError` before anything is written.
    """
    began = time.perf_counter()
    result = PipelineResult()
    errors: list[IngestPipelineError] = []
    for series_id in batches:
        SeriesId.parse(series_id)
    for part in _transactions(batches):
        try:
            works = database.retrying(partial(_take, part))
        except DatabaseError as error:
            logger.exception("pipeline.transaction_failed %s series from %s", len(part), min(part))
            errors.append(IngestPipelineError(CANDLE_STEP, min(part), error))
            continue
        if publish:
            advance.works_announce(works)
        errors += [work.error for work in works if work.error]
        _count(works, result)
    result.duration_ms = (time.perf_counter() - began) * 1000
    advance.raise_first(errors)
    return result


async def run(batches: Mapping[str, Candles], *, publish: bool = True) -> PipelineResult:
    """Do as `run_sync`, from a coroutine."""
    return await sync_to_async(run_sync)(batches, publish=publish)


def _transactions(batches: Mapping[str, Candles]) -> Iterator[dict[str, Candles]]:
    """Cut a run into parts of at most 50 series and 20,000 candles, in text order and in time."""
    part: dict[str, Candles] = {}
    room = CANDLES_PER_TRANSACTION
    for series_id in sorted(batches):
        candles = normalised(batches[series_id])
        while len(candles):
            if not room or len(part) == SERIES_PER_TRANSACTION:
                yield part
                part, room = {}, CANDLES_PER_TRANSACTION
            part[series_id] = candles.take(slice(0, room))
            candles = candles.take(slice(room, None))
            room -= len(part[series_id])
    if part:
        yield part


def normalised(candles: Candles) -> Candles:
    """Return candles ascending in time; of equal times the last one given stays.

    Zeros lose their sign, which SQLite would not keep and PostgreSQL would.
    """
    time, *numbers = candles.columns()
    candles = Candles(time, *(column + 0.0 for column in numbers))
    if np.all(candles.time[1:] > candles.time[:-1]):
        return candles
    order = np.argsort(candles.time, kind="stable")
    time = candles.time[order]
    last_of_time = np.append(time[1:] != time[:-1], np.ones(1, dtype=bool))
    return candles.take(order[last_of_time])


def _take(part: Mapping[str, Candles]) -> list[Work]:
    """Store the candles of these series and advance their ledgers in one transaction."""
    advance.heads_make(part)
    with database.writing():
        works = [Work(head) for head in advance.heads_lock(part)]
        _store_all(works, part)
        advance.works_advance(works)
    return works


def _store_all(works: Sequence[Work], part: Mapping[str, Candles]) -> None:
    """Store what is new in one savepoint; if the database refuses, series by series."""
    try:
        with transaction.atomic():
            for work in works:
                _store(work, part[work.series_id])
    except DatabaseError:
        for work in works:
            _store_alone(work, part[work.series_id])


def _store_alone(work: Work, candles: Candles) -> None:
    work.head.refresh_from_db()
    work.stored, work.changed = None, False
    try:
        with transaction.atomic():
            _store(work, candles)
    except DatabaseError as error:
        work.head.refresh_from_db()
        work.stored = None
        work.fail(CANDLE_STEP, error)


def _store(work: Work, candles: Candles) -> None:
    """Store the candles that are new or different, and note what they make invalid."""
    began = time.perf_counter()
    head = work.head
    first, last = int(candles.time[0]), int(candles.time[-1])
    if head.candle_head is None or first > head.candle_head:
        new = candles
    else:
        new = different(candles, selectors.candles_between(work.series_id, first, last))
    work.stored = new
    if len(new):
        candles_upsert(work.series_id, new)
        oldest, newest, shown = int(new.time[0]), int(new.time[-1]), head.candle_head
        head.candle_head = max(newest, head.candle_head or newest)
        if head.factor_head is not None and oldest <= head.factor_head:
            head.dirty_from = min(oldest, head.dirty_from or oldest)
        if shown is not None and oldest <= shown and not settings.TRADE_CANVAS_ENABLE_FACTOR_INGEST:
            work.head.generation += 1  # a recompute, which would announce it, does not follow
            work.rebuilt = True
        work.changed = True
    ms = (time.perf_counter() - began) * 1000
    work.steps.append(Step(f"{CANDLE_STEP}:{work.series_id}", ok=True, duration_ms=ms))


def different(candles: Candles, stored: Candles) -> Candles:
    """Return those of `candles` that are not stored with exactly the same numbers."""
    if not len(stored):
        return candles
    place = np.minimum(np.searchsorted(stored.time, candles.time), len(stored) - 1)
    pairs = zip(candles.columns(), stored.columns(), strict=True)
    same = np.logical_and.reduce([mine == theirs[place] for mine, theirs in pairs])
    return candles.take(~same)


def _count(works: Sequence[Work], result: PipelineResult) -> None:
    """Add what a transaction did to the result."""
    for work in works:
        stored = 0 if work.stored is None else len(work.stored)
        result.stored[work.series_id] = result.stored.get(work.series_id, 0) + stored
        result.steps += work.steps
        if work.rebuilt and work.series_id not in result.rebuilt_series:
            result.rebuilt_series.append(work.series_id)
