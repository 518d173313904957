"""Advance the factors of a series in memory, and write what they found."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import orjson
from django.conf import settings

from factors.engine import run
from factors.engine.run import Advance, Checkpoint, Rules, Standing
from factors.engine.types import FactorEvent
from factors.selectors import checkpoint_before, stored_candles
from market import database
from market.series import SeriesId

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
        """The time up to which what was found before stays; -1: nothing does."""
        return self.resumed.candle_time if self.resumed else -1


def current_rules() -> Rules:
    """Return the factors and parameters that the settings ask for."""
    return _rules(
        settings.TRADE_CANVAS_PIVOT_WINDOW_MAJOR, settings.TRADE_CANVAS_PIVOT_WINDOW_MINOR
    )


@lru_cache(maxsize=16)
def _rules(major: int, minor: int) -> Rules:
    return run.make_rules({"pivot": {"window_major": major, "window_minor": minor}})


def current_fingerprint() -> str:
    """Return the fingerprint of `current_rules`."""
    return current_rules().fingerprint


def series_compute(
    *, series: SeriesId, factor_head: int | None, candle_head: int, restart: int | None
) -> Found:
    """Run the factors up to `candle_head`; write nothing.

    The run goes on from the newest checkpoint at or before `factor_head` and before `restart`.
    """
    rules = current_rules()
    series_id = str(series)
    reach = factor_head if restart is None else restart - 1
    resumed = None if reach is None else checkpoint_before(series_id, reach)
    standing = run.resume(rules, resumed) if resumed else run.start(rules, series_id)
    after = resumed.candle_time if resumed else None
    advance = step_to(rules, standing, series, after, candle_head)
    return Found(series_id, rules, resumed, restart is not None, advance)


def step_to(
    rules: Rules, standing: Standing, series: SeriesId, after: int | None, to_time: int
) -> Advance:
    """Take the stored candles later than `after` (None: all) up to `to_time` into `standing`."""
    lookback = standing.count - run.reads_from(rules, standing)
    candles = stored_candles(str(series), after, lookback, to_time, standing.count)
    return run.advance(rules, standing, candles, series.seconds)


def found_write(runs: Sequence[Found]) -> None:
    """Write events and checkpoints of several series, in the caller's transaction."""
    for found in runs:
        _forget(found)
    now = time.time_ns() // 1_000_000
    database.insert(
        "factor_events",
        EVENT_COLUMNS,
        (_event_row(found, event, now) for found in runs for event in found.advance.events),
        "ON CONFLICT (series_id, factor_name, event_key) DO NOTHING",
    )
    database.insert(
        "factor_head_snapshots",
        SNAPSHOT_COLUMNS,
        (
            row
            for found in runs
            for kept in _kept(found)
            for row in _snapshot_rows(found, kept, now)
        ),
    )


def _forget(found: Found) -> None:
    """Delete what the run replaces, and the checkpoint of the former head."""
    if found.replaces:
        for table in ("factor_events", "factor_head_snapshots"):
            sql = f"DELETE FROM {table} WHERE series_id = %s AND candle_time > %s"  # noqa: S608
            database.execute(sql, [found.series_id, found.resumed_time])
    if found.resumed and found.advance.checkpoints and found.resumed.ordinal % run.CHECKPOINT_EVERY:
        database.execute(
            "DELETE FROM factor_head_snapshots WHERE series_id = %s AND candle_time = %s",
            [found.series_id, found.resumed.candle_time],
        )


def _kept(found: Found) -> Iterable[Checkpoint]:
    """Return the checkpoints to store: every 512th, and the last."""
    last = found.advance.checkpoints[-1:]
    yield from (c for c in found.advance.checkpoints if c.ordinal % run.CHECKPOINT_EVERY == 0)
    yield from (c for c in last if c.ordinal % run.CHECKPOINT_EVERY)


def _event_row(found: Found, event: FactorEvent, now: int) -> tuple[object, ...]:
    return (
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


def _snapshot_rows(found: Found, checkpoint: Checkpoint, now: int) -> Iterable[tuple[object, ...]]:
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
