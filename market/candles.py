"""Closed candles, one by one or as columns. Imports no framework."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

PRICES = ("open", "high", "low", "close", "volume")


class Candle(NamedTuple):
    """One closed candle; `candle_time` is its open time in Unix seconds."""

    candle_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(slots=True)
class Candles:
    """Closed candles of one series as columns of equal length, ascending in time.

    Nothing changes one; it is not frozen, because that makes a slice three times slower.

    `time` is int64 (Unix seconds), the others are float64. `first_ordinal` is the position of the
    first row among all stored candles of the series, where that is known; 0 otherwise.
    """

    time: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]
    first_ordinal: int = field(default=0, kw_only=True)

    @classmethod
    def from_rows(cls, rows: Iterable[tuple[int, float, float, float, float, float]]) -> Self:
        """Return columns of these rows (time, open, high, low, close, volume), order kept."""
        table = list(rows)
        return cls.from_columns(*(zip(*table, strict=True) if table else [()] * 6))

    @classmethod
    def from_columns(cls, time: Sequence[int], *numbers: Sequence[float]) -> Self:
        """Return candles of these columns: time, open, high, low, close, volume."""
        columns = (np.array(column, dtype=np.float64) for column in numbers)
        return cls(np.array(time, dtype=np.int64), *columns)

    def rows(self) -> list[Candle]:
        """Return the candles one by one."""
        return [Candle(*row) for row in zip(*(c.tolist() for c in self.columns()), strict=True)]

    def records(self) -> list[dict[str, float]]:
        """Return the candles one by one, as JSON has them."""
        return [
            {"candle_time": t, "open": o, "high": h, "low": w, "close": c, "volume": v}
            for t, o, h, w, c, v in zip(*(c.tolist() for c in self.columns()), strict=True)
        ]

    def take(self, choice: NDArray[np.bool_] | NDArray[np.intp] | slice) -> Self:
        """Return the chosen rows; a mask or index list loses `first_ordinal`."""
        first = self.first_ordinal + (choice.start or 0) if isinstance(choice, slice) else 0
        return type(self)(
            self.time[choice],
            self.open[choice],
            self.high[choice],
            self.low[choice],
            self.close[choice],
            self.volume[choice],
            first_ordinal=first,
        )

    def at_ordinal(self, first_ordinal: int) -> Self:
        """Return the same candles, their first one at this ordinal."""
        return replace(self, first_ordinal=first_ordinal)

    def then(self, later: Self) -> Self:
        """Return these candles followed by later ones."""
        pairs = zip(self.columns(), later.columns(), strict=True)
        columns = [np.concatenate(pair) for pair in pairs]
        return type(self)(*columns, first_ordinal=self.first_ordinal)

    def copied(self) -> Self:
        """Return the same candles in memory of their own, so that they hold on to no others."""
        columns = (column.copy() for column in self.columns())
        return type(self)(*columns, first_ordinal=self.first_ordinal)

    def columns(self) -> tuple[NDArray[Any], ...]:
        """Return the six columns, time first."""
        return (self.time, self.open, self.high, self.low, self.close, self.volume)

    def __len__(self) -> int:
        return len(self.time)
