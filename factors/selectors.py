"""Read events, checkpoints and states of a series at any closed candle."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from factors.engine.runner import Checkpoint
from factors.engine.types import StoredEvent
from market import database

LAST = 2**63 - 1
CHECKPOINTS = """
SELECT wanted.column1, factor_name, state, state_version, digest, ordinal, candle_time
FROM (VALUES {}) AS wanted
JOIN factor_head_snapshots s ON s.series_id = wanted.column1 AND s.candle_time = (
    SELECT max(candle_time) FROM factor_head_snapshots
    WHERE series_id = wanted.column1 AND candle_time <= wanted.column2)
"""
FOUND_TABLES = ("factor_events", "factor_head_snapshots")


def checkpoints_before(times: Mapping[str, int]) -> dict[str, Checkpoint]:
    """Return of each series the newest checkpoint at or before its time, where there is one."""
    if not times:
        return {}
    sql = CHECKPOINTS.format(", ".join(["(%s, %s)"] * len(times)))
    rows = database.rows(sql, [value for pair in times.items() for value in pair])
    found: dict[str, list[tuple[Any, ...]]] = {}
    for series_id, *row in rows:
        found.setdefault(series_id, []).append(tuple(row))
    return {series_id: _checkpoint(parts) for series_id, parts in found.items()}


def _checkpoint(rows: Sequence[tuple[Any, ...]]) -> Checkpoint:
    """Return the checkpoint of these rows, one a factor."""
    states = {name: bytes(state) for name, state, *_ in rows}
    versions = {name: version for name, _, version, *_ in rows}
    *_, digest, ordinal, candle_time = rows[0]
    return Checkpoint(ordinal, candle_time, states, versions, {}, bytes(digest))


def events_between(series_id: str, start: int, end: int) -> dict[str, list[StoredEvent]]:
    """Return the events with `candle_time` in [start, end], by kind, in ledger order."""
    rows = database.rows(
        "SELECT kind, candle_time, payload_json FROM factor_events "
        "WHERE series_id = %s AND candle_time BETWEEN %s AND %s ORDER BY candle_time, seq",
        [series_id, start, end],
    )
    found: dict[str, list[StoredEvent]] = {}
    for kind, candle_time, text in rows:
        found.setdefault(kind, []).append(StoredEvent(kind, candle_time, text))
    return found


def events_in_order(
    series_id: str,
    factor: str | None = None,
    page: int = 5000,
    *,
    after: int = -1,
    to_time: int = LAST,
) -> Iterator[tuple[str, str, str, int, str]]:
    """Yield events: factor, kind, event_key, candle_time, payload text, in ledger order.

    All of them, or those with `candle_time` in (after, to_time].
    """
    narrowed, params = ("AND factor_name = %s ", [factor]) if factor else ("", [])
    place = (after + 1, -1)
    while True:
        rows = database.rows(
            "SELECT candle_time, seq, factor_name, kind, event_key, payload_json "  # noqa: S608
            f"FROM factor_events WHERE series_id = %s {narrowed}"
            "AND (candle_time, seq) > (%s, %s) AND candle_time <= %s "
            "ORDER BY candle_time, seq LIMIT %s",
            [series_id, *params, *place, to_time, page],
        )
        for candle_time, _, name, kind, key, text in rows:
            yield name, kind, key, candle_time, text
        if len(rows) < page:
            return
        place = rows[-1][:2]


def events_after(series_id: str, after: int, to_time: int) -> list[tuple[int, str, str, str]]:
    """Return ordinal, factor, kind and payload text of events in (after, to_time]."""
    rows = database.rows(
        "SELECT ordinal, factor_name, kind, payload_json FROM factor_events "
        "WHERE series_id = %s AND candle_time > %s AND candle_time <= %s "
        "ORDER BY candle_time, seq",
        [series_id, after, to_time],
    )
    return [(ordinal, name, kind, text) for ordinal, name, kind, text in rows]


def first_event_time(series_id: str) -> float:
    """Return when the first event of a series became visible; infinity: none did."""
    found = database.value(
        "SELECT min(candle_time) FROM factor_events WHERE series_id = %s", [series_id]
    )
    return float("inf") if found is None else float(found)


def newest_found(table: str, series_id: str) -> int | None:
    """Return the candle of the newest row of a series in one of `FOUND_TABLES`."""
    newest: int | None = database.value(
        f"SELECT max(candle_time) FROM {table} WHERE series_id = %s",  # noqa: S608 (our names)
        [series_id],
    )
    return newest


def digests_at(series_id: str, candle_time: int | None) -> dict[str, str]:
    """Return the digest in the checkpoint of each factor at exactly this candle."""
    rows = database.rows(
        "SELECT factor_name, digest FROM factor_head_snapshots "
        "WHERE series_id = %s AND candle_time = %s",
        [series_id, candle_time],
    )
    return {name: bytes(digest).hex() for name, digest in rows}


def found_checksum(series_id: str) -> bytes:
    """Return a hash of all that the factors of a series found, clock times aside."""
    digest = hashlib.sha256()
    for sql in (
        "SELECT candle_time, seq, ordinal, factor_name, kind, event_key, payload_json "
        "FROM factor_events WHERE series_id = %s ORDER BY candle_time, seq",
        "SELECT candle_time, factor_name, seq, ordinal, head_json, state, state_version, digest "
        "FROM factor_head_snapshots WHERE series_id = %s ORDER BY candle_time, factor_name, seq",
    ):
        for row in database.rows(sql, [series_id]):
            digest.update(
                repr([bytes(v) if isinstance(v, memoryview) else v for v in row]).encode()
            )
    return digest.digest()
