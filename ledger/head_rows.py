"""The rows of heads as every commit reads and writes them, any number in one statement.

The ORM would make its statements anew each time, which costs as much as the rules of a candle do.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection
from django.utils import timezone

from ledger.models import LedgerHead
from market import database

KINDS = {
    "candle_head": "bigint",
    "factor_head": "bigint",
    "overlay_head": "bigint",
    "dirty_from": "bigint",
    "generation": "bigint",
    "digest": "text",
    "rules_fingerprint": "text",
    "last_error": "text",
    "last_error_step": "text",
    "last_error_at": "timestamptz",
    "last_refresh_at": "timestamptz",
    "last_duration_ms": "float8",
    "updated_at": "timestamptz",
}
FIELDS = ("id", "series_id", *KINDS)
TIMES = tuple(FIELDS.index(name) for name, kind in KINDS.items() if kind == "timestamptz")
SELECT = f"SELECT {', '.join(FIELDS)} FROM ledger_heads WHERE series_id IN ({{}})"  # noqa: S608 (our names)


def head_rows_lock(names: Sequence[str]) -> list[LedgerHead]:
    """Return the rows of these series in text order, locked until the transaction ends."""
    if not names:
        return []
    sql = SELECT.format(", ".join(["%s"] * len(names)))
    if connection.vendor == "postgresql":
        sql += ' ORDER BY series_id COLLATE "C" FOR UPDATE'
    rows = [_head(row) for row in database.rows(sql, list(names))]
    return sorted(rows, key=lambda head: head.series_id)


def head_rows_save(heads: Sequence[LedgerHead]) -> None:
    """Write these rows, which were there before."""
    now = timezone.now()
    for head in heads:
        head.updated_at = now
    rows = [(*(_stored(getattr(head, name)) for name in KINDS), head.series_id) for head in heads]
    database.update("ledger_heads", KINDS, {"series_id": "text"}, rows)


def _head(row: Sequence[Any]) -> LedgerHead:
    values = list(row)
    if connection.vendor == "sqlite":
        for place in TIMES:
            if values[place] is not None:
                values[place] = connection.ops.convert_datetimefield_value(  # type: ignore[attr-defined]
                    values[place], None, connection
                )
    return LedgerHead.from_db(database.WRITER, FIELDS, values)


def _stored(value: Any) -> Any:
    if isinstance(value, datetime):
        return connection.ops.adapt_datetimefield_value(value)
    return value
