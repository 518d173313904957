"""The circuits of series as rows: every process sees the same, and a restart forgets nothing.

A change holds the row, so that of two workers who find a circuit half open one is the probe.
Blocking work; loops and the supervisor call it in threads.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import orjson
from django.conf import settings

from ingest import guardrail
from ingest.circuit_table import CLOSED
from ingest.guardrail import Circuit, Failure, IngestLoopGuardrailConfig
from ingest.models import IngestGuardrail
from market import database

logger = logging.getLogger(__name__)

CONFIG = IngestLoopGuardrailConfig(jitter_ratio=0.2)
LISTS = ("failures", "rotations")
COLUMNS = [field.name for field in fields(Circuit)]
Change = Callable[[Circuit], tuple[Circuit, float]]


@dataclass(frozen=True, slots=True)
class Attempt:
    """Who may try now, and the least time that one of the others has to wait."""

    admitted: list[str]
    wait: float


def is_enabled() -> bool:
    """Say whether failures are counted at all."""
    return bool(settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL)


def circuit_of(row: IngestGuardrail, now: float) -> Circuit:
    """Return the circuit that a row holds."""
    values = {name: getattr(row, name) for name in COLUMNS}
    lists = {name: tuple(orjson.loads(values[name])) for name in LISTS}
    return guardrail.loaded(Circuit(**values | lists), now, CONFIG)


def begin_attempt(series_ids: Sequence[str], owner: str, now: float) -> Attempt:
    """Let those series try whose circuits admit it; the row of a probe names its owner."""
    if not is_enabled():
        return Attempt(sorted(series_ids), 0.0)

    def admit(circuit: Circuit) -> tuple[Circuit, float]:
        if circuit.state == CLOSED and (circuit.next_attempt_at or now) > now:
            return circuit, (circuit.next_attempt_at or now) - now
        return guardrail.admitted(circuit, now, CONFIG, owner)

    waits = _change(series_ids, admit, now)
    admitted = sorted(name for name, wait in waits.items() if wait <= 0)
    return Attempt(admitted, min((wait for wait in waits.values() if wait > 0), default=0.0))


def succeeded(series_ids: Iterable[str], now: float) -> None:
    """Close the circuits of these series."""
    if is_enabled():
        _change(series_ids, lambda circuit: (guardrail.succeeded(circuit, now), 0.0), now)


def failed(series_ids: Iterable[str], kind: str, error: str, now: float) -> dict[str, float]:
    """Note one failure for each of these series; return how long each has to wait."""
    if not is_enabled():
        waits = _change(series_ids, lambda _: (Circuit(), guardrail.FIXED_WAIT), now)
        return dict.fromkeys(waits, guardrail.ROTATION_WAIT) if kind == "rotation" else waits
    return _change(
        series_ids, lambda one: guardrail.failed(one, now, CONFIG, Failure(kind, error)), now
    )


def reset(series_id: str, user: str, now: float | None = None) -> None:
    """Close a circuit because somebody said so."""
    logger.info("ingest.circuit_reset %s by=%s", series_id, user)
    at = time.time() if now is None else now
    _change([series_id], lambda _: (Circuit(), 0.0), at)


def hold(series_id: str, user: str, now: float | None = None) -> None:
    """Keep a circuit open until somebody resets it."""
    at = time.time() if now is None else now
    _change([series_id], lambda circuit: (guardrail.held(circuit, at, user), 0.0), at)


def _change(series_ids: Iterable[str], change: Change, now: float) -> dict[str, float]:
    """Change the circuits of series in one transaction; return what `change` says of each."""
    names, waits = sorted(set(series_ids)), {}
    with database.writing():
        rows = _rows(names)
        altered = []
        for row in rows:
            before = circuit_of(row, now)
            after, waits[row.series_id] = change(before)
            if after != before or row.enabled != is_enabled():
                _tell(row.series_id, before, after)
                _put(row, after)
                altered.append(row)
        IngestGuardrail.objects.bulk_update(altered, [*COLUMNS, "enabled", "revision"])
    return waits


def _rows(names: list[str]) -> list[IngestGuardrail]:
    """Return the locked rows of these series, made where they are missing."""
    found = IngestGuardrail.objects.filter(series_id__in=names).order_by("series_id")
    missing = set(names) - set(found.values_list("series_id", flat=True))
    rows = [IngestGuardrail(series_id=name, enabled=is_enabled()) for name in sorted(missing)]
    IngestGuardrail.objects.bulk_create(rows, ignore_conflicts=True)
    return list(found.select_for_update())


def _put(row: IngestGuardrail, circuit: Circuit) -> None:
    values: dict[str, Any] = asdict(circuit)
    for name, value in values.items():
        setattr(row, name, orjson.dumps(value).decode() if name in LISTS else value)
    row.enabled = is_enabled()
    row.revision += 1


def _tell(series_id: str, before: Circuit, after: Circuit) -> None:
    if before.state != after.state:
        logger.warning(
            "ingest.circuit_%s %s from=%s kind=%s trips=%s error=%s",
            after.state, series_id, before.state, after.last_error_kind, after.trips,
            after.last_error,
        )  # fmt: skip
