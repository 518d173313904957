"""When a series may try again: the table of the circuit, the numbers, and what never happens."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ingest.circuit_table import TRANSITIONS, Condition, Effect, Event, Transition
from ingest.guardrail import (
    HELD,
    UNCOUNTED,
    Circuit,
    FailureKind,
    IngestLoopGuardrail,
    IngestLoopGuardrailConfig,
    State,
)
from ingest.models import CircuitState

NOW = 1_700_000_000.0
BEFORE: dict[State, Circuit] = {
    State.CLOSED: Circuit(failures=(NOW - 20,), consecutive_failures=1, last_backoff_s=1.0),
    State.OPEN: Circuit(
        state=State.OPEN,
        failures=(NOW - 1,),
        consecutive_failures=5,
        trips=1,
        last_error_kind="stream",
        open_until=NOW + 20,
        next_attempt_at=NOW + 20,
    ),
    State.HALF_OPEN: Circuit(
        state=State.HALF_OPEN,
        consecutive_failures=5,
        trips=1,
        probe_owner="first",
        probe_at=NOW - 5,
    ),
}
ARRANGE: dict[Condition, dict[str, Any]] = {
    Condition.ALWAYS: {},
    Condition.UNDER_LIMITS: {},
    Condition.CONFIG: {},
    Condition.EARLY: {"next_attempt_at": NOW + 20},
    Condition.DUE: {"next_attempt_at": NOW, "open_until": NOW},
    Condition.FAST_LIMIT: {"failures": (NOW - 60, NOW - 3, NOW - 2, NOW - 1)},
    Condition.SLOW_LIMIT: {"consecutive_failures": 9},
    Condition.SEVENTH_ROTATION: {"rotations": tuple(NOW - 600 + i for i in range(6))},
    Condition.PROBE_RUNS: {},
    Condition.PROBE_FREE: {"probe_at": NOW - 60},
    Condition.HELD: {"last_error_kind": HELD},
}


def arranged(row: Transition) -> Circuit:
    return replace(BEFORE[row.state], **ARRANGE[row.condition])


def kind_of(row: Transition) -> FailureKind:
    special = {
        Condition.CONFIG: FailureKind.CONFIG,
        Condition.SEVENTH_ROTATION: FailureKind.ROTATION,
    }
    return special.get(row.condition, FailureKind.STREAM)


def play(row: Transition, guardrail: IngestLoopGuardrail) -> float | None:
    """Let the event of a row happen; return the wait it gives, if any."""
    fail = guardrail.on_failure
    events: dict[Event, Callable[[], float | None]] = {
        Event.ATTEMPT: lambda: guardrail.before_attempt("second", now=NOW),
        Event.FAILURE: lambda: fail(error="broken", now=NOW, kind=kind_of(row)),
        Event.PASSING: lambda: fail(error="usual", now=NOW, kind=FailureKind.ROTATION),
        Event.SUCCESS: lambda: guardrail.on_success(now=NOW),
        Event.RESET: guardrail.reset,
        Event.HOLD: lambda: guardrail.hold("ann", now=NOW),
    }
    return events[row.event]()


def is_reset(old: Circuit, new: Circuit, wait: float | None) -> bool:
    forgotten = (new.failures, new.consecutive_failures, new.trips, new.last_backoff_s)
    times = (new.open_until, new.next_attempt_at, new.probe_at, new.probe_owner)
    return (forgotten, times) == (((), 0, 0, 0.0), (None, None, None, ""))


CHECK: dict[Effect, Callable[[Circuit, Circuit, float | None], bool]] = {
    Effect.NOTHING: lambda old, new, wait: replace(new, rotations=()) == old,
    Effect.ADMIT: lambda old, new, wait: (new, wait) == (old, 0.0),
    Effect.WAIT_BACKOFF: lambda old, new, wait: (new, wait) == (old, 20.0),
    Effect.WAIT_OPEN: lambda old, new, wait: (new, wait) == (old, 20.0),
    Effect.WAIT_PROBE: lambda old, new, wait: (new, wait) == (old, 55.0),
    Effect.BACK_OFF: lambda old, new, wait: (
        (new.next_attempt_at, new.last_backoff_s, wait) == (NOW + 2, 2.0, 2.0)
    ),
    Effect.TRIP: lambda old, new, wait: (
        (new.trips, new.open_until) == (old.trips + 1, NOW + (wait or 0))
        and wait in {30.0, 60.0, 300.0}
    ),
    Effect.LATER: lambda old, new, wait: (
        (new.open_until, new.trips, wait) == (NOW + 20, 1, 20.0)
        and new.last_error == "broken"
        and len(new.failures) == 2
    ),
    Effect.GO_BY: lambda old, new, wait: (new.failures, wait) == (old.failures, 1.0),
    Effect.PROBE: lambda old, new, wait: (
        (new.probe_owner, new.probe_at, wait) == ("second", NOW, 0.0)
    ),
    Effect.FREE_PROBE: lambda old, new, wait: (new.probe_owner, new.probe_at) == ("", None),
    Effect.RESET: is_reset,
    Effect.HOLD: lambda old, new, wait: (
        (new.open_until or 0) > NOW + 1e9 and new.last_error == "held by ann"
    ),
}


def told(row: Transition) -> str:
    return "-".join(filter(None, (row.state, row.event, row.condition))).replace(" ", "_")


@pytest.mark.parametrize("row", TRANSITIONS, ids=told)
def test_the_guardrail_does_what_the_table_says(row: Transition) -> None:
    old = arranged(row)
    guardrail = IngestLoopGuardrail(circuit=old)

    wait = play(row, guardrail)

    assert guardrail.circuit.state is row.new_state
    assert CHECK[row.effect](old, guardrail.circuit, wait), (guardrail.circuit, wait)


def test_the_table_names_every_state_with_every_event() -> None:
    named = {(row.state, row.event) for row in TRANSITIONS}

    assert named == {(state, event) for state in State for event in Event}


def test_rows_and_guardrail_have_the_same_states() -> None:
    assert set(CircuitState.values) == {state.value for state in State}


def test_the_circuit_opens_when_the_crash_budget_is_spent() -> None:
    config = IngestLoopGuardrailConfig(
        crash_budget=2,
        budget_window_s=60.0,
        backoff_initial_s=0.1,
        backoff_max_s=1.0,
        open_cooldown_s=5.0,
    )
    guardrail = IngestLoopGuardrail(enabled=True, config=config)

    waits = [guardrail.on_failure(error=RuntimeError("boom"), now=now) for now in (10.0, 11.0)]

    assert waits == [0.1, 5.0]
    said = guardrail.snapshot(now=11.0)
    assert (said["state"], said["next_retry_in_s"]) == ("open", 5.0)


def test_success_of_the_probe_resets_the_circuit() -> None:
    config = IngestLoopGuardrailConfig(crash_budget=1, open_cooldown_s=2.0)
    guardrail = IngestLoopGuardrail(enabled=True, config=config)
    guardrail.on_failure(error=RuntimeError("boom"), now=20.0)

    assert guardrail.before_attempt(now=21.0) == 1.0
    assert guardrail.before_attempt(now=22.1) == 0.0
    assert guardrail.snapshot(now=22.1)["state"] == "half_open"

    guardrail.on_success(now=22.2)

    said = guardrail.snapshot(now=22.2)
    assert (said["state"], said["window_failures"]) == ("closed", 0)


def fails_at_once(guardrail: IngestLoopGuardrail, times: int, now: float = NOW) -> list[float]:
    """Try whenever it is allowed, fail at once, and return the waits."""
    waits = []
    for _ in range(times):
        assert guardrail.before_attempt("worker", now=now) == 0
        waits.append(guardrail.on_failure(error="refused", now=now))
        now += waits[-1]
    return waits


def test_instant_failures_wait_1_2_4_8_seconds_then_the_circuit_opens() -> None:
    """Rows 1 and 2 of the feeds' faults."""
    waits = fails_at_once(IngestLoopGuardrail(), 11)

    assert waits == [1, 2, 4, 8, 30, 60, 120, 240, 300, 300, 300]


def test_a_feed_that_is_accepted_and_closed_at_once_opens_the_circuit() -> None:
    """Row 3 of the feeds' faults."""
    guardrail = IngestLoopGuardrail()
    waits = []
    for second in range(5):
        waits.append(
            guardrail.on_failure(error="closed", now=NOW + second, kind=FailureKind.STREAM)
        )

    assert waits[-1] == 30
    assert guardrail.circuit.state is State.OPEN


def test_slow_failures_open_after_twice_the_budget_in_a_row() -> None:
    """Row 4 of the feeds' faults."""
    guardrail = IngestLoopGuardrail()
    states = []
    for number in range(10):
        guardrail.on_failure(error="timeout", now=NOW + 16 * number)
        states.append(guardrail.circuit.state)

    assert states == [State.CLOSED] * 9 + [State.OPEN]


def test_peek_changes_nothing_and_lets_nobody_in() -> None:
    guardrail = IngestLoopGuardrail(circuit=BEFORE[State.OPEN])

    waits = [guardrail.peek(now=now) for now in (NOW, NOW + 20)]

    assert (waits, guardrail.circuit) == ([20, 0], BEFORE[State.OPEN])


def test_the_place_of_a_dead_probe_is_free_after_its_time() -> None:
    """Row 37 of the feeds' faults."""
    guardrail = IngestLoopGuardrail(circuit=BEFORE[State.OPEN])

    asked = [(20, "first"), (21, "second"), (79, "second"), (80, "second"), (81, "first")]
    waits = [guardrail.before_attempt(owner, now=NOW + after) for after, owner in asked]

    assert waits == [0, 59, 1, 0, 59]
    assert guardrail.circuit.probe_owner == "second"


def test_success_lets_the_cooldown_begin_anew() -> None:
    guardrail = IngestLoopGuardrail()
    fails_at_once(guardrail, 7)
    guardrail.on_success(now=NOW + 1000)

    assert fails_at_once(guardrail, 6, NOW + 2000) == [1, 2, 4, 8, 30, 60]


def test_an_open_circuit_is_never_open_for_a_shorter_time_by_a_failure() -> None:
    guardrail = IngestLoopGuardrail(circuit=BEFORE[State.OPEN])

    waits = [guardrail.on_failure(error="late", now=NOW + after) for after in (1, 18, 100)]

    assert waits == [19, 15, 15]
    assert guardrail.circuit.open_until == NOW + 115


def test_jitter_is_drawn_after_the_cap() -> None:
    config = IngestLoopGuardrailConfig(jitter_ratio=0.2)
    longest = IngestLoopGuardrail(config=config, uniform=lambda low, high: high)
    shortest = IngestLoopGuardrail(config=config, uniform=lambda low, high: low)

    assert fails_at_once(longest, 5) == pytest.approx([1.2, 2.4, 4.8, 9.6, 36])
    assert fails_at_once(shortest, 5) == pytest.approx([0.8, 1.6, 3.2, 6.4, 24])


@pytest.mark.parametrize("kind", sorted(set(FailureKind) - UNCOUNTED - {FailureKind.CONFIG}))
def test_this_kind_counts_and_backs_off(kind: FailureKind) -> None:
    guardrail = IngestLoopGuardrail()

    assert guardrail.on_failure(error="broken", now=NOW, kind=kind) == 1
    said = guardrail.snapshot(now=NOW)
    assert (said["consecutive_failures"], said["last_error_kind"]) == (1, kind)
    assert (said["last_failure_at"], said["last_error"]) == (NOW, "broken")


def test_six_rotations_in_ten_minutes_do_not_count_and_the_seventh_does() -> None:
    """Row 17 of the feeds' faults."""
    guardrail = IngestLoopGuardrail()

    def rotate(after: float) -> tuple[float, int]:
        wait = guardrail.on_failure(error="1001", now=NOW + after, kind=FailureKind.ROTATION)
        return wait, guardrail.circuit.consecutive_failures

    assert [rotate(60 * minute) for minute in range(6)] == [(1, 0)] * 6
    assert rotate(600) == (1, 1)
    assert rotate(661) == (1, 1)
    assert rotate(662) == (2, 2)


@pytest.mark.parametrize("kind", [FailureKind.RATE_LIMIT, FailureKind.LEASE_LOST])
@pytest.mark.parametrize("state", [State.CLOSED, State.OPEN])
def test_this_kind_does_not_count(kind: FailureKind, state: State) -> None:
    """Row 21 of the feeds' faults."""
    guardrail = IngestLoopGuardrail(circuit=BEFORE[state])

    wait = guardrail.on_failure(error="429", now=NOW, kind=kind)

    assert (wait, guardrail.circuit) == (guardrail.peek(now=NOW), BEFORE[state])


def test_rotations_do_not_make_other_kinds_count() -> None:
    guardrail = IngestLoopGuardrail(circuit=Circuit(rotations=(NOW,) * 9))

    guardrail.on_failure(error="429", now=NOW, kind=FailureKind.RATE_LIMIT)

    assert guardrail.circuit.consecutive_failures == 0


def test_a_wrong_symbol_opens_at_once_and_doubles_up_to_an_hour() -> None:
    """Row 43 of the feeds' faults."""
    guardrail, now, waits = IngestLoopGuardrail(), NOW, []
    for _ in range(6):
        error = "Invalid symbol NIX/USDT"
        waits.append(guardrail.on_failure(error=error, now=now, kind=FailureKind.CONFIG))
        now += waits[-1]
        assert guardrail.before_attempt(now=now) == 0

    assert waits == [300, 600, 1200, 2400, 3600, 3600]
    assert "NIX/USDT" in guardrail.circuit.last_error
    assert guardrail.circuit.last_error_kind == "config"


def test_a_held_circuit_lets_nobody_in_until_it_is_reset() -> None:
    guardrail = IngestLoopGuardrail()
    guardrail.hold("ann", now=NOW)
    held, years = guardrail.circuit, NOW + 10 * 365 * 86400

    guardrail.on_success(now=NOW + 1)
    guardrail.on_failure(error="broken", now=NOW + 2, kind=FailureKind.CONFIG)
    guardrail.restore(guardrail.circuit, now=NOW + 3)

    assert guardrail.circuit == held
    assert guardrail.before_attempt(now=years) == guardrail.config.longest_s
    guardrail.reset()
    assert guardrail.before_attempt(now=NOW + 4) == 0


@pytest.mark.parametrize(
    ("state", "longest"), [(State.OPEN, 3600), (State.CLOSED, 3600), (State.HALF_OPEN, 60)]
)
def test_a_clock_that_jumped_back_keeps_nobody_waiting_for_long(
    state: State, longest: float
) -> None:
    """Row 38 of the feeds' faults."""
    later = NOW + 86400
    stored = Circuit(state, failures=(later,), next_attempt_at=later)
    if state is State.OPEN:
        stored = replace(stored, open_until=later)
    if state is State.HALF_OPEN:
        stored = replace(stored, probe_at=later)
    guardrail = IngestLoopGuardrail()

    guardrail.restore(stored, now=NOW)

    assert guardrail.peek(now=NOW) == longest
    assert guardrail.circuit.failures == ()


def test_switched_off_it_waits_two_seconds_and_remembers_nothing() -> None:
    """Row 39 of the feeds' faults."""
    guardrail = IngestLoopGuardrail(enabled=False)
    guardrail.restore(BEFORE[State.OPEN], now=NOW)
    before = guardrail.circuit

    waits = [guardrail.on_failure(error="broken", now=NOW, kind=kind) for kind in FailureKind]
    guardrail.hold("ann", now=NOW)

    assert waits == [2.0] * len(FailureKind)
    assert guardrail.before_attempt(now=NOW) == 0
    assert guardrail.circuit == before
    said = guardrail.snapshot(now=NOW)
    assert (said["enabled"], said["state"]) == (False, "closed")


def test_numbers_under_their_floor_are_raised() -> None:
    config = IngestLoopGuardrailConfig(
        crash_budget=0,
        budget_window_s=0,
        backoff_initial_s=-1,
        open_cooldown_s=400,
        jitter_ratio=2,
    )

    assert (config.crash_budget, config.budget_window_s, config.backoff_initial_s) == (1, 1, 0)
    assert (config.open_cooldown_max_s, config.jitter_ratio) == (400, 1)


def test_the_longest_wait_is_the_longest_cooldown_with_its_jitter() -> None:
    assert IngestLoopGuardrailConfig(jitter_ratio=0.2).longest_s == 3600 * 1.2


def test_no_more_than_64_times_are_kept() -> None:
    guardrail = IngestLoopGuardrail()
    for kind in (FailureKind.STREAM, FailureKind.ROTATION):
        for step in range(70):
            guardrail.on_failure(error="broken", now=NOW + step / 10, kind=kind)

    assert (len(guardrail.circuit.failures), len(guardrail.circuit.rotations)) == (64, 64)


def test_an_error_is_kept_so_that_every_database_takes_it() -> None:
    guardrail = IngestLoopGuardrail()

    guardrail.on_failure(error="a\0b\ud800" + "c" * 3000, now=NOW)

    assert guardrail.circuit.last_error.startswith("ab?c")
    assert len(guardrail.circuit.last_error) == 2000


ORIGIN_KEYS = {
    "enabled",
    "state",
    "window_failures",
    "consecutive_failures",
    "last_failure_at",
    "last_error",
    "last_backoff_s",
    "next_retry_in_s",
    "config",
}


def test_the_snapshot_has_the_keys_of_the_earlier_system() -> None:
    guardrail = IngestLoopGuardrail(circuit=BEFORE[State.OPEN])

    said = guardrail.snapshot(now=NOW + 60)

    assert said.keys() >= ORIGIN_KEYS
    assert said["config"].items() >= {"crash_budget": 5, "open_cooldown_s": 30.0}.items()
    assert said["window_failures"] == 0
