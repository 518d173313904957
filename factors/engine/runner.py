"""Run factors over candles: events, checkpoints and the digest. Imports no framework."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray

from factors.engine.rules import Rules
from factors.engine.types import Factor, FactorEvent, Json, Records, State
from market.candles import Candles

CHECKPOINT_EVERY = 512
# To cut candles for each factor costs more than to give it so many more than it asks for.
MOST_UNASKED = 512


class MissingCandlesError(ValueError):
    """Fewer candles before the new ones than the factors still read."""


class MisdatedEventError(ValueError):
    """A factor that gave an event of a candle which is not among the new ones."""


class CheckpointError(ValueError):
    """A stored state that this code cannot load."""


@dataclass(slots=True)
class Standing:
    """Where a run stands: the states after `count` candles, and their digest."""

    count: int
    states: dict[str, State]
    digest: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The states, heads and digest after the candle of this ordinal."""

    ordinal: int
    candle_time: int
    states: Mapping[str, bytes]
    state_versions: Mapping[str, int]
    heads: Mapping[str, Json | None]
    digest: bytes


@dataclass(frozen=True, slots=True)
class Advance:
    """What new candles brought, in ledger order; the last checkpoint is that of the last candle."""

    events: list[FactorEvent]
    checkpoints: list[Checkpoint]


def start(rules: Rules, series_id: str) -> Standing:
    """Return the standing before the first candle of a series."""
    states = {factor.name: factor.start() for factor in rules.factors}
    return Standing(0, states, hashlib.sha256(series_id.encode()).digest())


def resume(rules: Rules, checkpoint: Checkpoint) -> Standing:
    """Return the standing that a checkpoint wrote down."""
    for factor in rules.factors:
        if checkpoint.state_versions.get(factor.name) != factor.state_version:
            raise CheckpointError(
                f"checkpoint {checkpoint.ordinal} holds no state of {factor.name} "
                f"in version {factor.state_version}"
            )
    states = {f.name: f.load(checkpoint.states[f.name]) for f in rules.factors}
    return Standing(checkpoint.ordinal + 1, states, checkpoint.digest)


def carried(rules: Rules, row: bytes, count: int) -> tuple[Standing, bytearray]:
    """Return the standing after `count` candles whose states are one row of bytes.

    The second value is the row as it changes with each step: `bytes` of it is the next one. For
    loops over many series; only for factors whose state is a record.
    """
    memory = bytearray(row)
    states = {name: np.ndarray(1, dtype, memory, offset) for name, dtype, offset in rules.layout}
    return Standing(count, states, b""), memory


def reads_from(rules: Rules, standing: Standing) -> int:
    """Return the ordinal from which the next candle's step reads candles."""
    arguments = rules.arguments(0)
    return min(
        factor.reads_from(standing.states[factor.name], standing.count, arguments[factor.name])
        for factor in rules.factors
    )


def advance(
    rules: Rules,
    standing: Standing,
    candles: Candles,
    seconds: int,
    progress: Callable[[int], None] | None = None,
) -> Advance:
    """Take every candle from ordinal `standing.count` on; `standing` moves along.

    `candles` are consecutive stored candles that begin at or before `reads_from`; `seconds` is the
    length of one. The result does not depend on how candles are cut into calls. `progress` hears
    how many candles of the series were taken so far.
    """
    if candles.first_ordinal > reads_from(rules, standing):
        raise MissingCandlesError(
            f"candles begin at ordinal {candles.first_ordinal}, "
            f"but the factors read from {reads_from(rules, standing)}"
        )
    events: list[FactorEvent] = []
    checkpoints: list[Checkpoint] = []
    end = candles.first_ordinal + len(candles)
    while standing.count < end:
        stop = min(end, -(-standing.count // CHECKPOINT_EVERY) * CHECKPOINT_EVERY + 1)
        lower = reads_from(rules, standing) - candles.first_ordinal
        rows = candles.take(slice(lower, stop - candles.first_ordinal))
        new_from = standing.count - rows.first_ordinal
        found = in_order(rules.factors, step(rules, standing, rows, seconds), rows, new_from)
        standing.digest = _digest(standing.digest, rows, new_from, found)
        events += found
        checkpoints.append(_checkpoint(rules, standing, int(rows.time[-1])))
        if progress:
            progress(standing.count)
    return Advance(events, checkpoints)


def step(
    rules: Rules, standing: Standing, rows: Candles, seconds: int, *, exact: bool = False
) -> dict[str, dict[str, NDArray[np.void]]]:
    """Run all factors over one stretch of candles; return their records, by factor and name.

    `rows` begin at or before `reads_from`; `standing` moves along, its digest excepted. A factor is
    given earlier candles than it asks for where they are few, unless `exact`.
    """
    new_from, given = standing.count - rows.first_ordinal, rows
    exact = exact or new_from > MOST_UNASKED
    arguments = rules.arguments(seconds)
    records: dict[str, dict[str, NDArray[np.void]]] = {}
    for factor in rules.factors:
        name = factor.name
        upstream: Records = {}
        for need in factor.needs:
            upstream = {**upstream, **records[need]} if upstream else records[need]
        state = standing.states[name]
        if exact:
            asked = factor.reads_from(state, standing.count, arguments[name])
            given = rows.take(slice(asked - rows.first_ordinal, None))
            new_from = standing.count - asked
        records[name] = factor.step(state, given, new_from, upstream, arguments[name])
    standing.count = rows.first_ordinal + len(rows)
    return records


def in_order(
    factors: Iterable[Factor], records: Mapping[str, Records], rows: Candles, new_from: int
) -> list[FactorEvent]:
    """Return the events of all factors, candle by candle, each in the order of its kinds.

    Raises `MisdatedEventError` unless all are of candles from row `new_from` on.
    """
    found = []
    for factor in factors:
        for kind in factor.kinds:
            table = records[factor.name][kind.name]
            names = table.dtype.names or ()
            for values in table.tolist():
                found.append((factor.name, kind, dict(zip(names, values, strict=True))))
    found.sort(key=lambda item: item[2]["ordinal"])
    first, last = rows.first_ordinal + new_from, rows.first_ordinal + len(rows) - 1
    for _, kind, row in (*found[:1], *found[-1:]):
        if not first <= row["ordinal"] <= last:
            raise MisdatedEventError(
                f"{kind.name} of candle {row['ordinal']}, found with candles {first} to {last}"
            )
    events: list[FactorEvent] = []
    for name, kind, row in found:
        ordinal = row["ordinal"]
        seq = events[-1].seq + 1 if events and events[-1].ordinal == ordinal else 0
        now = int(rows.time[ordinal - rows.first_ordinal])
        events.append(
            FactorEvent(ordinal, seq, now, name, kind.name, kind.key(row), kind.payload(row))
        )
    return events


def _checkpoint(rules: Rules, standing: Standing, now: int) -> Checkpoint:
    """Write down where the run stands after the candle `now`."""
    states = {f.name: f.dump(standing.states[f.name]) for f in rules.factors}
    heads = {f.name: f.head(standing.states[f.name], now) for f in rules.factors}
    orjson.dumps(heads)  # what cannot be stored must fail here, where it fails one series alone
    versions = {f.name: f.state_version for f in rules.factors}
    return Checkpoint(standing.count - 1, now, states, versions, heads, standing.digest)


def _digest(digest: bytes, rows: Candles, new_from: int, events: list[FactorEvent]) -> bytes:
    """Return the running hash over candles and events."""
    table = np.empty(len(rows) - new_from, dtype="<i8,<f8,<f8,<f8,<f8,<f8")
    columns = (rows.time, rows.open, rows.high, rows.low, rows.close, rows.volume)
    for name, column in zip(table.dtype.names or (), columns, strict=True):
        table[name] = column[new_from:]
    texts: dict[int, bytes] = {}
    for event in events:
        row = event.ordinal - rows.first_ordinal - new_from
        texts[row] = texts.get(row, b"") + canonical(event) + b"\n"
    candles, size = table.tobytes(), table.dtype.itemsize
    for row in range(len(table)):
        candle = candles[row * size : (row + 1) * size]
        digest = hashlib.sha256(digest + candle + texts.get(row, b"")).digest()
    return digest


def canonical(event: FactorEvent) -> bytes:
    """Return an event in the canonical JSON that digests are made of."""
    shape = {
        "candle_time": event.candle_time,
        "event_key": event.event_key,
        "factor": event.factor,
        "kind": event.kind,
        "payload": event.payload,
    }
    text = json.dumps(shape, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()
