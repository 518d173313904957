"""When a feed that fails may try again: a circuit per series. Imports no framework.

A circuit is a value; `admitted`, `failed` and `succeeded` return the next one, with the seconds to
wait. Time and chance are arguments. Rules: `ingest.md` A2 as changed by D2; `TABLE` has them in
one view.
"""

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from ingest.circuit_table import CLOSED, HALF_OPEN, OPEN

ROTATION_WAIT, MOST_ROTATIONS, ROTATION_WINDOW = 1.0, 6, 600.0
FIRST_CONFIG_WAIT, LONGEST_CONFIG_WAIT = 300.0, 3600.0
HELD, HOLD_SECONDS = "held", 10 * 365 * 86400.0
MOST_TIMES, LONGEST_ERROR = 64, 2000
FIXED_WAIT = 2.0


Dice = Callable[[float, float], float]


class Failure(NamedTuple):
    """What went wrong: its kind (`ingest.md` D2, 7) and words."""

    kind: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class IngestLoopGuardrailConfig:
    """How patient a circuit is; a number under its floor is raised to it."""

    crash_budget: int = 5
    budget_window_s: float = 60.0
    backoff_initial_s: float = 1.0
    backoff_max_s: float = 15.0
    open_cooldown_s: float = 30.0
    open_cooldown_max_s: float = 300.0
    probe_timeout_s: float = 60.0
    jitter_ratio: float = 0.0

    def __post_init__(self) -> None:
        floors = {
            "crash_budget": 1,
            "budget_window_s": 1.0,
            "open_cooldown_max_s": self.open_cooldown_s,
        }
        for name, value in asdict(self).items():
            object.__setattr__(self, name, max(value, floors.get(name, 0)))

    @property
    def longest_wait(self) -> float:
        """The longest time, in seconds, for which a circuit stays open by itself."""
        longest = max(self.open_cooldown_max_s, LONGEST_CONFIG_WAIT)
        return longest * (1 + self.jitter_ratio)


@dataclass(frozen=True, slots=True)
class Circuit:
    """What is known of the failures of one series; times are seconds since the epoch."""

    state: str = CLOSED
    failures: tuple[float, ...] = ()
    rotations: tuple[float, ...] = ()
    consecutive_failures: int = 0
    trips: int = 0
    last_failure_at: float | None = None
    last_error: str = ""
    last_error_kind: str = ""
    last_backoff_s: float = 0.0
    open_until: float | None = None
    next_attempt_at: float | None = None
    probe_owner: str = ""
    probe_at: float | None = None
    last_success_at: float | None = None

    def wait(self, now: float, config: IngestLoopGuardrailConfig) -> float:
        """Return for how long nobody may try; changes nothing."""
        if self.state == OPEN:
            return max(0.0, (self.open_until or now) - now)
        if self.state == HALF_OPEN and self.probe_at is not None:
            return max(0.0, self.probe_at + config.probe_timeout_s - now)
        return 0.0


def admitted(
    circuit: Circuit, now: float, config: IngestLoopGuardrailConfig, owner: str = ""
) -> tuple[Circuit, float]:
    """Let one who will try pass (0), or say how long it has to wait."""
    wait = circuit.wait(now, config)
    if circuit.state == CLOSED or wait > 0:
        return circuit, wait
    probing = replace(circuit, state=HALF_OPEN, open_until=None, probe_owner=owner, probe_at=now)
    return probing, 0.0


def succeeded(circuit: Circuit, now: float) -> Circuit:
    """Close the circuit; what failed last stays to be read."""
    return Circuit(
        rotations=circuit.rotations,
        last_failure_at=circuit.last_failure_at,
        last_error=circuit.last_error,
        last_error_kind=circuit.last_error_kind,
        last_success_at=now,
    )


def failed(
    circuit: Circuit,
    now: float,
    config: IngestLoopGuardrailConfig,
    failure: Failure,
    dice: Dice = random.uniform,
) -> tuple[Circuit, float]:
    """Note a failure; return the circuit and the seconds to wait before the next attempt."""
    kind, error = failure
    noted = replace(circuit, last_error=error[:LONGEST_ERROR], last_error_kind=kind)
    if kind == "rotation":
        rotations = _within(circuit.rotations, now, ROTATION_WINDOW)
        noted = replace(noted, rotations=rotations)
        if len(rotations) > MOST_ROTATIONS:
            return failed(noted, now, config, Failure("stream", error), dice)
        return _uncounted(noted), ROTATION_WAIT
    if kind == "rate_limit":
        return _uncounted(noted), config.backoff_max_s
    if kind == "lease_lost":
        return _uncounted(noted), 0.0
    failures = _within(circuit.failures, now, config.budget_window_s)
    consecutive = circuit.consecutive_failures + 1
    noted = replace(noted, failures=failures, consecutive_failures=consecutive, last_failure_at=now)
    return _counted(noted, now, config, dice)


def _counted(
    circuit: Circuit,
    now: float,
    config: IngestLoopGuardrailConfig,
    dice: Dice,
) -> tuple[Circuit, float]:
    """Open the circuit, keep it open, or let it wait a little."""
    backoff = config.backoff_initial_s * 2.0 ** min(circuit.consecutive_failures - 1, 60)
    backoff = _jittered(min(config.backoff_max_s, backoff), config, dice)
    is_config = circuit.last_error_kind == "config"
    if circuit.state == OPEN:
        until = max(circuit.open_until or now, now + backoff)
        return replace(circuit, open_until=until, last_backoff_s=backoff), until - now
    too_many = len(circuit.failures) >= config.crash_budget
    too_long = circuit.consecutive_failures >= 2 * config.crash_budget
    if circuit.state == CLOSED and not (is_config or too_many or too_long):
        waiting = replace(circuit, last_backoff_s=backoff, next_attempt_at=now + backoff)
        return waiting, backoff
    trips = circuit.trips + 1
    first = FIRST_CONFIG_WAIT if is_config else config.open_cooldown_s
    longest = LONGEST_CONFIG_WAIT if is_config else config.open_cooldown_max_s
    wait = _jittered(min(longest, first * 2.0 ** min(trips - 1, 60)), config, dice)
    opened = replace(
        circuit,
        state=OPEN,
        trips=trips,
        open_until=now + wait,
        next_attempt_at=now + wait,
        last_backoff_s=wait,
        probe_owner="",
        probe_at=None,
    )
    return opened, wait


def _uncounted(circuit: Circuit) -> Circuit:
    """Return the circuit after an end that is nobody's failure: a probe's place is free again."""
    return replace(circuit, probe_owner="", probe_at=None)


def _within(times: tuple[float, ...], now: float, window: float) -> tuple[float, ...]:
    """Return the times of the window with this one; one exactly at its edge stays."""
    return (*(time for time in times if time >= now - window), now)[-MOST_TIMES:]


def _jittered(wait: float, config: IngestLoopGuardrailConfig, dice: Dice) -> float:
    ratio = config.jitter_ratio
    return wait * (1 + dice(-ratio, ratio)) if ratio else wait


def held(circuit: Circuit, now: float, user: str) -> Circuit:
    """Keep the circuit open until somebody resets it."""
    return replace(
        circuit,
        state=OPEN,
        open_until=now + HOLD_SECONDS,
        last_error=f"held by {user}"[:LONGEST_ERROR],
        last_error_kind=HELD,
        probe_owner="",
        probe_at=None,
    )


def loaded(circuit: Circuit, now: float, config: IngestLoopGuardrailConfig) -> Circuit:
    """Return a stored circuit, without waits that only a clock that jumped can explain."""
    if circuit.last_error_kind == HELD:
        return circuit
    latest = now + config.longest_wait
    until = None if circuit.open_until is None else min(circuit.open_until, latest)
    following = None if circuit.next_attempt_at is None else min(circuit.next_attempt_at, latest)
    probe = None if circuit.probe_at is None else min(circuit.probe_at, now)
    return replace(circuit, open_until=until, next_attempt_at=following, probe_at=probe)


def snapshot(
    circuit: Circuit, now: float, config: IngestLoopGuardrailConfig, *, enabled: bool
) -> dict[str, Any]:
    """Return what debug answers show of a circuit (`protocol.md` 3.9)."""
    start = now - config.budget_window_s
    return {
        "enabled": enabled,
        "state": circuit.state,
        "window_failures": sum(time >= start for time in circuit.failures),
        "consecutive_failures": circuit.consecutive_failures,
        "last_failure_at": circuit.last_failure_at,
        "last_error": circuit.last_error or None,
        "last_backoff_s": circuit.last_backoff_s,
        "next_retry_in_s": circuit.wait(now, config) if circuit.state == OPEN else 0.0,
        "config": {
            "crash_budget": config.crash_budget,
            "budget_window_s": config.budget_window_s,
            "backoff_initial_s": config.backoff_initial_s,
            "backoff_max_s": config.backoff_max_s,
            "open_cooldown_s": config.open_cooldown_s,
        },
        "trips": circuit.trips,
        "last_error_kind": circuit.last_error_kind or None,
        "open_until": circuit.open_until,
        "probe_owner": circuit.probe_owner or None,
        "last_success_at": circuit.last_success_at,
    }


class IngestLoopGuardrail:
    """One circuit with a clock: what a loop that keeps its state in memory uses.

    Off, it counts nothing and lets wait a fixed time.
    """

    def __init__(
        self,
        config: IngestLoopGuardrailConfig,
        *,
        clock: Callable[[], float],
        enabled: bool = True,
        circuit: Circuit | None = None,
        dice: Dice = random.uniform,
    ) -> None:
        self.config, self.enabled = config, enabled
        self.circuit = circuit or Circuit()
        self._clock, self._dice = clock, dice

    def peek(self) -> float:
        """Return how long an attempt would have to wait; changes nothing."""
        return self.circuit.wait(self._clock(), self.config) if self.enabled else 0.0

    def before_attempt(self, owner: str = "") -> float:
        """Return 0 to one who may try now, or how long it has to wait."""
        if not self.enabled:
            return 0.0
        self.circuit, wait = admitted(self.circuit, self._clock(), self.config, owner)
        return wait

    def on_success(self) -> None:
        """Close the circuit: something was committed, or a connection held."""
        if self.enabled:
            self.circuit = succeeded(self.circuit, self._clock())

    def on_failure(self, error: object = "", kind: str = "connect") -> float:
        """Note a failure; return the seconds to wait."""
        if not self.enabled:
            return FIXED_WAIT
        failure = Failure(kind, str(error))
        self.circuit, wait = failed(self.circuit, self._clock(), self.config, failure, self._dice)
        return wait

    def snapshot(self) -> dict[str, Any]:
        """Return what debug answers show."""
        return snapshot(self.circuit, self._clock(), self.config, enabled=self.enabled)
