"""How a rule's loop is called: as plain Python, or compiled by numba once it is warm.

A kernel is the loop of a rule over candles, written in the subset of Python that numba compiles:
states and rows are records read by name, columns are arrays, and it calls only functions of its
own module. There is one source for both ways, so they cannot differ in what they say.

Plain: records are dicts and columns are lists, because indexing those is several times faster than
indexing numpy arrays one item at a time. Compiled: machine code, kept on disk between processes.
`warm` compiles; until it is done, and where numba is missing, kernels run plain. Imports no
framework.
"""

import logging
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

Kernel = Callable[..., tuple[int, ...]]
Table = NDArray[np.void]
MOST_SPARE = 4


class _Mode(threading.local):
    """How kernels run in one thread, where that is not the usual way."""

    plain = False
    compiling = False


class _Unusual:
    """How many threads run kernels in an unusual way just now: mostly none."""

    threads = 0
    lock = threading.Lock()

    @classmethod
    def count(cls, change: int) -> None:
        """Add to the number of threads."""
        with cls.lock:
            cls.threads += change


_mode = _Mode()
_compiling = threading.Lock()
_loops: list["Loop"] = []


class Loop:
    """A kernel and the kinds of rows that it writes, one table after the other."""

    def __init__(self, kernel: Kernel, *outputs: np.dtype[np.void]) -> None:
        self.kernel = kernel
        self.outputs = outputs
        self._nothing = [np.empty(0, dtype) for dtype in outputs]
        self._spare: dict[tuple[int, ...], list[list[Table]]] = {}
        self._compiled: Kernel | None = None
        self._fresh: Kernel | None = None
        self._is_stubborn = False
        _loops.append(self)

    def __call__(self, state: Table, inputs: tuple[Any, ...], most: tuple[int, ...]) -> list[Table]:
        """Run `kernel(state, *inputs, *tables)`; change `state`, return one table per output.

        The kernel finds its state as the one record `state[0]`.

        Columns, structured arrays and plain numbers are inputs; `most` says how many rows each
        table can get at most. The kernel returns how many rows it wrote into each.
        """
        compiled = self._compiled
        if compiled is None or _Unusual.threads:
            compiled = self._unusual(state, inputs, most)
        if compiled is None:
            return _call_plain(self.kernel, state, inputs, self.outputs)
        # Single steps need small tables all the time: those that nothing was written to come back.
        spare = self._spare.get(most)
        try:
            tables = spare.pop() if spare else self._tables(most)
        except IndexError:  # another thread was quicker
            tables = self._tables(most)
        counts = compiled(state, *inputs, *tables)
        if any(counts):
            return [table[:count] for table, count in zip(tables, counts, strict=True)]
        if spare is not None:
            spare.append(tables)
        elif max(most) <= MOST_SPARE:
            self._spare[most] = [tables]
        return self._nothing

    def _tables(self, most: tuple[int, ...]) -> list[Table]:
        pairs = zip(most, self._nothing, strict=True)
        return [np.empty(rows, nothing.dtype) if rows else nothing for rows, nothing in pairs]

    def _unusual(
        self, state: Table, inputs: tuple[Any, ...], most: tuple[int, ...]
    ) -> Kernel | None:
        """Return what this thread runs where it may not be the usual; None is plain.

        While it compiles, compile first, by a call that leaves the state alone.
        """
        if not _mode.compiling:
            return None if _mode.plain else self._compiled
        if self._compiled is None and self._fresh is None and not self._is_stubborn:
            try:
                fresh = _compile(self.kernel)
                fresh(state.copy(), *inputs, *self._tables(most))
                self._fresh = fresh
            except ImportError:
                raise
            except Exception:  # whatever a compiler raises, the plain way gives the same
                logger.exception("engine.plain %s cannot be compiled", self.kernel.__module__)
                self._is_stubborn = True
        return self._fresh or self._compiled

    def _publish(self) -> None:
        self._compiled, self._fresh = self._fresh or self._compiled, None


def warm(run: Callable[[], object]) -> bool:
    """Compile every kernel that `run` calls, and use the compiled ones from then on.

    Other threads go on meanwhile. Returns False where numba is missing: kernels then stay plain, as
    one does that cannot be compiled.
    """
    with _compiling:
        _mode.compiling = True
        _Unusual.count(1)
        try:
            run()
        except ImportError as error:
            logger.info("engine.plain numba is not installed, %s", error)
            return False
        except Exception:  # a rule that raises here raises again where its error is kept
            logger.exception("engine.warming_failed")
            return False
        finally:
            _Unusual.count(-1)
            _mode.compiling = False
            for loop in _loops:
                loop._publish()
    return True


@contextmanager
def plain_only() -> Iterator[None]:
    """Run kernels plain inside the block, in this thread, warm or not."""
    before, _mode.plain = _mode.plain, True
    _Unusual.count(1)
    try:
        yield
    finally:
        _Unusual.count(-1)
        _mode.plain = before


def _compile(kernel: Kernel) -> Kernel:
    """Return the kernel as numba's, with those functions of its module that it calls."""
    use_cache_directory()
    from numba import njit  # slow to import, and not installed everywhere

    done: dict[str, Any] = {}

    def compiled(function: FunctionType) -> Any:
        names = dict(function.__globals__)
        for name in function.__code__.co_names:
            called = names.get(name)
            if isinstance(called, FunctionType) and called.__module__ == function.__module__:
                if name not in done:
                    done[name] = compiled(called)
                names[name] = done[name]
        copy = FunctionType(function.__code__, names, function.__name__, function.__defaults__)
        copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
        return njit(cache=True, nogil=True)(copy)

    assert isinstance(kernel, FunctionType)
    ticks: Kernel = compiled(kernel)
    return ticks


def use_cache_directory() -> None:
    """Let numba keep machine code in a directory that only this user can write.

    Its cache is loaded as code. Without such a directory it is made anew for each process.
    """
    if os.environ.get("NUMBA_CACHE_DIR"):
        return
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        directory = base / "trade_canvas" / "kernels"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(directory, os.W_OK):
            raise PermissionError(directory)
    except (OSError, RuntimeError):  # not writable, or whoever runs this has no home
        directory = Path(tempfile.mkdtemp(prefix="trade_canvas-kernels-"))
    os.environ["NUMBA_CACHE_DIR"] = str(directory)


class _Rows(list[dict[str, Any]]):
    """Rows that a kernel writes; the row after the last appears when it is asked for."""

    def __getitem__(self, index: Any) -> Any:
        if index == len(self):
            self.append({})
        return super().__getitem__(index)


def _call_plain(
    kernel: Kernel, state: Table, inputs: tuple[Any, ...], outputs: tuple[np.dtype[np.void], ...]
) -> list[Table]:
    record = {name: state[name][0].tolist() for name in state.dtype.names or ()}
    tables = [_Rows() for _ in outputs]
    counts = kernel([record], *(_plain(value) for value in inputs), *tables)
    for name, value in record.items():
        state[name][0] = value
    return [
        np.array([tuple(row[n] for n in dtype.names or ()) for row in table[:count]], dtype)
        for table, count, dtype in zip(tables, counts, outputs, strict=True)
    ]


def _plain(value: Any) -> Any:
    """Return a column as a list, a structured array as a list of dicts, a number as it is."""
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.names is None:
        return value.tolist()
    return [dict(zip(value.dtype.names, row, strict=True)) for row in value.tolist()]
