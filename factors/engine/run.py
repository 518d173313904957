"""Run factors over candles: events, checkpoints and the digest. Imports no framework."""

import hashlib
import inspect
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from factors.engine import kernel, registry
from factors.engine.types import Factor, FactorEvent, Json, Params, Records, State
from market.candles import Candles

CHECKPOINT_EVERY = 512


class MissingCandlesError(ValueError):
    """Fewer candles before the new ones than the factors still read."""


class CheckpointError(ValueError):
    """A stored state that this code cannot load."""


@dataclass(frozen=True)
class Rules:
    """The factors that take part, in order, each with its parameters."""

    factors: tuple[Factor, ...]
    params: Mapping[str, Params]

    @property
    def names(self) -> list[str]:
        """The names of the factors, in order."""
        return [factor.name for factor in self.factors]

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the sources and parameters of everything that takes part."""
        modules = [inspect.getmodule(type(factor)) for factor in self.factors]
        files = {inspect.getfile(module) for module in [*modules, kernel] if module}
        digest = hashlib.sha256(json.dumps(self.params, sort_keys=True, default=dict).encode())
        for path in sorted({*files, __file__}):
            digest.update(Path(path).read_bytes())
        return digest.hexdigest()


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
    heads: Mapping[str, Json | None]
    digest: bytes


@dataclass(frozen=True, slots=True)
class Advance:
    """What new candles brought, in ledger order; the last checkpoint is that of the last candle."""

    events: list[FactorEvent]
    checkpoints: list[Checkpoint]


def make_rules(params: Mapping[str, Params]) -> Rules:
    """Return the registered factors with these parameters; what is not given has its default."""
    factors = registry.ordered()
    values = {
        factor.name: {param.name: param.default for param in factor.params}
        | dict(params.get(factor.name, {}))
        for factor in factors
    }
    return Rules(tuple(factors), values)


def start(rules: Rules, series_id: str) -> Standing:
    """Return the standing before the first candle of a series."""
    states = {factor.name: factor.start() for factor in rules.factors}
    return Standing(0, states, hashlib.sha256(series_id.encode()).digest())


def resume(rules: Rules, checkpoint: Checkpoint) -> Standing:
    """Return the standing that a checkpoint wrote down."""
    missing = [name for name in rules.names if name not in checkpoint.states]
    if missing:
        raise CheckpointError(f"checkpoint {checkpoint.ordinal} lacks {missing}")
    states = {f.name: f.load(checkpoint.states[f.name]) for f in rules.factors}
    return Standing(checkpoint.ordinal + 1, states, checkpoint.digest)


def reads_from(rules: Rules, standing: Standing) -> int:
    """Return the ordinal from which the next candle's step reads candles."""
    return min(
        factor.reads_from(standing.states[factor.name], standing.count, rules.params[factor.name])
        for factor in rules.factors
    )


def advance(rules: Rules, standing: Standing, candles: Candles, seconds: int) -> Advance:
    """Take every candle from ordinal `standing.count` on; `standing` moves along.

    `candles` are consecutive stored candles that begin at or before `reads_from`; `seconds` is the
    length of one. The result does not depend on how candles are cut into calls.
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
        found = _step(rules, standing, rows, seconds)
        events += found
        checkpoints.append(_checkpoint(rules, standing, int(rows.time[-1])))
    return Advance(events, checkpoints)


def _step(rules: Rules, standing: Standing, rows: Candles, seconds: int) -> list[FactorEvent]:
    """Run all factors over one stretch of candles."""
    new_from = standing.count - rows.first_ordinal
    records: dict[str, Records] = {}
    for factor in rules.factors:
        upstream = {name: table for need in factor.needs for name, table in records[need].items()}
        params = {**rules.params[factor.name], "seconds": seconds}
        state = standing.states[factor.name]
        records[factor.name] = factor.step(state, rows, new_from, upstream, params)
    events = _in_order(rules.factors, records, rows)
    standing.digest = _digest(standing.digest, rows, new_from, events)
    standing.count = rows.first_ordinal + len(rows)
    return events


def _in_order(
    factors: Iterable[Factor], records: Mapping[str, Records], rows: Candles
) -> list[FactorEvent]:
    """Return the events of all factors, candle by candle, each in the order of its kinds."""
    found = []
    for factor in factors:
        for kind in factor.kinds:
            table = records[factor.name][kind.name]
            names = table.dtype.names or ()
            for values in table.tolist():
                found.append((factor.name, kind, dict(zip(names, values, strict=True))))
    found.sort(key=lambda item: item[2]["ordinal"])
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
    return Checkpoint(standing.count - 1, now, states, heads, standing.digest)


def _digest(digest: bytes, rows: Candles, new_from: int, events: list[FactorEvent]) -> bytes:
    """Return the running hash over candles and events (`ledger.md` C2)."""
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
