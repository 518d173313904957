"""Advance the factors of a series in memory, and write what they found."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import orjson
from django.conf import settings

from factors.engine import kernel, runner
from factors.engine.rules import Rules, by_factor, make_rules
from factors.engine.runner import Advance, Checkpoint, Standing
from factors.engine.study import ONE_CANDLE, WORTH_WARMING
from factors.engine.types import Number
from factors.selectors import checkpoint_before, stored_candles
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


def series_compute(
    *,
    series: SeriesId,
    factor_head: int | None,
    candle_head: int,
    restart: int | None,
    progress: Callable[[int], None] | None = None,
) -> Found:
    """Run the factors up to `candle_head`; write nothing. `progress` hears of every stretch.

    The run goes on from the newest checkpoint at or before `factor_head` and before `restart`.
    """
    rules = current_rules()
    series_id = str(series)
    reach = factor_head if restart is None else restart - 1
    resumed = None if reach is None else checkpoint_before(series_id, reach)
    standing = runner.resume(rules, resumed) if resumed else runner.start(rules, series_id)
    after = resumed.candle_time if resumed else None
    advance = step_to(rules, standing, series, after=after, to_time=candle_head, progress=progress)
    return Found(series_id, rules, resumed, restart is not None, advance)


def step_to(  # noqa: PLR0913 (where a run stands, and how far it goes)
    rules: Rules,
    standing: Standing,
    series: SeriesId,
    *,
    after: int | None,
    to_time: int,
    progress: Callable[[int], None] | None = None,
) -> Advance:
    """Take the stored candles later than `after` (None: all) up to `to_time` into `standing`."""
    lookback = standing.count - runner.reads_from(rules, standing)
    candles = stored_candles(str(series), after, lookback, to_time, standing.count)
    return runner.advance(rules, standing, candles, series.seconds, progress)


def found_write(runs: Sequence[Found]) -> None:
    """Write events and checkpoints of several series, in the caller's transaction."""
    _forget(runs)
    now = time.time_ns() // 1_000_000
    database.insert(
        "factor_events",
        EVENT_COLUMNS,
        (row for found in runs for row in event_rows(found, now)),
        "ON CONFLICT (series_id, factor_name, event_key) DO NOTHING",
    )
    database.insert(
        "factor_head_snapshots",
        SNAPSHOT_COLUMNS,
        (row for found in runs for row in snapshot_rows(found, now)),
    )


def _forget(runs: Sequence[Found]) -> None:
    """Delete what the runs replace, and the checkpoints of the former heads."""
    for found in runs:
        if found.replaces:
            for table in ("factor_events", "factor_head_snapshots"):
                sql = f"DELETE FROM {table} WHERE series_id = %s AND candle_time > %s"  # noqa: S608
                database.execute(sql, [found.series_id, found.resumed_time])
    former = (
        (found.series_id, found.resumed.candle_time)
        for found in runs
        if found.resumed
        and found.advance.checkpoints
        and found.resumed.ordinal % runner.CHECKPOINT_EVERY
    )
    database.delete_pairs("factor_head_snapshots", ("series_id", "candle_time"), former)


def _kept(found: Found) -> Iterable[Checkpoint]:
    """Return the checkpoints to store: every 512th, and the last."""
    last = found.advance.checkpoints[-1:]
    yield from (c for c in found.advance.checkpoints if c.ordinal % runner.CHECKPOINT_EVERY == 0)
    yield from (c for c in last if c.ordinal % runner.CHECKPOINT_EVERY)


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
    for checkpoint in _kept(found):
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
