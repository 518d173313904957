"""The rows that candles left behind, inserted again by plain statements: what a write costs alone.

Rows go into the same tables under names of other series. PostgreSQL takes them by COPY, SQLite by
`executemany`; there is no faster way into either.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

# The column by which rows belong to a candle; a head row and a checkpoint belong to the newest.
BY_TIME = {
    "candles": "candle_time",
    "factor_events": "candle_time",
    "overlay_instruction_versions": "visible_time",
}
CHECKPOINTS, HEADS = "factor_head_snapshots", "ledger_heads"


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one table."""

    table: str
    columns: list[str]
    rows: list[tuple[Any, ...]]

    def of(self, column: str, value: object) -> "Rows":
        """Return those that have this value in a column."""
        place = self.columns.index(column)
        return Rows(self.table, self.columns, [r for r in self.rows if r[place] == value])

    def renamed(self, prefix: str) -> "Rows":
        """Return the same rows for other series."""
        place = self.columns.index("series_id")
        rows = [(*r[:place], f"{prefix}:{r[place]}", *r[place + 1 :]) for r in self.rows]
        return Rows(self.table, self.columns, rows)


Commit = list[Rows]


def commits_of(names: Sequence[str], since: int, prefix: str, at_once: int) -> list[Commit]:
    """Return all that was written of these series from a time on, so many series to a commit."""
    commits = []
    for start in range(0, len(names), at_once):
        part = names[start : start + at_once]
        found = [_read(table, part, f"{time} >= %s", since) for table, time in BY_TIME.items()]
        found += [_read(CHECKPOINTS, part, "candle_time >= %s", since), _read(HEADS, part)]
        commits.append([rows.renamed(prefix) for rows in found])
    return commits


def commits_by_candle(name: str, since: int, prefix: str) -> list[Commit]:
    """Return what was written of each candle of a series from a time on, each its own commit.

    A candle's checkpoint and head are gone when the next one comes; those of the last stand for
    them.
    """
    found = {
        table: _by(_read(table, [name], f"{time} >= %s", since), time)
        for table, time in BY_TIME.items()
    }
    standing = _read(CHECKPOINTS, [name], "candle_time >= %s", since)
    newest = max(found["candles"])
    always = [standing.of("candle_time", newest), _read(HEADS, [name])]
    return [
        [
            rows.renamed(f"{prefix}n{number}")
            for rows in (*(table[at] for table in found.values() if at in table), *always)
        ]
        for number, at in enumerate(found["candles"])
    ]


def insert_all(commits: Sequence[Commit]) -> list[float]:
    """Insert the rows, commit by commit; return the milliseconds of each."""
    spent = []
    for commit in commits:
        began = time.perf_counter()
        with transaction.atomic():
            for rows in commit:
                _insert(rows)
        spent.append((time.perf_counter() - began) * 1000)
    return spent


@contextmanager
def not_waiting_for_the_disk() -> Iterator[None]:
    """Let commits of the block return before they are on the disk."""
    off, on = {
        "sqlite": ("PRAGMA synchronous = NORMAL", "PRAGMA synchronous = FULL"),
        "postgresql": ("SET synchronous_commit = off", "RESET synchronous_commit"),
    }[connection.vendor]
    _run(off)
    try:
        yield
    finally:
        _run(on)


def _run(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def _read(table: str, names: Sequence[str], where: str = "", *params: int) -> Rows:
    with connection.cursor() as cursor:
        columns = [c.name for c in connection.introspection.get_table_description(cursor, table)]
        columns.remove("id")
        marks = ", ".join(["%s"] * len(names))
        sql = f"SELECT {', '.join(columns)} FROM {table} WHERE series_id IN ({marks})"  # noqa: S608 (our names)
        cursor.execute(f"{sql} AND {where}" if where else sql, [*names, *params])
        return Rows(table, columns, cursor.fetchall())


def _by(rows: Rows, column: str) -> dict[int, Rows]:
    place, found = rows.columns.index(column), defaultdict(list)
    for row in rows.rows:
        found[row[place]].append(row)
    return {at: Rows(rows.table, rows.columns, part) for at, part in sorted(found.items())}


def _insert(rows: Rows) -> None:
    if not rows.rows:
        return
    names = ", ".join(rows.columns)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {rows.table} ({names}) FROM STDIN") as copy:
                for row in rows.rows:
                    copy.write_row(row)
            return
        marks = ", ".join(["%s"] * len(rows.columns))
        cursor.executemany(f"INSERT INTO {rows.table} ({names}) VALUES ({marks})", rows.rows)  # noqa: S608
