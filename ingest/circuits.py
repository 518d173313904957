"""The circuits of series, as every process sees them: each event is one change of a row.

Whoever loses a race reads again and tries again, so of two workers one becomes the probe. Any
number of series go in at once: they share the statements, and each has its own event.
"""

import logging
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from django.conf import settings

from ingest.circuit_rows import circuit_of, circuit_put, rows_read, rows_write
from ingest.guardrail import (
    Circuit,
    FailureKind,
    IngestLoopGuardrail,
    IngestLoopGuardrailConfig,
    State,
)
from ingest.models import IngestGuardrail
from market.debug_events import emit

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Attempt:
    """Which series may be tried now, and the least wait of the others (0 if there are none)."""

    admitted: list[str]
    wait: float


@dataclass(frozen=True, slots=True)
class Circuits:
    """The stored circuits under one policy; a series without a row has a fresh, closed one.

    Whether circuits are in use says `TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL`. `uniform` draws
    the jitter that the policy asks for.
    """

    config: IngestLoopGuardrailConfig = field(default_factory=IngestLoopGuardrailConfig)
    uniform: Callable[[float, float], float] = random.uniform

    def peek(self, series_ids: Iterable[str], now: float) -> dict[str, float]:
        """Return how long each series has to wait; no attempt, so nobody becomes the probe."""
        return self._each(series_ids, now, lambda guardrail: guardrail.peek(now=now))

    def begin_attempt(self, series_ids: Iterable[str], owner: str, now: float) -> Attempt:
        """Let those series be tried whose circuit admits it; `owner` names who tries."""
        waits = self._each(series_ids, now, lambda g: g.before_attempt(owner, now=now))
        admitted = [name for name, wait in waits.items() if not wait]
        return Attempt(admitted, min(filter(None, waits.values()), default=0.0))

    def succeeded(self, series_ids: Iterable[str], now: float) -> None:
        """Close the circuits: candles were committed, or the feed was stable long enough."""
        self._each(series_ids, now, lambda guardrail: guardrail.on_success(now=now))

    def failed(
        self, series_ids: Iterable[str], kind: FailureKind, error: BaseException | str, now: float
    ) -> dict[str, float]:
        """Take in one failure of each series; return how long each has to wait."""
        waits = self._each(series_ids, now, lambda g: g.on_failure(error=error, now=now, kind=kind))
        for name, wait in waits.items():
            text = "ingest.failed series_id=%s kind=%s wait=%.1f error=%r"
            logger.info(text, name, kind, wait, str(error))
        return waits

    def reset(self, series_ids: Iterable[str], user: str, now: float) -> None:
        """Close the circuits for a person, also those that are held."""
        for name in self._each(series_ids, now, IngestLoopGuardrail.reset):
            logger.warning("ingest.circuit_reset series_id=%s user=%r", name, user)

    def hold(self, series_ids: Iterable[str], user: str, now: float) -> list[str]:
        """Keep the circuits open for a person until they are reset.

        Return the series that are held, which is none where circuits are off.
        """
        done = self._each(series_ids, now, lambda guardrail: guardrail.hold(user, now=now))
        held = [name for name, is_held in done.items() if is_held]
        for name in held:
            logger.warning("ingest.circuit_held series_id=%s user=%r", name, user)
        return held

    def snapshots(self, series_ids: Iterable[str], now: float) -> dict[str, dict[str, Any]]:
        """Return what a debug page shows of each series; writes nothing."""
        rows = rows_read(series_ids)
        return {name: self.guardrail_of(row, now).snapshot(now=now) for name, row in rows.items()}

    def _each(
        self, series_ids: Iterable[str], now: float, event: Callable[[IngestLoopGuardrail], T]
    ) -> dict[str, T]:
        """Let the event happen to each circuit and write those that changed, until all are in."""
        results: dict[str, T] = {}
        pending = set(series_ids)
        while pending:
            changed: list[IngestGuardrail] = []
            tell: dict[str, Callable[[], None]] = {}
            for name, row in rows_read(pending).items():
                before, guardrail = circuit_of(row), self.guardrail_of(row, now)
                results[name] = event(guardrail)
                if guardrail.circuit != before or guardrail.enabled != row.enabled:
                    circuit_put(row, guardrail.circuit)
                    row.enabled = guardrail.enabled
                    changed.append(row)
                    tell[name] = partial(_tell, name, before, guardrail.circuit, now)
            won = rows_write(changed)
            for name in sorted(won):
                tell[name]()
            pending = tell.keys() - won
        return dict(sorted(results.items()))

    def guardrail_of(self, row: IngestGuardrail, now: float) -> IngestLoopGuardrail:
        """Return the guardrail that goes on from a row."""
        guardrail = IngestLoopGuardrail(
            enabled=settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL,
            config=self.config,
            uniform=self.uniform,
        )
        guardrail.restore(circuit_of(row), now=now)
        return guardrail


def _tell(series_id: str, before: Circuit, after: Circuit, now: float) -> None:
    """Tell if the state changed, or another one became the probe."""
    if after.state is State.HALF_OPEN:
        if after.probe_at not in {None, before.probe_at}:
            emit("ingest.circuit_probed", "write", series_id, data={"owner": after.probe_owner})
    elif after.state is before.state:
        return
    elif after.state is State.OPEN:
        wait = (after.open_until or now) - now
        about = {"kind": after.last_error_kind, "wait_s": wait, "trips": after.trips}
        emit("ingest.circuit_opened", "write", series_id, "warn", data=about)
    else:
        emit("ingest.circuit_closed", "write", series_id)
