"""Advance the factors of a series in memory, and write what they found."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import orjson
from django.conf import settings

from factors import resuming
from factors.engine import kernel, runner
from factors.engine.rules import Rules, by_factor, make_rules
from factors.engine.runner import Advance, Checkpoint
from factors.engine.study import ONE_CANDLE, WORTH_WARMING
from factors.engine.types import Number
from factors.resuming import Reach, Resumed
from market import database
from market.series import SeriesId

logger = logging.getLogger(__name__)

# Earlier than any time that a damaged row can hold, so that a run from the first candle clears it.
BEFORE_ALL = -(2**63)
EVENT_COLUMNS = {
    "series_id": "text",
    "factor_name": "text",
    "candle_time": "bigint",
    "ordinal": "bigint",
    "seq": "integer",
    "kind": "text",
    "event_key": "text",
    "payload_json": "text",
    "created_at_ms": "bigint",
}
SNAPSHOT_COLUMNS = {
    "series_id": "text",
    "factor_name": "text",
    "candle_time": "bigint",
    "seq": "integer",
    "ordinal": "bigint",
    "head_json": "text",
    "state": "bytea",
    "state_version": "integer",
    "digest": "bytea",
    "created_at_ms": "bigint",
}


@dataclass(frozen=True, slots=True)
class Found:
    """What a run over a series found, not yet written.

    `resumed` is the checkpoint it went on from, None at the first candle. A run that `replaces`
    takes the place of all that was found after that checkpoint.
    """

    series_id: str
    rules: Rules
    resumed: Checkpoint | None
    replaces: bool
    advance: Advance

    @property
    def resumed_time(self) -> int:
        """The time up to which what was found before stays; negative: nothing does."""
        return self.resumed.candle_time if self.resumed else BEFORE_ALL

    @property
    def leaves_head(self) -> bool:
        """Whether the checkpoint that it went on from was kept only as that of the head."""
        is_kept = not self.resumed or not self.resumed.ordinal % runner.CHECKPOINT_EVERY
        return bool(self.advance.checkpoints) and not is_kept

    @property
    def moves_head(self) -> bool:
        """Whether the rows of the former head's checkpoint can become those of the new one's.

        That writes half as many pages as rows that go and rows that come. The factors may be others
        only where a change of the rules was allowed not to rebuild.
        """
        names = self.resumed.states.keys() if self.resumed else ()
        return self.leaves_head and set(names) == set(self.rules.names)

    def kept(self) -> list[Checkpoint]:
        """Return the checkpoints to store: every 512th, and the last."""
        every = self.advance.checkpoints
        return [c for c in every[:-1] if c.ordinal % runner.CHECKPOINT_EVERY == 0] + every[-1:]


def current_rules() -> Rules:
    """Return the factors and parameters that the settings ask for."""
    return rules_with()


def rules_with(*extra: str) -> Rules:
    """Return `current_rules` with these factors too, where they are off."""
    windows = (
        ("pivot.window_major", settings.TRADE_CANVAS_PIVOT_WINDOW_MAJOR),
        ("pivot.window_minor", settings.TRADE_CANVAS_PIVOT_WINDOW_MINOR),
    )
    return _rules(
        (*windows, *settings.TRADE_CANVAS_FACTOR_PARAMS.items()),
        (*settings.TRADE_CANVAS_EXTRA_FACTORS, *extra),
        settings.TRADE_CANVAS_FACTOR_LOGIC_VERSION,
    )


@lru_cache(maxsize=16)
def _rules(params: tuple[tuple[str, Number], ...], extra: tuple[str, ...], version: str) -> Rules:
    return make_rules(by_factor(dict(params)), extra, version)


def current_fingerprint() -> str:
    """Return the fingerprint of `current_rules`."""
    return current_rules().fingerprint


def is_current(fingerprint: str) -> bool:
    """Say whether what these rules found may stand; an empty fingerprint found nothing yet."""
    rebuilds = settings.TRADE_CANVAS_ENABLE_FACTOR_FINGERPRINT_REBUILD
    return not rebuilds or fingerprint in {"", current_fingerprint()}


def engine_warm(rules: Rules | None = None) -> bool:
    """Compile these rules, or those that the settings ask for; until then, they run plain.

    Takes seconds the first time, later about one. Returns False where they stay plain.
    """
    asked = rules or current_rules()
    began = time.perf_counter()
    is_warm = kernel.warm(lambda: runner.step(asked, runner.start(asked, ""), ONE_CANDLE, 60))
    if is_warm:
        logger.info("engine.warm %.1f s", time.perf_counter() - began)
    return is_warm


def engine_warm_for(candles: int) -> None:
    """Warm the engine first where so many candles are worth it."""
    if candles >= WORTH_WARMING:
        engine_warm()


def runs_resume(reaches: Mapping[str, Reach]) -> dict[str, Resumed | Exception]:
    """Return how the run of each series goes on by `current_rules`; few queries for all."""
    return resuming.runs_resume(current_rules(), reaches) if reaches else {}


def series_compute(
    *,
    series: SeriesId,
    reach: Reach,
    replaces: bool,
    progress: Callable[[int], None] | None = None,
    resumed: Resumed | Exception | None = None,
) -> Found:
    """Run the factors as far as `reach` says; write nothing. `progress` hears of every stretch.

    `resumed` is what `runs_resume` said of the series, where it was asked for several at once.
    """
    rules, series_id = current_rules(), str(series)
    if resumed is None:
        resumed = runs_resume({series_id: reach})[series_id]
    if isinstance(resumed, Exception):
        raise resumed
    advance = runner.advance(rules, resumed.standing, resumed.candles, series.seconds, progress)
    resuming.remember(rules, resumed.standing, resumed.candles)
    return Found(series_id, rules, resumed.checkpoint, replaces, advance)


def found_write(runs: Sequence[Found]) -> None:
    """Write events and checkpoints of several series, in the caller's transaction."""
    for found in runs:
        _forget(found)
    now = time.time_ns() // 1_000_000
    database.insert(
        "factor_events",
        EVENT_COLUMNS,
        (row for found in runs for row in event_rows(found, now)),
        "ON CONFLICT (series_id, factor_name, event_key) DO NOTHING",
    )
    database.update(
        "factor_head_snapshots",
        SNAPSHOT_COLUMNS,
        {"series_id": "text", "factor_name": "text", "candle_time": "bigint"},
        (row for found in runs if found.moves_head for row in _moved_rows(found, now)),
    )
    database.insert(
        "factor_head_snapshots",
        SNAPSHOT_COLUMNS,
        (row for found in runs for row in _new_snapshot_rows(found, now)),
    )


def _forget(found: Found) -> None:
    """Delete what a run replaces, and the checkpoint of the former head that cannot be moved."""
    if found.replaces:
        for table in ("factor_events", "factor_head_snapshots"):
            sql = f"DELETE FROM {table} WHERE series_id = %s AND candle_time > %s"  # noqa: S608
            database.execute(sql, [found.series_id, found.resumed_time])
    if found.leaves_head and not found.moves_head:
        database.execute(
            "DELETE FROM factor_head_snapshots WHERE series_id = %s AND candle_time = %s",
            [found.series_id, found.resumed_time],
        )


def _moved_rows(found: Found, now: int) -> Iterator[tuple[object, ...]]:
    """Yield the rows of the new head, each with the key of that of the former head."""
    for row in checkpoint_rows(found, found.advance.checkpoints[-1], now):
        yield (*row, *row[:2], found.resumed_time)


def _new_snapshot_rows(found: Found, now: int) -> Iterator[tuple[object, ...]]:
    """Yield the rows of the checkpoints to store; that of the head is there if it was moved."""
    kept = found.kept()
    for checkpoint in kept[:-1] if found.moves_head else kept:
        yield from checkpoint_rows(found, checkpoint, now)


def event_rows(found: Found, now: int) -> Iterator[tuple[object, ...]]:
    """Yield the events of a run as they are stored, in `EVENT_COLUMNS`."""
    for event in found.advance.events:
        yield (
            found.series_id,
            event.factor,
            event.candle_time,
            event.ordinal,
            event.seq,
            event.kind,
            event.event_key,
            orjson.dumps(event.payload).decode(),
            now,
        )


def snapshot_rows(found: Found, now: int) -> Iterator[tuple[object, ...]]:
    """Yield the checkpoints of a run that are stored, one row a factor, in `SNAPSHOT_COLUMNS`."""
    for checkpoint in found.kept():
        yield from checkpoint_rows(found, checkpoint, now)


def checkpoint_rows(found: Found, checkpoint: Checkpoint, now: int) -> Iterator[tuple[object, ...]]:
    """Yield one row a factor, in `SNAPSHOT_COLUMNS`."""
    for factor in found.rules.factors:
        yield (
            found.series_id,
            factor.name,
            checkpoint.candle_time,
            0,
            checkpoint.ordinal,
            orjson.dumps(checkpoint.heads[factor.name]).decode(),
            checkpoint.states[factor.name],
            factor.state_version,
            checkpoint.digest,
            now,
        )
