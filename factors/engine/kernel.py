"""How a rule's loop is called. Imports no framework.

A kernel is the loop of a rule over candles, written in the subset of Python that a compiler for
numbers takes: states and rows are records read by name, columns are arrays. Here it runs as plain
Python, where records are dicts and columns are lists, because indexing those is several times
faster than indexing numpy arrays one item at a time.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from factors.engine.types import State


class Rows(list[dict[str, Any]]):
    """Rows that a kernel writes; the row after the last appears when it is asked for."""

    def __getitem__(self, index: Any) -> Any:
        if index == len(self):
            self.append({})
        return super().__getitem__(index)


def call(
    kernel: Callable[..., tuple[int, ...]],
    state: State,
    inputs: tuple[Any, ...],
    outputs: tuple[np.dtype[np.void], ...],
) -> list[NDArray[np.void]]:
    """Run `kernel(state, *inputs, *outputs)`; change `state`, return one array for each output.

    Columns, structured arrays and plain numbers are inputs. The kernel returns how many rows it
    wrote into each output.
    """
    record = {name: state[name][0].tolist() for name in state.dtype.names or ()}
    tables = [Rows() for _ in outputs]
    counts = kernel(record, *(plain(value) for value in inputs), *tables)
    for name, value in record.items():
        state[name][0] = value
    return [
        np.array([tuple(row[n] for n in dtype.names or ()) for row in table[:count]], dtype)
        for table, count, dtype in zip(tables, counts, outputs, strict=True)
    ]


def plain(value: Any) -> Any:
    """Return a column as a list, a structured array as a list of dicts, a number as it is."""
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.names is None:
        return value.tolist()
    return [dict(zip(value.dtype.names, row, strict=True)) for row in value.tolist()]
