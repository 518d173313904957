"""Circuits as rows: read, and written only where nobody wrote since."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from functools import partial
from typing import Any

import orjson
from django.db import connections

from ingest.guardrail import Circuit, State
from ingest.models import IngestGuardrail
from market import database
from market.database import WRITER

ROWS_PER_STATEMENT = 500
COLUMNS = [column for column in IngestGuardrail._meta.concrete_fields if not column.primary_key]


def circuit_of(row: IngestGuardrail) -> Circuit:
    """Return what a row remembers."""
    values = {column.name: getattr(row, column.name) for column in fields(Circuit)}
    values["state"] = State(row.state)
    for name in ("failures", "rotations"):
        values[name] = tuple(float(time) for time in orjson.loads(values[name]))
    return Circuit(**values)


def circuit_put(row: IngestGuardrail, circuit: Circuit) -> None:
    """Set the fields of a row to what is to be remembered; does not save it."""
    for name, value in asdict(circuit).items():
        setattr(row, name, value)
    row.state = circuit.state.value
    row.failures = orjson.dumps(circuit.failures).decode()
    row.rotations = orjson.dumps(circuit.rotations).decode()


def rows_read(series_ids: Iterable[str]) -> dict[str, IngestGuardrail]:
    """Return the row of each series in text order; one that has none gets a fresh one, unsaved."""
    names = sorted(set(series_ids))
    found: dict[str, IngestGuardrail] = {}
    for first in range(0, len(names), ROWS_PER_STATEMENT):
        part = names[first : first + ROWS_PER_STATEMENT]
        stored = IngestGuardrail.objects.filter(series_id__in=part)
        found |= {row.series_id: row for row in stored}
    return {name: found.get(name) or IngestGuardrail(series_id=name) for name in names}


def rows_write(rows: Sequence[IngestGuardrail]) -> set[str]:
    """Write rows whose stored revision is still the one that was read; return their series.

    Rows come in text order, so two workers that share some wait for each other, never in a ring.
    """
    won: set[str] = set()
    for first in range(0, len(rows), ROWS_PER_STATEMENT):
        won |= database.retrying(partial(_write, rows[first : first + ROWS_PER_STATEMENT]))
    return won


def _write(rows: Sequence[IngestGuardrail]) -> set[str]:
    names = [str(column.column) for column in COLUMNS]
    marks = f"({', '.join(['%s'] * len(names))})"
    changes = ", ".join(f"{name} = excluded.{name}" for name in names if name != "series_id")
    sql = (
        f"INSERT INTO ingest_guardrails ({', '.join(names)}) "  # noqa: S608 (our names)
        f"VALUES {', '.join([marks] * len(rows))} ON CONFLICT (series_id) DO UPDATE SET {changes} "
        "WHERE ingest_guardrails.revision = excluded.revision - 1 RETURNING series_id"
    )
    with database.writing(), connections[WRITER].cursor() as target:
        target.execute(sql, [value for row in rows for value in _values(row)])
        return {name for (name,) in target.fetchall()}


def _values(row: IngestGuardrail) -> list[Any]:
    """Return the values of a row as its database takes them, with the next revision."""
    values = {column.name: column.pre_save(row, add=True) for column in COLUMNS}
    values["revision"] = row.revision + 1
    return [column.get_db_prep_save(values[column.name], connections[WRITER]) for column in COLUMNS]
