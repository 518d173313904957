"""Structures of any candles in a notebook: no database, no settings. Imports no framework.

>>> from factors.engine import run
>>> times = range(1_700_000_000, 1_700_000_000 + 60 * 9, 60)
>>> prices = [1.0, 2.0, 3.0, 2.0, 1.0, 2.0, 3.0, 4.0, 3.0]
>>> candles = {"candle_time": times} | dict.fromkeys(("open", "high", "low", "close"), prices)
>>> found = run(candles, {"pivot.window_major": 1, "pivot.window_minor": 1})
>>> found.events["pivot.major"]["pivot_price"].tolist()
[3.0, 1.0, 4.0]
>>> found.events["pen.confirmed"]["visible_time"].tolist()
[1700000480]
>>> found.heads["name"].tolist()
['extending', 'candidate', 'current_anchor_ref']
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from factors.engine import kernel, registry, runner
from factors.engine.rules import Rules, by_factor, make_rules
from factors.engine.types import Json, Kind, Number
from market.candles import PRICES, Candles

Frame = Any
"""A polars or pandas frame, or a dict of numpy columns: of the kind that the candles came in."""
Frames = Callable[[dict[str, list[Any]]], Frame]


# Loading the compiled rules takes as long as running so many candles plain.
WORTH_WARMING = 200_000
ONE_CANDLE = Candles.from_rows([(1, 1.0, 1.0, 1.0, 1.0, 1.0)])


class BadCandlesError(ValueError):
    """Columns that are no closed candles; the message says why."""


class Study(Mapping[str, Frame]):
    """What a run found: `events` and `heads`. As a mapping, the events by kind."""

    def __init__(
        self,
        rules: Rules,
        records: Mapping[str, Mapping[str, NDArray[np.void]]],
        heads: Sequence[tuple[int, str, Json]],
        frame: Frames,
    ) -> None:
        self.rules = rules
        self.records = records
        self._heads = heads
        self._frame = frame
        self._kinds = {kind.name: (f.name, kind) for f in rules.factors for kind in f.kinds}
        self._events = lru_cache(maxsize=None)(self._events_of)

    @property
    def events(self) -> Mapping[str, Frame]:
        """One frame for each kind of event, in ledger order.

        Columns: `event_key` and the payload's; `visible_time` is when an event could be known.
        """
        return self

    @property
    def heads(self) -> Frame:
        """What may still change, one row for each part of a head.

        Columns: `visible_time`, the candle as of which it is, `factor`, `name` and its fields.
        """
        rows = [
            {"visible_time": time, "factor": factor, "name": name} | part
            for time, factor, head in self._heads
            for name, part in _parts(head)
        ]
        names = dict.fromkeys(name for row in rows for name in row)
        return self._frame({name: [row.get(name) for row in rows] for name in names})

    def __getitem__(self, kind: str) -> Frame:
        return self._events(kind)

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)

    def _events_of(self, name: str) -> Frame:
        factor, kind = self._kinds[name]
        return self._frame(_columns(kind, self.records[factor][name]))


def run(
    candles: Any,
    params: Mapping[str, Number] | None = None,
    *,
    seconds: int | None = None,
    extra: Collection[str] = (),
    heads_every: int | None = None,
) -> Study:
    """Return the events and heads that candles give, the same as the ledger's.

    `candles` are columns `candle_time`, `open`, `high`, `low`, `close` and, if there is one,
    `volume`: a polars or pandas frame, or a mapping of sequences; times in Unix seconds, ascending.
    `params` are named as in `pivot.window_major`; `seconds` is the length of a candle, by default
    the most frequent step; `extra` names factors that are off by default. Heads are those of the
    last candle, or with `heads_every` of each n-th and the last. Raises `BadCandlesError`,
    `BadParameterError` or `FactorGraphError`.
    """
    if heads_every is not None and heads_every < 1:
        raise ValueError(f"heads_every must be at least 1, was {heads_every}")
    if isinstance(extra, str):
        raise TypeError("extra is a list of names")
    registry.load()
    columns, frame = _taken(candles)
    length = _step(columns.time) if seconds is None else seconds
    rules = make_rules(by_factor(params or {}), extra)
    _warm_when_worth_it(rules, len(columns))
    standing = runner.start(rules, "")
    if heads_every is None:
        records = runner.step(rules, standing, columns, length)
        return Study(rules, records, _heads(rules, standing, columns), frame)
    parts, heads = [], []
    for stop in (*range(heads_every, len(columns), heads_every), len(columns)):
        rows = columns.take(slice(runner.reads_from(rules, standing), stop))
        parts.append(runner.step(rules, standing, rows, length))
        heads += _heads(rules, standing, rows)
    return Study(rules, _joined(parts), heads, frame)


class _Warmth:
    """How many candles were taken so far, and whether that made compiling worth its seconds."""

    candles = 0
    is_warm = False


def _warm_when_worth_it(rules: Rules, count: int) -> None:
    _Warmth.candles += count
    if not _Warmth.is_warm and _Warmth.candles >= WORTH_WARMING:
        _Warmth.is_warm = True
        kernel.warm(lambda: runner.step(rules, runner.start(rules, ""), ONE_CANDLE, 60))


def _taken(candles: Any) -> tuple[Candles, Frames]:
    """Return candles as our columns, and what makes frames of their kind."""
    if isinstance(candles, Candles):
        return candles, _arrays
    if isinstance(candles, Mapping):
        return _checked({name: np.asarray(column) for name, column in candles.items()}), _arrays
    table = nw.from_native(candles, eager_only=True)
    backend = table.implementation

    def frame(columns: dict[str, list[Any]]) -> Frame:
        return nw.from_dict(columns, backend=backend).to_native()

    return _checked({name: table[name].to_numpy() for name in table.columns}), frame


def _checked(columns: Mapping[str, NDArray[Any]]) -> Candles:
    missing = [name for name in ("candle_time", *PRICES[:-1]) if name not in columns]
    if missing:
        raise BadCandlesError(f"there is no column {missing[0]!r}")
    time = _seconds(columns["candle_time"])
    zeros = np.zeros(len(time))
    prices = [np.array(columns.get(name, zeros), dtype=np.float64) for name in PRICES]
    if len(time) == 0 or any(len(price) != len(time) for price in prices):
        raise BadCandlesError("columns must be of one length, and not empty")
    if not (time[0] > 0 and np.all(np.diff(time) > 0)):
        raise BadCandlesError("candle_time must be positive, ascending and without duplicates")
    if not all(np.isfinite(price).all() for price in prices):
        raise BadCandlesError("prices and volumes must be finite")
    return Candles(time, *prices)


def _seconds(column: NDArray[Any]) -> NDArray[np.int64]:
    """Return times as Unix seconds; datetimes without a zone count as UTC."""
    if column.dtype.kind == "M":
        return column.astype("datetime64[s]").astype(np.int64)
    if column.dtype.kind not in "iu" and not (
        column.dtype.kind == "f" and np.all(column == np.floor(column))
    ):
        raise BadCandlesError("candle_time must be whole Unix seconds, or datetimes in UTC")
    return np.array(column, dtype=np.int64)


def _step(time: NDArray[np.int64]) -> int:
    if len(time) < 2:
        raise BadCandlesError("one candle does not tell how long it is: give `seconds`")
    steps, counts = np.unique(np.diff(time), return_counts=True)
    return int(steps[np.argmax(counts)])


def _heads(rules: Rules, standing: runner.Standing, rows: Candles) -> list[tuple[int, str, Json]]:
    now = int(rows.time[-1])
    heads = [(f.name, f.head(standing.states[f.name], now)) for f in rules.factors]
    return [(now, name, head) for name, head in heads if head is not None]


def _parts(head: Json) -> Iterator[tuple[str, Json]]:
    """Yield the parts of a head, each with its name and fields."""
    for name, value in head.items():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                yield name, {key: x for key, x in part.items() if key != "visible_time"}
            elif part is not None:
                yield name, {"value": part}


def _joined(
    parts: Sequence[Mapping[str, Mapping[str, NDArray[np.void]]]],
) -> dict[str, dict[str, NDArray[np.void]]]:
    """Return the records of one stretch after the other as one."""
    return {
        factor: {name: np.concatenate([part[factor][name] for part in parts]) for name in tables}
        for factor, tables in parts[0].items()
    }


def _columns(kind: Kind, table: NDArray[np.void]) -> dict[str, list[Any]]:
    """Return the payloads of a table of events as columns, after their keys."""
    names = table.dtype.names or ()
    rows = [dict(zip(names, values, strict=True)) for values in table.tolist()]
    payloads = [kind.payload(row) for row in rows]
    shown = payloads[0] if payloads else names[1:]  # of what there is none, the raw columns
    return {"event_key": [kind.key(row) for row in rows]} | {
        name: [payload[name] for payload in payloads] for name in shown
    }


def _arrays(columns: dict[str, list[Any]]) -> Frame:
    return {name: _array(column) for name, column in columns.items()}


def _array(column: list[Any]) -> NDArray[Any]:
    """Return numbers or texts as such, all else as objects."""
    if all(isinstance(value, int | float | str) for value in column):
        return np.array(column)
    found = np.empty(len(column), dtype=object)
    found[:] = column
    return found
