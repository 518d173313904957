"""Pages of candles as REST gives them, and what can be wrong with one. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from market.series import BadSeriesIdError, timeframe_seconds
from tests.exchange.frames import row
from tests.exchange.market import Listing, bucket, merge

Row = list[int | str]
INTERVALS = frozenset(["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d"])


class BadRequestError(Exception):
    """The request is refused with this code and text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client wants to know of one symbol; times in milliseconds."""

    interval: str
    limit: int
    start: int | None = None
    end: int | None = None


def asked(query: dict[str, str], *, most: int, strict: bool) -> Asked:
    """Return what a query asks; a limit over `most` is cut, or refused where `strict`."""
    interval = query.get("interval", "")
    if interval not in INTERVALS:
        raise BadRequestError(-1120, "Invalid interval.")
    limit = _number(query, "limit") or 500
    if limit > most and strict:
        raise BadRequestError(-1130, "Data sent for parameter 'limit' is not valid.")
    start, end = _number(query, "startTime"), _number(query, "endTime")
    return Asked(interval, min(limit, most), start, end)


def page(listing: Listing, wanted: Asked, now: float) -> list[Row]:
    """Return the rows in order: the first from a start, else the last; one may still form."""
    step = timeframe_seconds(wanted.interval)
    if step % listing.seconds:
        raise BadRequestError(-1120, "Invalid interval.")
    first = max(bucket(listing.first_time(), wanted.interval), 0)
    last = bucket(now if wanted.end is None else min(now, wanted.end / 1000), wanted.interval)
    if wanted.start is not None:
        first = max(first, -(-wanted.start // (1000 * step)) * step)
    times = range(first, last + 1, step)
    found = (
        _row(listing, wanted.interval, time, now)
        for time in (times if wanted.start is not None else reversed(times))
    )
    rows = list(islice((row for row in found if row is not None), wanted.limit))
    return rows if wanted.start is not None else rows[::-1]


def _row(listing: Listing, interval: str, time: int, now: float) -> Row | None:
    step = timeframe_seconds(interval)
    inside = range(time, min(time + step, int(now) + 1), listing.seconds)
    bars = [bar for bar in (listing.at(base, now) for base in inside) if bar is not None]
    return row(listing, interval, merge(bars, time)) if bars else None


def _number(query: dict[str, str], name: str) -> int | None:
    if name not in query:
        return None
    try:
        return int(query[name])
    except ValueError:
        said = f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'."
        raise BadRequestError(-1100, said) from None


# What can be wrong: each takes the right page, the page that was answered before, and the length
# of a bar in milliseconds.


def shifted(row: Row, by: int) -> Row:
    """Return a row of another time."""
    return [int(row[0]) + by, *row[1:6], int(row[6]) + by, *row[7:]]


def overlapping(rows: list[Row], before: list[Row], step: int) -> list[Row]:
    """Return the page with the end of the one before it again."""
    return before[-3:] + rows


def out_of_range(rows: list[Row], before: list[Row], step: int) -> list[Row]:
    """Return the page with rows that nobody asked for on both sides."""
    if not rows:
        return rows
    return [shifted(rows[0], -1000 * step), *rows, shifted(rows[-1], 1000 * step)]


KINDS: dict[str, Callable[[list[Row], list[Row], int], Any]] = {
    "empty": lambda rows, before, step: [],
    "repeated": lambda rows, before, step: before or rows,
    "overlapping": overlapping,
    "unsorted": lambda rows, before, step: rows[1::2] + rows[::2],
    "out_of_range": out_of_range,
    "doubled": lambda rows, before, step: [row for row in rows for _ in range(2)],
    "not_a_list": lambda rows, before, step: {"rows": rows},
    "nan": lambda rows, before, step: [[*row[:4], "NaN", *row[5:]] for row in rows],
    "short_rows": lambda rows, before, step: [row[:5] for row in rows],
}


def interval_seconds(query: dict[str, str]) -> int:
    """Return the length of the interval of a query, a minute where it names none."""
    try:
        return timeframe_seconds(query.get("interval", ""))
    except BadSeriesIdError:
        return 60
