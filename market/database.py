"""Database access of the hot paths: consistent reads and bulk writes, on SQLite and PostgreSQL.

Reads of several queries happen in `reading()`, on a connection of their own that never waits for
a writer and sees one state of the database. Inside an open write transaction they use that one.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, TypeVar

from django.db import OperationalError, connections, transaction
from django.db.backends.utils import CursorWrapper

WRITER, READER = "default", "reader"
WRITE_WAIT = 10.0
RETRY_PAUSES = (0.05, 0.1, 0.2)
GIVEN_UP = frozenset({"40P01", "40001"})  # deadlock, serialization failure
T = TypeVar("T")
_writers = threading.RLock()
_fetching = threading.Lock()
_alias: ContextVar[str] = ContextVar("alias", default=WRITER)


def alias() -> str:
    """Return the alias of the database that reads use here."""
    return _alias.get()


def vendor() -> str:
    """Return `sqlite` or `postgresql`."""
    return connections[WRITER].vendor


def cursor() -> CursorWrapper:
    """Return a cursor of the database that reads use here."""
    return connections[alias()].cursor()


@contextmanager
def reading() -> Iterator[None]:
    """Let all queries of the block see one state of the database."""
    inside_write = connections[WRITER].in_atomic_block
    if alias() == READER or inside_write:
        yield
        return
    token = _alias.set(READER)
    try:
        with transaction.atomic(using=READER):
            yield
    finally:
        _alias.reset(token)


@contextmanager
def writing(wait: float = WRITE_WAIT) -> Iterator[None]:
    """Hold one write transaction for the block.

    A lock is waited for at most `wait` seconds, then `OperationalError` is raised. SQLite has one
    writer, and those who wait for it poll; so the writers of this process queue here, before they
    ask the database.
    """
    if connections[WRITER].vendor != "sqlite":
        with transaction.atomic(using=WRITER):
            execute(f"SET LOCAL lock_timeout = {max(1, int(wait * 1000))}", [])
            yield
        return
    began = time.monotonic()
    if not _writers.acquire(timeout=wait):
        raise OperationalError(f"no turn to write within {wait} s")
    try:
        if not connections[WRITER].in_atomic_block:
            left = max(0.0, wait - (time.monotonic() - began))
            execute(f"PRAGMA busy_timeout = {int(left * 1000)}", [])  # for other processes
        with transaction.atomic(using=WRITER):
            yield
    finally:
        _writers.release()


def retrying(action: Callable[[], T]) -> T:
    """Run a whole transaction, again where the database gave it up for another one's sake.

    A deadlock or serialization failure of PostgreSQL is tried three times more.
    """
    for pause in RETRY_PAUSES:
        try:
            return action()
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", "") not in GIVEN_UP:
                raise
            time.sleep(pause)
    return action()


def rows(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return the rows of one query.

    SQLite lets go of the interpreter at every row; threads that fetch at once would take turns
    by the row, twice as slow as one after another.
    """
    with cursor() as found:
        found.execute(sql, params)
        with _fetching if found.db.vendor == "sqlite" else nullcontext():
            every: list[tuple[Any, ...]] = found.fetchall()
        return every


def value(sql: str, params: Sequence[Any]) -> Any:
    """Return the first column of the first row, or None."""
    with cursor() as found:
        found.execute(sql, params)
        row = found.fetchone()
        return row[0] if row else None


def series_rows(table: str, columns: Iterable[str], series_id: str) -> list[tuple[Any, ...]]:
    """Return these columns of all rows of a series, in no order; what is binary comes as bytes."""
    sql = f"SELECT {', '.join(columns)} FROM {table} WHERE series_id = %s"  # noqa: S608 (our names)
    return [
        tuple(bytes(v) if isinstance(v, memoryview) else v for v in row)
        for row in rows(sql, [series_id])
    ]


def series_in(table: str) -> list[str]:
    """Return the series that have rows in a table; costs one look into its index for each."""
    sql = (
        f"WITH RECURSIVE found(name) AS (SELECT min(series_id) FROM {table} UNION ALL "  # noqa: S608
        f"SELECT (SELECT min(series_id) FROM {table} WHERE series_id > name) FROM found "
        "WHERE name IS NOT NULL) SELECT name FROM found WHERE name IS NOT NULL"
    )
    return [name for (name,) in rows(sql, [])]


def insert(
    table: str, columns: Mapping[str, str], values: Iterable[Sequence[Any]], conflict: str = ""
) -> None:
    """Insert rows in their order, with one statement; `conflict` is an ON CONFLICT clause.

    `columns` maps each column to its PostgreSQL type. The caller holds the transaction.
    """
    table_rows = list(values)
    if not table_rows:
        return
    names = ", ".join(columns)
    with connections[WRITER].cursor() as target:
        if connections[WRITER].vendor == "postgresql":
            arrays = ", ".join(f"%s::{kind}[]" for kind in columns.values())
            source = f"SELECT * FROM unnest({arrays})"  # noqa: S608 (our types)
            target.execute(
                f"INSERT INTO {table} ({names}) {source} {conflict}",
                [list(column) for column in zip(*table_rows, strict=True)],
            )
            return
        marks = ", ".join(["%s"] * len(columns))
        sql = f"INSERT INTO {table} ({names}) VALUES ({marks}) {conflict}"  # noqa: S608 (our names)
        target.executemany(sql, table_rows)


def update(
    table: str, columns: Mapping[str, str], key: str, values: Iterable[Sequence[Any]]
) -> None:
    """Set these columns of the rows that a text column names, with one statement.

    Each of `values` holds the columns in order and then the key.
    """
    table_rows = list(values)
    if not table_rows:
        return
    with connections[WRITER].cursor() as target:
        if connections[WRITER].vendor == "postgresql":
            settings = ", ".join(f"{name} = new.{name}" for name in columns)
            kinds = ", ".join(f"%s::{kind}[]" for kind in (*columns.values(), "text"))
            target.execute(
                f"UPDATE {table} SET {settings} FROM unnest({kinds})"  # noqa: S608 (our names)
                f" AS new({', '.join((*columns, key))}) WHERE {table}.{key} = new.{key}",
                [list(column) for column in zip(*table_rows, strict=True)],
            )
            return
        settings = ", ".join(f"{name} = %s" for name in columns)
        target.executemany(f"UPDATE {table} SET {settings} WHERE {key} = %s", table_rows)  # noqa: S608


def delete_pairs(table: str, columns: tuple[str, str], values: Iterable[tuple[str, int]]) -> None:
    """Delete the rows of these pairs of a text and a number, with one statement."""
    pairs = list(values)
    if not pairs:
        return
    text, number = columns
    with connections[WRITER].cursor() as target:
        if connections[WRITER].vendor == "postgresql":
            target.execute(
                f"DELETE FROM {table} WHERE ({text}, {number}) IN"  # noqa: S608 (our names)
                " (SELECT * FROM unnest(%s::text[], %s::bigint[]))",
                [list(column) for column in zip(*pairs, strict=True)],
            )
            return
        target.executemany(f"DELETE FROM {table} WHERE {text} = %s AND {number} = %s", pairs)  # noqa: S608


def execute(sql: str, params: Sequence[Any]) -> int:
    """Run one writing statement in the caller's transaction; return how many rows it touched."""
    with connections[WRITER].cursor() as target:
        target.execute(sql, params)
        touched: int = target.rowcount
        return touched
