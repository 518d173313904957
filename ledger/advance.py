"""The second half of the write path: factors, drawings and heads of series, in one transaction.

`ingest.pipeline` calls it after it stored candles; a refresh calls it alone. Everything is computed
in memory first, so a rule that raises has touched nothing.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import orjson
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from factors import services
from factors.resuming import Reach, Resumed
from factors.selectors import events_after
from factors.services import Found
from ledger.head_rows import head_rows_lock, head_rows_save
from ledger.models import LedgerHead
from ledger.overlay import render
from ledger.overlay.render import Drawn
from ledger.selectors import announced_head, instructions_checksum
from market import database
from market.candles import Candles
from market.debug_events import emit, wanted
from market.groups import MOST_CANDLES, Hint, announce, is_heard
from market.series import SeriesId

logger = logging.getLogger(__name__)

CANDLE_STEP = "store.upsert_many_closed"
FACTOR_STEP = "factor.ingest_closed"
OVERLAY_STEP = "overlay.ingest_closed"
SERIES_PER_TRANSACTION = 50
INSTRUCTION_COLUMNS = {
    "series_id": "text",
    "instruction_id": "text",
    "kind": "text",
    "visible_time": "bigint",
    "ordinal": "bigint",
    "seq": "integer",
    "def_json": "text",
    "created_at_ms": "bigint",
}


_made: set[str] = set()
T = TypeVar("T")


class RefusedError(Exception):
    """The database refused what a transaction wrote of all its series at once."""


class IngestPipelineError(Exception):
    """One series could not take a step; what it had before is kept."""

    compensated = False
    overlay_compensated = False
    candle_compensated_rows = 0
    compensation_error: str | None = None

    def __init__(self, step: str, series_id: str, cause: BaseException) -> None:
        self.step = step
        self.series_id = series_id
        self.cause = cause
        super().__init__(f"ingest_pipeline_failed:{step}:{series_id}:{cause}")

    @property
    def detail(self) -> str:
        """What a client is told: the step and the series, not the cause."""
        return f"ingest_pipeline_failed:{self.step}:{self.series_id}"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a run, as debug events and results name it."""

    name: str
    ok: bool
    duration_ms: float
    error: str | None = None


@dataclass(slots=True)
class Work:
    """One series in a run: its locked head, what is new, and what went wrong.

    Series of one `family` share a savepoint where the database refused all at once; by default
    each is its own.
    """

    head: LedgerHead
    family: str = ""
    stored: Candles | None = None
    found: Found | None = None
    drawn: list[Drawn] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    rebuilt: bool = False
    changed: bool = False
    from_first: bool = False
    progress: Callable[[int], None] | None = None
    error: IngestPipelineError | None = None

    @property
    def series_id(self) -> str:
        """The series as text."""
        return self.head.series_id

    def attempt(self, step: str, action: Callable[[], None]) -> None:
        """Run one step of this series; keep its error instead of raising it."""
        if self.error:
            return
        began = time.perf_counter()
        try:
            action()
        except Exception as error:  # noqa: BLE001 (a rule may raise anything; others go on)
            self.fail(step, error)
        name, ms = f"{step}:{self.series_id}", (time.perf_counter() - began) * 1000
        self.steps.append(Step(name, self.error is None, ms, str(self.error or "") or None))

    def fail(self, step: str, cause: BaseException) -> None:
        """Keep the first error, in the row as well."""
        logger.error("ledger.step_failed %s %s %s", step, self.series_id, cause)
        self.error = IngestPipelineError(step, self.series_id, cause)
        self.head.last_error = f"{type(cause).__name__}: {cause}"[:2000]
        self.head.last_error_step = step
        self.head.last_error_at = timezone.now()
        self.changed = True


def heads_make(series_ids: Iterable[str]) -> None:
    """Make the missing head rows in a commit of their own, before a run locks any.

    On PostgreSQL two runs that insert rows while they hold locks could wait for each other. Rows
    stay, so a process looks for each once.
    """
    if connection.vendor != "postgresql":
        return
    names = sorted(set(series_ids) - _made)
    if not names:
        return
    known = set(LedgerHead.objects.filter(series_id__in=names).values_list("series_id", flat=True))
    rows = [LedgerHead(series_id=name) for name in names if name not in known]
    LedgerHead.objects.bulk_create(rows, ignore_conflicts=True)
    _made.update(names)


def heads_lock(series_ids: Iterable[str]) -> list[LedgerHead]:
    """Lock the heads of these series in text order; missing rows are made first.

    The caller holds a transaction. On SQLite the transaction itself is the lock.
    """
    names = sorted(set(series_ids))
    heads = head_rows_lock(names)
    if len(heads) < len(names):
        missing = sorted(set(names) - {head.series_id for head in heads})
        rows = [LedgerHead(series_id=name) for name in missing]
        LedgerHead.objects.bulk_create(rows, ignore_conflicts=True)
        heads = head_rows_lock(names)
    return heads


def written(attempt: Callable[[bool], T]) -> T:
    """Return what a transaction gives that first writes all of its series `at_once`.

    It takes no savepoints then, and does not wait for each statement. If the database refuses one,
    nothing is kept, and the transaction runs again, not at once: each family in a savepoint, so
    that what is refused stops none but its own. A connection that broke is not tried again.
    """
    try:
        return database.retrying(partial(attempt, True))
    except RefusedError as refused:
        logger.warning("ledger.bulk_write_refused %s", refused)
    return database.retrying(partial(attempt, False))


@contextmanager
def refusing() -> Iterator[None]:
    """Let what the block writes be sent without waiting; raise `RefusedError` if it is refused."""
    try:
        with database.pipeline():
            yield
    except DatabaseError as error:
        if database.is_given_up(error) or database.is_lost(error):
            raise
        raise RefusedError(str(error)) from error


def works_advance(works: Sequence[Work], *, at_once: bool = False) -> None:
    """Bring the ledgers of locked series up to their newest candle; errors stay in the works.

    What is written `at_once` and refused raises `DatabaseError`: `written` knows what follows.
    """
    began = time.perf_counter()
    _compute(works, at_once=at_once)
    ready = [work for work in works if work.found and not work.error]
    if at_once:
        _write(ready)
    else:
        for family in families(ready):
            _write_alone(family)
    changed = [work.head for work in works if work.changed]
    for head in changed:
        head.last_duration_ms = (time.perf_counter() - began) * 1000
        head.last_refresh_at = timezone.now()
    head_rows_save(changed)
    if wanted():
        for work in works:
            _tell_advanced(work)


def _tell_advanced(work: Work) -> None:
    """Tell what the steps of a series found and drew."""
    if work.found is None or work.error is not None:
        return
    took = {step.name.partition(":")[0]: step.duration_ms for step in work.steps}
    up_to, events = work.head.candle_head, len(work.found.advance.events)
    about = {"up_to_candle_time": up_to, "events_planned": events, "db_changes": events}
    emit(
        "write.factor.ingest_done",
        "write",
        work.series_id,
        data=about | {"duration_ms": took.get(FACTOR_STEP, 0.0)},
    )
    if settings.TRADE_CANVAS_ENABLE_OVERLAY_INGEST:
        kinds = Counter(drawn.kind for drawn in work.drawn)
        about = {
            "up_to_candle_time": up_to,
            "factor_rows": events,
            "marker_defs": kinds["marker"],
            "polyline_defs": kinds["polyline"],
            "db_changes": len(work.drawn),
        }
        emit(
            "write.overlay.ingest_done",
            "write",
            work.series_id,
            data=about | {"duration_ms": took.get(OVERLAY_STEP, 0.0)},
        )


def _compute(works: Sequence[Work], *, at_once: bool) -> None:
    """Compute events and drawings in memory, as far as the steps are switched on."""
    due = [(work, run) for work in works if (run := _due(work))]
    resumed: Mapping[str, Resumed | Exception] = {}
    if at_once:
        resumed = services.runs_resume({work.series_id: run.reach for work, run in due})
    for work, run in due:
        work.attempt(FACTOR_STEP, partial(_find, work, run, resumed.get(work.series_id)))
        if settings.TRADE_CANVAS_ENABLE_OVERLAY_INGEST:
            work.attempt(OVERLAY_STEP, partial(_draw, work))


@dataclass(frozen=True, slots=True)
class _Run:
    """A run that a ledger needs, and whether it takes the place of what was found before."""

    reach: Reach
    replaces: bool


def _due(work: Work) -> _Run | None:
    """Return the run that brings a ledger up to its newest candle; None if it is there."""
    head = work.head
    if head.candle_head is None or not settings.TRADE_CANVAS_ENABLE_FACTOR_INGEST:
        return None
    restart = 0 if work.from_first else _restart(head)
    overlay_on = settings.TRADE_CANVAS_ENABLE_OVERLAY_INGEST
    is_there = head.factor_head == head.candle_head and restart is None
    if is_there and (not overlay_on or head.overlay_head == head.candle_head):
        return None
    known = head.factor_head if restart is None else restart - 1
    return _Run(Reach(known, head.candle_head), restart is not None)


def _restart(head: LedgerHead) -> int | None:
    """Return the time from which all is computed again, or None."""
    if services.is_current(head.rules_fingerprint):
        return head.dirty_from
    about = {"series_id": head.series_id, "fingerprint": services.current_fingerprint()}
    emit("factor.fingerprint.rebuild", "write", head.series_id, data=about)
    return 0


def _find(work: Work, run: _Run, resumed: Resumed | Exception | None) -> None:
    work.found = services.series_compute(
        series=SeriesId.parse(work.series_id),
        reach=run.reach,
        replaces=run.replaces,
        progress=work.progress,
        resumed=resumed,
    )


def _draw(work: Work) -> None:
    """Make the instructions of all events later than what is drawn and stays."""
    if work.found is None:
        return
    found = work.found
    drawn_to = -1 if work.head.overlay_head is None else work.head.overlay_head
    lacking = (
        events_after(work.series_id, drawn_to, found.resumed_time)
        if drawn_to < found.resumed_time
        else []
    )
    earlier = [(ordinal, name, kind, orjson.loads(text)) for ordinal, name, kind, text in lacking]
    new = [(e.ordinal, e.factor, e.kind, e.payload) for e in found.advance.events]
    work.drawn = render.history(found.rules, earlier + new)


def families(works: Iterable[Work]) -> list[list[Work]]:
    """Return these works, those of a family together."""
    found: dict[str, list[Work]] = {}
    for work in works:
        found.setdefault(work.family or work.series_id, []).append(work)
    return list(found.values())


def _write_alone(family: Sequence[Work]) -> None:
    """Write a family in a savepoint; it may be refused when that is released, too."""
    try:
        with transaction.atomic():
            _write_rows(family)
    except DatabaseError as error:
        for work in family:
            work.fail(FACTOR_STEP, error)
    else:
        for work in family:
            _move_heads(work)


def _write(works: Sequence[Work]) -> None:
    """Write what was computed, and let the heads say so."""
    _write_rows(works)
    for work in works:
        _move_heads(work)


def _write_rows(works: Sequence[Work]) -> None:
    services.found_write([work.found for work in works if work.found])
    _drawn_write(works)


def _drawn_write(works: Sequence[Work]) -> None:
    """Write instructions, after those were deleted that the run replaces."""
    for work in works:
        if work.found and work.found.replaces:
            database.execute(
                "DELETE FROM overlay_instruction_versions "
                "WHERE series_id = %s AND visible_time > %s",
                [work.series_id, work.found.resumed_time],
            )
    now = time.time_ns() // 1_000_000
    database.insert(
        "overlay_instruction_versions",
        INSTRUCTION_COLUMNS,
        (row for work in works for row in instruction_rows(work.series_id, work.drawn, now)),
        "ON CONFLICT (series_id, instruction_id, ordinal) DO NOTHING",
    )


def instruction_rows(
    series_id: str, drawn: Iterable[Drawn], now: int
) -> Iterator[tuple[object, ...]]:
    """Yield instructions as they are stored, in `INSTRUCTION_COLUMNS`."""
    for one in drawn:
        yield (
            series_id,
            one.instruction_id,
            one.kind,
            one.visible_time,
            one.ordinal,
            one.seq,
            one.text,
            now,
        )


def _move_heads(work: Work) -> None:
    """Let the head say what is written now.

    Its rules are those of the first candle: where others went on, it is never taken for theirs.
    """
    head, found = work.head, work.found
    if found is None:
        return
    work.changed = True
    if found.replaces and head.factor_head is not None and not work.rebuilt:
        work.rebuilt = True
        head.generation += 1
    head.factor_head = head.candle_head
    if settings.TRADE_CANVAS_ENABLE_OVERLAY_INGEST:
        head.overlay_head = head.candle_head
    elif found.replaces and head.overlay_head is not None:
        kept = min(head.overlay_head, found.resumed_time)
        head.overlay_head = kept if kept >= 0 else None
    if found.advance.checkpoints:
        head.digest = found.advance.checkpoints[-1].digest.hex()
    head.dirty_from = None
    if found.resumed is None:
        head.rules_fingerprint = services.current_fingerprint()
    head.last_error = head.last_error_step = ""
    head.last_error_at = None


def refresh_series_sync(
    up_to_times: Mapping[str, int], *, wait: float = database.WRITE_WAIT
) -> list[Step]:
    """Bring ledgers up to date without new candles; raise the first error in text order.

    Each goes up to its newest candle and never beyond; one that is there does nothing, and has
    its steps all the same. `OperationalError` is raised if no turn to write comes within `wait`
    seconds.
    """
    works: list[Work] = []
    names = sorted(name for name, up_to in up_to_times.items() if up_to > 0)
    for start in range(0, len(names), SERIES_PER_TRANSACTION):
        part = names[start : start + SERIES_PER_TRANSACTION]
        done = written(partial(_refresh, part, wait))
        works_announce(done)
        works += done
    raise_first([work.error for work in works if work.error])
    return [step for work in works for step in work.steps]


def _refresh(part: Sequence[str], wait: float, at_once: bool) -> list[Work]:
    """Advance the ledgers of series that have candles, in one transaction."""
    with database.writing(wait, pipelined=at_once):
        works = [Work(head) for head in head_rows_lock(part) if head.candle_head is not None]
        with refusing() if at_once else nullcontext():
            works_advance(works, at_once=at_once)
    for work in works:
        _note_idle(work)
    return works


def _note_idle(work: Work) -> None:
    """Say of a series that had nothing to do that its steps ran."""
    if work.steps or not settings.TRADE_CANVAS_ENABLE_FACTOR_INGEST:
        return
    drawing = [OVERLAY_STEP] if settings.TRADE_CANVAS_ENABLE_OVERLAY_INGEST else []
    for step in (FACTOR_STEP, *drawing):
        work.steps.append(Step(f"{step}:{work.series_id}", ok=True, duration_ms=0.0))


def overlay_redraw(series_id: str, *, wait: float = database.WRITE_WAIT) -> bool:
    """Throw away what is drawn of a series and draw its events again, up to its factor head.

    One transaction. If a drawing came out differently, the generation rises and True is returned.
    """
    work, altered = database.retrying(partial(_redraw, series_id, wait))
    works_announce([work])
    return altered


def _redraw(series_id: str, wait: float) -> tuple[Work, bool]:
    """Draw in one transaction; return whether a drawing came out differently."""
    with database.writing(wait):
        (head,) = head_rows_lock([series_id])
        work = Work(head)
        before = instructions_checksum(series_id)
        database.execute(
            "DELETE FROM overlay_instruction_versions WHERE series_id = %s", [series_id]
        )
        events = events_after(series_id, -1, -1 if head.factor_head is None else head.factor_head)
        try:
            work.drawn = render.history(
                services.current_rules(),
                [(ordinal, name, kind, orjson.loads(text)) for ordinal, name, kind, text in events],
            )
        except Exception as error:  # a rule may raise anything
            raise IngestPipelineError(OVERLAY_STEP, series_id, error) from error
        _drawn_write([work])
        altered = instructions_checksum(series_id) != before
        if altered or head.overlay_head != head.factor_head:
            head.overlay_head = head.factor_head
            head.generation += altered
            head_rows_save([head])
            work.changed = work.rebuilt = True
    return work, altered


def works_announce(works: Sequence[Work]) -> None:
    """Tell the subscribers of each series that moved; call it after the commit."""
    moved = [work for work in works if work.changed and work.error is None]
    hints = [_hint(work) for work in moved if is_heard(work.series_id)]
    if told := [hint for hint in hints if hint is not None]:
        announce(told)


def _hint(work: Work) -> Hint | None:
    """Return the news of a series, None while nothing of it is announced."""
    announced = announced_head(work.head)
    if announced is None:
        return None
    few = work.stored is not None and len(work.stored) <= MOST_CANDLES
    candles = tuple(work.stored.rows()) if work.stored is not None and few else ()
    return Hint(work.series_id, work.head.generation, announced, candles)


def raise_first(errors: Sequence[IngestPipelineError]) -> None:
    """Raise the first error in text order, if there is one."""
    if errors:
        raise min(errors, key=lambda error: error.series_id)
