"""Read candles from a CSV file, plain or gzip, checked line by line. Imports no framework."""

import csv
import gzip
import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from market.candles import Candle, Candles

HEADER = ["candle_time", "open", "high", "low", "close", "volume"]
GZIP_MAGIC = b"\x1f\x8b"


class CandleFileError(Exception):
    """The file cannot be used; the message names the line and the reason."""


@dataclass(slots=True)
class CandleFile:
    """The candles of a file, and the reasons of the lines that were left out."""

    candles: Candles
    bad: list[str] = field(default_factory=list)


def read_candles(
    path: Path, *, skip_bad: bool = False, progress: Callable[[int], None] = lambda _: None
) -> CandleFile:
    """Return the candles of a file, or raise `CandleFileError` at its first bad line.

    With `skip_bad` bad lines are left out and listed. `progress` hears how many lines were read.
    """
    rows: list[Candle] = []
    bad: list[str] = []
    try:
        with _opened(path) as text:
            for number, row in _lines(text):
                try:
                    rows.append(_candle(row))
                except ValueError as error:
                    bad.append(f"{path.name}, line {number}: {error}")
                    if not skip_bad:
                        raise CandleFileError(bad[0]) from None
                if number % 5000 == 0:
                    progress(number)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error) as error:
        raise CandleFileError(f"{path}: {error}") from error
    if not rows:
        raise CandleFileError(f"{path}: no candles")
    return CandleFile(Candles.from_rows(rows), bad)


def _opened(path: Path) -> TextIO:
    with path.open("rb") as file:
        packed = file.read(2) == GZIP_MAGIC
    if packed:
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _lines(text: TextIO) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows below the header with their line numbers; empty lines are passed over."""
    reader = csv.reader(text)
    header = [name.strip() for name in next(reader, [])]
    if header != HEADER:
        raise CandleFileError(f"line 1: the header must be {','.join(HEADER)}")
    for row in reader:
        if row:
            yield reader.line_num, row


def _candle(row: list[str]) -> Candle:
    """Return the candle of a row, or raise `ValueError` with what is wrong."""
    if len(row) != len(HEADER):
        raise ValueError(f"{len(row)} columns instead of {len(HEADER)}")
    if any("_" in cell for cell in row):
        raise ValueError("a number holds an underscore")
    time = int(row[0])
    if not 0 < time < 2**53:
        raise ValueError(f"candle_time {time} is out of range")
    numbers = [float(cell) for cell in row[1:]]
    for name, number in zip(HEADER[1:], numbers, strict=True):
        if not math.isfinite(number):
            raise ValueError(f"{name} is {number}")
    return Candle(time, *numbers)
