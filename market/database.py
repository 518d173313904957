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

from django.db import DatabaseError, OperationalError, connections, transaction
from django.db.backends.utils import CursorWrapper

WRITER, READER = "default", "reader"
WRITE_WAIT = 10.0
RETRY_PAUSES = (0.05, 0.1, 0.2)
GIVEN_UP = frozenset({"40P01", "40001"})  # deadlock, serialization failure
LOST = ("08", "57P")  # connection failure, shutdown
# Writers find every row by an index: the plan that PostgreSQL would make for a table whose size it
# does not know yet may read the whole of it, and the longer the more there is.
WRITING = """
SELECT set_config('lock_timeout', %s, true), set_config('enable_seqscan', 'off', true),
    set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)
"""
NUMBERS = frozenset({"bigint", "integer", "float8"})
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
def writing(wait: float = WRITE_WAIT, *, pipelined: bool = False) -> Iterator[None]:
    """Hold one write transaction for the block.

    A lock is waited for at most `wait` seconds, then `OperationalError` is raised. SQLite has one
    writer, and those who wait for it poll; so the writers of this process queue here, before they
    ask the database. Where it is `pipelined`, statements are as in `pipeline`.
    """
    if connections[WRITER].vendor != "sqlite":
        with transaction.atomic(using=WRITER), pipeline() if pipelined else nullcontext():
            execute(WRITING, [str(max(1, int(wait * 1000)))])
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


@contextmanager
def pipeline() -> Iterator[None]:
    """Send statements to PostgreSQL without waiting for each; a read waits for all before it.

    So an error may come from a later statement, at the latest from the end of the block, and how
    many rows one touched is not known. After an error, nothing but a rollback is possible.
    """
    connection = connections[WRITER]
    if connection.vendor != "postgresql":
        yield
        return
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.connection.pipeline():
        yield


def is_given_up(error: DatabaseError) -> bool:
    """Say whether PostgreSQL gave a transaction up for another one's sake."""
    return _state(error) in GIVEN_UP


def is_lost(error: DatabaseError) -> bool:
    """Say whether PostgreSQL cannot be reached any more: nothing that it answered names a state."""
    state = _state(error)
    return state is None or state.startswith(LOST)


def _state(error: DatabaseError) -> str | None:
    """Return the state that PostgreSQL gave an error, "" for one of SQLite."""
    state: str | None = getattr(error.__cause__, "sqlstate", "")
    return state


def retrying(action: Callable[[], T]) -> T:
    """Run a whole transaction, again where the database gave it up for another one's sake.

    A deadlock or serialization failure of PostgreSQL is tried three times more.
    """
    for pause in RETRY_PAUSES:
        try:
            return action()
        except OperationalError as error:
            if not is_given_up(error):
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
    names, marks = ", ".join(columns), ", ".join(["%s"] * len(columns))
    into = f"INSERT INTO {table} ({names})"
    _write_rows(
        f"{into} VALUES ({marks}) {conflict}",
        f"{into} SELECT * FROM {{rows}} {conflict}",  # noqa: S608 (our names)
        list(columns.values()),
        list(values),
    )


def update(
    table: str,
    columns: Mapping[str, str],
    keys: Mapping[str, str],
    values: Iterable[Sequence[Any]],
) -> None:
    """Set these columns of the rows that the keys name, with one statement.

    Each of `values` holds the columns in order and then the keys.
    """
    given = ", ".join(f"{name} = %s" for name in columns)
    named = " AND ".join(f"{name} = %s" for name in keys)
    taken = ", ".join(f"{name} = new.{name}" for name in columns)
    matched = " AND ".join(f"{table}.{name} = new.key_{name}" for name in keys)
    source = f"{{rows}} AS new({', '.join((*columns, *(f'key_{name}' for name in keys)))})"
    _write_rows(
        f"UPDATE {table} SET {given} WHERE {named}",  # noqa: S608 (our names)
        f"UPDATE {table} SET {taken} FROM {source} WHERE {matched}",  # noqa: S608
        [*columns.values(), *keys.values()],
        list(values),
    )


def _write_rows(
    each: str, at_once: str, kinds: Sequence[str], values: Sequence[Sequence[Any]]
) -> None:
    """Run a statement for each of these rows on SQLite; on PostgreSQL one for all `{rows}`."""
    if not values:
        return
    writer = connections[WRITER]
    with writer.cursor() as target:
        if writer.vendor == "postgresql":
            arrays = ", ".join(f"%s::{kind}[]" for kind in kinds)
            columns = zip(kinds, zip(*values, strict=True), strict=True)
            target.execute(
                at_once.format(rows=f"unnest({arrays})"),
                [_array(kind, column) for kind, column in columns],
            )
        else:
            target.executemany(each, values)


def _array(kind: str, values: Sequence[Any]) -> str:
    """Return values as the text of an array of PostgreSQL, which psycopg would take longer over."""
    if kind in NUMBERS:
        return f"{{{','.join(map(repr, values)).replace('None', 'NULL')}}}"
    return f"{{{','.join(map(_element, values))}}}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    text = f"\\x{bytes(value).hex()}" if isinstance(value, (bytes, memoryview)) else str(value)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def execute(sql: str, params: Sequence[Any]) -> None:
    """Run one writing statement in the caller's transaction."""
    with connections[WRITER].cursor() as target:
        target.execute(sql, params)
