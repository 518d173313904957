"""The only way in for candles: store, compute, announce. One read from top to bottom.

Where derived timeframes are on, a run that writes candles of a base series makes those of the
series derived from it in the same transaction, from what is stored: a base series and those derived
from it are a family. A bucket whose base candles are not all stored has no candle; the last of them
brings it, however late, and a correction corrects it. Candles of a derived series may also be taken
in directly, as those of any series: within a run what is made from the base wins, otherwise the
later value, and nothing is made again before a base candle of its bucket is new or changed.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError, transaction

from ledger import advance
from ledger.advance import CANDLE_STEP, SERIES_PER_TRANSACTION, IngestPipelineError, Step, Work
from market import database, derived, selectors
from market.candles import Candles
from market.rollup import Times
from market.series import SeriesId
from market.store import candles_upsert

logger = logging.getLogger(__name__)

CANDLES_PER_TRANSACTION = 20_000
Fence = Callable[[], None]


@dataclass(slots=True)
class PipelineResult:
    """What a run did: candles that were new or changed per series, rebuilt series, steps."""

    stored: dict[str, int] = field(default_factory=dict)
    rebuilt_series: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    duration_ms: float = 0.0


def run_sync(
    batches: Mapping[str, Candles], *, publish: bool = True, fence: Fence | None = None
) -> PipelineResult:
    """Take closed candles of any number of series, in any order of time.

    Equal candles are dropped, the last of a time wins. What is written and announced of one series
    does not depend on the others, but for derived ones; after all are tried, the first error in
    text order is raised as `IngestPipelineError`. A rule that fails on a derived series whose
    candles the run made itself is not raised: its head row has the error, and the recovery sweep
    tries again. `publish=False` gives no hint: sockets find the candles themselves. A bad series
    id raises `BadSeriesIdError` before anything is written. `fence` is called in each transaction
    before it writes; what it raises ends the run.
    """
    errors: dict[str, IngestPipelineError] = {}
    result = run_each(batches, errors, publish=publish, fence=fence)
    advance.raise_first(list(errors.values()))
    return result


def run_each(
    batches: Mapping[str, Candles],
    errors: dict[str, IngestPipelineError],
    *,
    publish: bool = True,
    fence: Fence | None = None,
) -> PipelineResult:
    """Do as `run_sync`, but put the error of each series into `errors` instead of raising one."""
    began = time.perf_counter()
    result = PipelineResult()
    for series_id in batches:
        SeriesId.parse(series_id)
    for part in _transactions(batches):
        try:
            works = advance.written(partial(_take, part, fence))
        except DatabaseError as error:
            logger.exception("pipeline.transaction_failed %s series from %s", len(part), min(part))
            errors |= {name: IngestPipelineError(CANDLE_STEP, name, error) for name in part}
            continue
        if publish:
            advance.works_announce(works)
        errors |= {w.series_id: w.error for w in works if w.error and w.series_id in part}
        _count(works, result)
    result.duration_ms = (time.perf_counter() - began) * 1000
    return result


async def run(batches: Mapping[str, Candles], *, publish: bool = True) -> PipelineResult:
    """Do as `run_sync`, from a coroutine."""
    return await sync_to_async(run_sync)(batches, publish=publish)


def derive_sync(
    base: str, times: Times, among: Collection[str], *, wait: float = database.WRITE_WAIT
) -> None:
    """Make candles of these derived series from what is stored of their base at these times.

    Only those later than the newest that a series has, so that its history stays as it was shown.
    A rule that fails is found in the head row. `OperationalError` is raised if no turn to write
    comes within `wait` seconds.
    """
    works = advance.written(partial(_derive, base, times, among, wait))
    advance.works_announce(works)


def _derive(
    base: str, times: Times, among: Collection[str], wait: float, at_once: bool
) -> list[Work]:
    """Store what these derived series lack and advance their ledgers in one transaction."""
    names = {base, *among}
    advance.heads_make(names)
    with database.writing(wait, pipelined=at_once):
        works = {head.series_id: Work(head, base) for head in advance.heads_lock(names)}
        newest = works.pop(base).head.candle_head
        opens = {} if newest is None else derived.touched_by(base, times, newest)
        lacking = {
            name: _later(opens[name], work.head.candle_head)
            for name, work in works.items()
            if name in opens
        }
        with advance.refusing() if at_once else nullcontext():
            made = derived.made_from(base, lacking)
            _store([(works[name], candles) for name, candles in made.items()])
            done = [work for work in works.values() if work.stored is not None]
            advance.works_advance(done, at_once=at_once)
    return done


def _later(times: Times, than: int | None) -> Times:
    return times if than is None else times[times > than]


def _transactions(batches: Mapping[str, Candles]) -> Iterator[dict[str, Candles]]:
    """Cut a run into parts of at most 50 families and 20,000 candles, in text order and in time.

    Candles of a derived series come before those of its base: what is made from the base wins.
    """
    part: dict[str, Candles] = {}
    families: set[str] = set()
    room = CANDLES_PER_TRANSACTION
    for family, _, series_id in sorted(map(_place, batches)):
        candles = normalised(batches[series_id])
        while len(candles):
            if not room or len(families | {family}) > SERIES_PER_TRANSACTION:
                yield part
                part, families, room = {}, set(), CANDLES_PER_TRANSACTION
            families.add(family)
            part[series_id] = candles.take(slice(0, room))
            candles = candles.take(slice(room, None))
            room -= len(part[series_id])
    if part:
        yield part


def _place(series_id: str) -> tuple[str, bool, str]:
    """Return where a series stands in a run: its family, and there the base last."""
    family = derived.family_of(series_id)
    return family, family == series_id, series_id


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


def _take(part: Mapping[str, Candles], fence: Fence | None, at_once: bool) -> list[Work]:
    """Store the candles of these series and advance their ledgers in one transaction.

    Which derived series can change is only known for sure under the lock. If it is one more than
    was locked, the locks are given back and all are taken anew, in text order.
    """
    names = set(part)
    for series_id, candles in part.items():
        names |= derived.closed_by(series_id, candles.time)
    while True:
        advance.heads_make(names)
        with database.writing(pipelined=at_once):
            heads = advance.heads_lock(names)
            if fence is not None:
                fence()
            works = {
                head.series_id: Work(head, derived.family_of(head.series_id)) for head in heads
            }
            more = _changeable(works, part) - names
            if not more:
                with advance.refusing() if at_once else nullcontext():
                    return _taken(works, part, at_once=at_once)
        names |= more


def _taken(works: Mapping[str, Work], part: Mapping[str, Candles], *, at_once: bool) -> list[Work]:
    """Store the candles of locked series and advance their ledgers; return those that had some."""
    families = advance.families(works.values())
    if at_once:
        _store_families(families, part)
    else:
        for family in families:
            _store_alone(family, part)
    done = [work for work in works.values() if work.stored is not None or work.error]
    advance.works_advance(done, at_once=at_once)
    return done


def _changeable(works: Mapping[str, Work], part: Mapping[str, Candles]) -> set[str]:
    """Return the derived series of which late or corrected candles may change a bucket.

    That is one that ended before; one that ends now is known by its last candle.
    """
    names: set[str] = set()
    for series_id, candles in part.items():
        head = works[series_id].head.candle_head
        if head is not None and candles.time[0] <= head:
            names |= derived.touched_by(series_id, candles.time, head).keys()
    return names


def _store_alone(family: Sequence[Work], part: Mapping[str, Candles]) -> None:
    """Store the candles of a family in a savepoint; keep the error if they are refused."""
    try:
        with transaction.atomic():
            _store_families([family], part)
    except DatabaseError as error:
        _forget(family)
        for work in family:
            if work.series_id in part:
                work.fail(CANDLE_STEP, error)


def _forget(family: Sequence[Work]) -> None:
    """Let works be as they were before their candles were stored."""
    for work in family:
        work.head.refresh_from_db()
        work.stored, work.changed, work.rebuilt = None, False, False
        work.steps.clear()


def _store_families(families: Sequence[Sequence[Work]], part: Mapping[str, Candles]) -> None:
    """Store the candles of all base series, then those of derived series, given and made."""
    bases = [work for family in families for work in family if work.series_id == work.family]
    given = [(work, part[work.series_id]) for work in bases if work.series_id in part]
    goes_on = {
        work.series_id: work.head.candle_head is None or int(c.time[0]) > work.head.candle_head
        for work, c in given
    }
    _store(given)
    longer: list[tuple[Work, Candles]] = []
    for family in families:
        works = {work.series_id: work for work in family}
        base = works.pop(family[0].family, None)
        made: Mapping[str, Candles] = {}
        if base is not None and base.series_id in part:
            made = _made(base, works, goes_on=goes_on[base.series_id])
        for name, work in works.items():
            if name in part and name in made:
                longer.append((work, normalised(part[name].then(made[name]))))
            elif name in part or name in made:
                longer.append((work, part[name] if name in part else made[name]))
    _store(longer)


def _made(base: Work, among: Collection[str], *, goes_on: bool) -> Mapping[str, Candles]:
    """Return what the stored candles of a base series change of the derived ones, if locked."""
    newest, new = base.head.candle_head, base.stored
    if not among or new is None or not len(new) or newest is None:
        return {}
    opens = derived.touched_by(base.series_id, new.time, newest)
    wanted = {name: times for name, times in opens.items() if name in among}
    return derived.made_from(base.series_id, wanted, new if goes_on else None)


def _store(given: Sequence[tuple[Work, Candles]]) -> None:
    """Store the candles that are new or different; note what they make invalid."""
    began = time.perf_counter()
    for work, candles in given:
        work.stored = _new(work, candles)
    candles_upsert([(work.series_id, work.stored) for work, _ in given if work.stored is not None])
    for work, _ in given:
        _note_stored(work)
        ms = (time.perf_counter() - began) * 1000 / len(given)
        work.steps.append(Step(f"{CANDLE_STEP}:{work.series_id}", ok=True, duration_ms=ms))


def _new(work: Work, candles: Candles) -> Candles:
    """Return the candles that are not stored just so."""
    head, first, last = work.head.candle_head, int(candles.time[0]), int(candles.time[-1])
    if head is None or first > head:
        return candles
    return different(candles, selectors.candles_between(work.series_id, first, last))


def _note_stored(work: Work) -> None:
    """Move the candle head, and say from where all is to be computed again."""
    head, new = work.head, work.stored
    if new is None or not len(new):
        return
    oldest, newest, shown = int(new.time[0]), int(new.time[-1]), head.candle_head
    head.candle_head = max(newest, head.candle_head or newest)
    if head.factor_head is not None and oldest <= head.factor_head:
        head.dirty_from = min(oldest, head.dirty_from or oldest)
    recomputed = settings.TRADE_CANVAS_ENABLE_FACTOR_INGEST and head.dirty_from is not None
    if shown is not None and oldest <= shown and not recomputed:
        head.generation += 1  # a recompute, which would announce it, does not follow
        work.rebuilt = True
    work.changed = True


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
