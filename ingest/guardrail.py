"""When may a series try again: backoff, crash budget and circuit. Imports no framework.

Time is an argument, and so is chance; what is remembered is one immutable value, `Circuit`, that a
row can hold. `ingest.circuit_table` lists every change of state.
"""

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

DISABLED_WAIT_S = 2.0
ROTATION_WAIT_S = 1.0
ROTATIONS_FREE = 6
ROTATION_WINDOW_S = 600.0
MOST_TIMES = 64
MOST_ERROR = 2000
HELD = "held"
HOLD_S = 100 * 365 * 86400.0
MOST_DOUBLINGS = 60


class State(StrEnum):
    """Whether a series may try: yes, not now, or one probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class FailureKind(StrEnum):
    """What failed; some of it is nobody's fault and does not count."""

    CONNECT = "connect"
    STREAM = "stream"
    PIPELINE = "pipeline"
    PARSE = "parse"
    ROTATION = "rotation"
    RATE_LIMIT = "rate_limit"
    CONFIG = "config"
    LEASE_LOST = "lease_lost"


UNCOUNTED = {FailureKind.ROTATION, FailureKind.RATE_LIMIT, FailureKind.LEASE_LOST}


@dataclass(frozen=True, slots=True)
class IngestLoopGuardrailConfig:
    """The numbers of a guardrail; one under its floor is raised to it."""

    crash_budget: int = 5
    budget_window_s: float = 60.0
    backoff_initial_s: float = 1.0
    backoff_max_s: float = 15.0
    open_cooldown_s: float = 30.0
    open_cooldown_max_s: float = 300.0
    config_cooldown_s: float = 300.0
    config_cooldown_max_s: float = 3600.0
    probe_timeout_s: float = 60.0
    stable_after_s: float = 30.0
    jitter_ratio: float = 0.0

    def __post_init__(self) -> None:
        """Raise what is under its floor."""
        floors = dict.fromkeys(asdict(self), 0.0) | {
            "crash_budget": 1,
            "budget_window_s": 1.0,
            "open_cooldown_max_s": max(0.0, self.open_cooldown_s),
            "config_cooldown_max_s": max(0.0, self.config_cooldown_s),
        }
        for name, floor in floors.items():
            object.__setattr__(self, name, max(floor, getattr(self, name)))
        object.__setattr__(self, "jitter_ratio", min(1.0, self.jitter_ratio))

    @property
    def longest_s(self) -> float:
        """The longest time that anybody is ever asked to wait at once."""
        waits = (
            self.backoff_max_s,
            self.open_cooldown_max_s,
            self.config_cooldown_max_s,
            self.probe_timeout_s,
            ROTATION_WAIT_S,
        )
        return max(waits) * (1 + self.jitter_ratio)


@dataclass(frozen=True, slots=True)
class Circuit:
    """All that is remembered of one series; times are seconds since the epoch."""

    state: State = State.CLOSED
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

    @property
    def is_held(self) -> bool:
        """Whether a person keeps it open."""
        return self.state is State.OPEN and self.last_error_kind == HELD


@dataclass(slots=True, kw_only=True)
class IngestLoopGuardrail:
    """The retry policy of one series, for its job and its feed alike.

    `circuit` is replaced by each event. `uniform(low, high)` draws the jitter. Switched off, it
    remembers nothing and has every failure wait two seconds.
    """

    enabled: bool = True
    config: IngestLoopGuardrailConfig = field(default_factory=IngestLoopGuardrailConfig)
    circuit: Circuit = field(default_factory=Circuit)
    uniform: Callable[[float, float], float] = random.uniform

    def restore(self, circuit: Circuit, *, now: float) -> None:
        """Go on from a stored circuit; what a clock that jumped back would keep far off is cut."""
        if not self.enabled:
            self.circuit = _closed(circuit)
            return
        latest = None if circuit.is_held else now + self.config.longest_s
        self.circuit = replace(
            circuit,
            failures=tuple(time for time in circuit.failures if time <= now),
            rotations=tuple(time for time in circuit.rotations if time <= now),
            open_until=_earlier(circuit.open_until, latest),
            next_attempt_at=_earlier(circuit.next_attempt_at, latest),
            probe_at=_earlier(circuit.probe_at, now),
        )

    def peek(self, *, now: float) -> float:
        """Return how long an attempt would have to wait; changes nothing."""
        ready_at = self._ready_at()
        if not self.enabled or ready_at is None:
            return 0.0
        return min(max(0.0, ready_at - now), self.config.longest_s)

    def _ready_at(self) -> float | None:
        circuit = self.circuit
        if circuit.state is State.OPEN:
            return circuit.open_until
        if circuit.state is State.CLOSED:
            return circuit.next_attempt_at
        if circuit.probe_at is None:
            return None
        return circuit.probe_at + self.config.probe_timeout_s

    def before_attempt(self, owner: str = "", *, now: float) -> float:
        """Return 0 to one who may try now, else how long to wait.

        After a cooldown one caller is let in, the probe; its place is free again if it never
        says how it went.
        """
        wait = self.peek(now=now)
        if wait or not self.enabled or self.circuit.state is State.CLOSED:
            return wait
        self.circuit = replace(
            self.circuit,
            state=State.HALF_OPEN,
            open_until=None,
            next_attempt_at=None,
            probe_owner=owner,
            probe_at=now,
        )
        return 0.0

    def on_success(self, *, now: float) -> None:
        """Forget the failures: candles came in, or the feed was stable long enough."""
        if self.enabled and not self.circuit.is_held:
            self.circuit = replace(_closed(self.circuit), last_success_at=now)

    def on_failure(
        self,
        *,
        error: BaseException | str,
        now: float,
        kind: FailureKind = FailureKind.CONNECT,
    ) -> float:
        """Take in that an attempt or a feed failed; return how long to wait."""
        if not self.enabled:
            return DISABLED_WAIT_S
        if self.circuit.is_held:
            return self.peek(now=now)
        if kind is FailureKind.ROTATION and self._rotates_too_often(now):
            return self._count(kind, error, now)
        if kind in UNCOUNTED:
            return self._pass(kind, now)
        return self._count(kind, error, now)

    def _rotates_too_often(self, now: float) -> bool:
        """Note a rotation; say whether it is one too many."""
        rotations = (*_since(self.circuit.rotations, now - ROTATION_WINDOW_S), now)
        self.circuit = replace(self.circuit, rotations=rotations[-MOST_TIMES:])
        return len(rotations) > ROTATIONS_FREE

    def _pass(self, kind: FailureKind, now: float) -> float:
        """Let a failure that does not count go by; a probe gives its place back."""
        wait = self._jittered(ROTATION_WAIT_S) if kind is FailureKind.ROTATION else 0.0
        if self.circuit.state is State.HALF_OPEN:
            self.circuit = replace(self.circuit, probe_owner="", probe_at=None)
        if self.circuit.state is State.CLOSED and wait:
            self.circuit = replace(self.circuit, next_attempt_at=now + wait)
        return max(wait, self.peek(now=now))

    def _count(self, kind: FailureKind, error: BaseException | str, now: float) -> float:
        """Count a failure; open the circuit where it is one too many."""
        before = self.circuit
        most = max(MOST_TIMES, self.config.crash_budget)
        self.circuit = replace(
            before,
            failures=(*self._window(now), now)[-most:],
            consecutive_failures=before.consecutive_failures + 1,
            last_failure_at=now,
            last_error=_storable(str(error)),
            last_error_kind=kind.value,
        )
        if before.state is State.OPEN:
            return self._stay_open(kind, now)
        if before.state is State.HALF_OPEN or kind is FailureKind.CONFIG or self._is_spent():
            return self._open(kind, now)
        wait = self._jittered(self._backoff())
        self.circuit = replace(self.circuit, last_backoff_s=wait, next_attempt_at=now + wait)
        return wait

    def _open(self, kind: FailureKind, now: float) -> float:
        trips = self.circuit.trips + 1
        wait = self._jittered(self._cooldown(kind, trips))
        self.circuit = replace(
            self.circuit,
            state=State.OPEN,
            trips=trips,
            last_backoff_s=wait,
            open_until=now + wait,
            next_attempt_at=now + wait,
            probe_owner="",
            probe_at=None,
        )
        return wait

    def _stay_open(self, kind: FailureKind, now: float) -> float:
        config_wrong = kind is FailureKind.CONFIG
        pause = self._cooldown(kind, self.circuit.trips) if config_wrong else self._backoff()
        wait = self._jittered(pause)
        until = max(now + wait, self.circuit.open_until or now)
        self.circuit = replace(
            self.circuit, last_backoff_s=wait, open_until=until, next_attempt_at=until
        )
        return max(wait, self.peek(now=now))

    def _is_spent(self) -> bool:
        """Say whether failures came too fast, or too often in a row however slow."""
        budget = self.config.crash_budget
        fast, slow = len(self.circuit.failures), self.circuit.consecutive_failures
        return fast >= budget or slow >= 2 * budget

    def _backoff(self) -> float:
        times = self.circuit.consecutive_failures - 1
        return _doubled(self.config.backoff_initial_s, times, self.config.backoff_max_s)

    def _cooldown(self, kind: FailureKind, trips: int) -> float:
        config = self.config
        if kind is FailureKind.CONFIG:
            return _doubled(config.config_cooldown_s, trips - 1, config.config_cooldown_max_s)
        return _doubled(config.open_cooldown_s, trips - 1, config.open_cooldown_max_s)

    def _jittered(self, wait: float) -> float:
        ratio = self.config.jitter_ratio
        return wait * (1 + self.uniform(-ratio, ratio)) if ratio else wait

    def _window(self, now: float) -> tuple[float, ...]:
        return _since(self.circuit.failures, now - self.config.budget_window_s)

    def reset(self) -> None:
        """Close the circuit for a person, also one that is held; rotations are forgotten, too."""
        self.circuit = replace(_closed(self.circuit), rotations=())

    def hold(self, user: str, *, now: float) -> bool:
        """Open the circuit for a person; it stays so, whatever happens, until it is reset.

        Say whether it is held: there is none to hold where it is switched off.
        """
        if not self.enabled:
            return False
        until = now + HOLD_S
        self.circuit = replace(
            self.circuit,
            state=State.OPEN,
            last_error=_storable(f"held by {user}"),
            last_error_kind=HELD,
            open_until=until,
            next_attempt_at=until,
            probe_owner="",
            probe_at=None,
        )
        return True

    def snapshot(self, *, now: float) -> dict[str, Any]:
        """Return what a debug page shows of it."""
        circuit = self.circuit
        return {
            "enabled": self.enabled,
            "state": circuit.state.value,
            "window_failures": len(self._window(now)),
            "consecutive_failures": circuit.consecutive_failures,
            "last_failure_at": circuit.last_failure_at,
            "last_error": circuit.last_error or None,
            "last_backoff_s": circuit.last_backoff_s,
            "next_retry_in_s": self.peek(now=now) if circuit.state is State.OPEN else 0.0,
            "config": asdict(self.config),
            "last_error_kind": circuit.last_error_kind or None,
            "trips": circuit.trips,
            "held": circuit.is_held,
            "next_attempt_in_s": self.peek(now=now),
            "open_until": circuit.open_until,
            "next_attempt_at": circuit.next_attempt_at,
            "probe_owner": circuit.probe_owner or None,
            "probe_at": circuit.probe_at,
            "last_success_at": circuit.last_success_at,
        }


def _closed(circuit: Circuit) -> Circuit:
    """Return the circuit closed and without failures; the last error and rotations stay known."""
    return replace(
        circuit,
        state=State.CLOSED,
        failures=(),
        consecutive_failures=0,
        trips=0,
        last_backoff_s=0.0,
        open_until=None,
        next_attempt_at=None,
        probe_owner="",
        probe_at=None,
    )


def _since(times: tuple[float, ...], start: float) -> tuple[float, ...]:
    return tuple(time for time in times if time >= start)


def _earlier(time: float | None, latest: float | None) -> float | None:
    return time if time is None or latest is None else min(time, latest)


def _doubled(first: float, times: int, most: float) -> float:
    """Return `first`, doubled so many times, but not more than `most`."""
    return min(most, first * 2.0 ** min(max(0, times), MOST_DOUBLINGS))


def _storable(text: str) -> str:
    """Return text that every database takes: no NUL, no lone surrogate, not too long."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:MOST_ERROR]
