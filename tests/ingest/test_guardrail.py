"""When a feed that fails may try again: each row of the table, each kind, what always holds."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import guardrail
from ingest.circuit_table import CLOSED, HALF_OPEN, OPEN, TABLE, Row
from ingest.guardrail import Circuit, Failure, IngestLoopGuardrail, IngestLoopGuardrailConfig

CONFIG = IngestLoopGuardrailConfig()
NOW = 1_700_000_000.0
IN = {
    CLOSED: Circuit(),
    OPEN: Circuit(state=OPEN, trips=1, open_until=NOW + 30, consecutive_failures=5),
    HALF_OPEN: Circuit(state=HALF_OPEN, trips=1, probe_owner="me", probe_at=NOW),
}
Played = tuple[Circuit, float]


def fail(circuit: Circuit, now: float = NOW, kind: str = "connect") -> Played:
    return guardrail.failed(circuit, now, CONFIG, Failure(kind, "no luck"))


def fails(count: int, every: float, kind: str = "connect") -> list[Played]:
    """Return the circuit after each of so many failures, and the wait."""
    circuit, played = Circuit(), []
    for number in range(count):
        circuit, wait = fail(circuit, NOW + every * number, kind)
        played.append((circuit, wait))
    return played


def attempt(circuit: Circuit, now: float) -> Played:
    return guardrail.admitted(circuit, now, CONFIG, "another")


# How to bring each row of the table about.
PLAYS: dict[tuple[str, str, str], Callable[[Circuit], Played]] = {
    (CLOSED, "attempt", ""): lambda c: attempt(c, NOW),
    (CLOSED, "failure", "under both limits"): fail,
    (CLOSED, "failure", "5 in 60 s, or 10 in a row"): lambda c: fail(
        replace(c, failures=(NOW - 60,) * 4)
    ),
    (CLOSED, "failure", "of kind config"): lambda c: fail(c, kind="config"),
    (CLOSED, "rotation", "at most 6 in 10 min"): lambda c: fail(c, kind="rotation"),
    (OPEN, "attempt", "too early"): lambda c: attempt(c, NOW + 10),
    (OPEN, "attempt", "in time"): lambda c: attempt(c, NOW + 30),
    (OPEN, "failure", ""): fail,
    (HALF_OPEN, "attempt", "while a probe is out"): lambda c: attempt(c, NOW + 10),
    (HALF_OPEN, "attempt", "60 s after the probe"): lambda c: attempt(c, NOW + 60),
    (HALF_OPEN, "failure", ""): fail,
    (HALF_OPEN, "success", ""): lambda c: (guardrail.succeeded(c, NOW), 0.0),
    (OPEN, "reset", "by staff"): lambda c: (Circuit(), 0.0),
    (CLOSED, "hold", "by staff"): lambda c: (guardrail.held(c, NOW, "ann"), 0.0),
}
WAITS = {
    "may try": 0.0,
    "waits 1, 2, 4, 8, 15 s": 1.0,
    "waits 30 s": 30.0,
    "waits 300 s": 300.0,
    "waits 1 s": 1.0,
    "waits the rest": 20.0,
    "is the one probe": 0.0,
    "never waits less": 30.0,
    "waits until it expires": 50.0,
    "is the next probe": 0.0,
    "waits twice as long": 60.0,
}


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.state} {row.event} {row.condition}")
def test_each_row_of_the_table_holds(row: Row) -> None:
    after, wait = PLAYS[row.state, row.event, row.condition](IN[row.state])

    assert after.state == row.leads_to
    assert wait == WAITS.get(row.effect, 0.0)
    if "probe" in row.effect:
        assert (after.probe_owner, after.open_until) == ("another", None)


def test_every_play_is_a_row() -> None:
    assert set(PLAYS) == {row[:3] for row in TABLE}


def test_instant_failures_wait_1_2_4_8_and_then_30_s() -> None:
    """Row 1 of `ingest.md` D9: what the guardrail says."""
    times, circuit, waits = NOW, Circuit(), []
    for _ in range(5):
        circuit, wait = fail(circuit, times)
        waits.append(wait)
        times += wait

    assert waits == [1.0, 2.0, 4.0, 8.0, 30.0]
    assert circuit.state == OPEN


def test_a_probe_that_fails_waits_60_120_240_and_then_300_s() -> None:
    """Row 2 of `ingest.md` D9: what the guardrail says."""
    circuit, _ = fails(5, 0.0)[-1]
    now, waits = NOW, []
    for _ in range(6):
        now = circuit.open_until or now
        circuit, nothing = attempt(circuit, now)
        assert (circuit.state, nothing) == (HALF_OPEN, 0.0)
        circuit, wait = fail(circuit, now)
        waits.append(wait)

    assert waits == [60.0, 120.0, 240.0, 300.0, 300.0, 300.0]


def test_failures_16_s_apart_open_it_only_at_ten_in_a_row() -> None:
    """Row 4 of `ingest.md` D9: what the guardrail says."""
    states = [circuit.state for circuit, _ in fails(10, 16.0)]

    assert states == [CLOSED] * 9 + [OPEN]


def test_a_failure_at_the_edge_of_the_window_still_counts() -> None:
    assert fails(5, 15.0)[-1][0].state == OPEN
    assert fails(5, 15.01)[-1][0].state == CLOSED


def test_a_failure_while_open_keeps_it_open_and_shortens_nothing() -> None:
    late, wait = fail(IN[OPEN], NOW + 25)
    later, _ = fail(replace(IN[OPEN], failures=()), NOW + 25)

    assert (late.state, later.state) == (OPEN, OPEN)
    assert late.open_until == NOW + 25 + 15
    assert wait == 15


def test_success_forgets_all_but_what_failed_last() -> None:
    circuit = guardrail.succeeded(fails(7, 1.0)[-1][0], NOW + 99)

    assert circuit == Circuit(
        last_failure_at=NOW + 6,
        last_error="no luck",
        last_error_kind="connect",
        last_success_at=NOW + 99,
    )


@pytest.mark.parametrize("kind", ["rotation", "rate_limit", "lease_lost"])
def test_ends_that_are_nobodys_failure_do_not_count(kind: str) -> None:
    circuit, _ = fails(5, 0.0, kind)[-1]

    assert (circuit.state, circuit.failures, circuit.consecutive_failures) == (CLOSED, (), 0)


def test_a_seventh_rotation_in_ten_minutes_counts_as_a_failure() -> None:
    """Row 17 of `ingest.md` D9: what the guardrail says."""
    sixth, seventh = fails(7, 60.0, "rotation")[-2:]

    assert (sixth[0].consecutive_failures, sixth[1]) == (0, 1.0)
    assert (seventh[0].consecutive_failures, seventh[0].last_error_kind) == (1, "stream")
    assert fails(7, 101.0, "rotation")[-1][0].consecutive_failures == 0


def test_a_probe_that_ends_by_rotation_leaves_its_place() -> None:
    circuit, _ = fail(IN[HALF_OPEN], kind="rotation")

    assert attempt(circuit, NOW)[1] == 0.0


def test_what_no_retry_mends_waits_300_s_doubled_to_an_hour() -> None:
    """Row 43 of `ingest.md` D9: what the guardrail says."""
    circuit, waits, now = Circuit(), [], NOW
    for _ in range(6):
        circuit, _ = attempt(circuit, now)
        circuit, wait = fail(circuit, now, "config")
        waits.append(wait)
        now += wait

    assert waits == [300.0, 600.0, 1200.0, 2400.0, 3600.0, 3600.0]


def test_jitter_moves_a_wait_by_its_ratio() -> None:
    config = IngestLoopGuardrailConfig(jitter_ratio=0.2)
    failure = Failure("stream")
    _, low = guardrail.failed(Circuit(), NOW, config, failure, lambda least, _: least)
    _, high = guardrail.failed(Circuit(), NOW, config, failure, lambda _, most: most)

    assert (low, high) == (0.8, 1.2)


def test_a_clock_that_jumped_back_does_not_keep_it_open_for_ever() -> None:
    """Row 38 of `ingest.md` D9: what the guardrail says."""
    odd = replace(IN[OPEN], open_until=NOW + 10**6, next_attempt_at=NOW + 10**6)

    circuit = guardrail.loaded(odd, NOW, CONFIG)

    assert circuit.open_until == circuit.next_attempt_at == NOW + 3600


def test_a_held_circuit_stays_held_after_a_restart() -> None:
    circuit = guardrail.loaded(guardrail.held(Circuit(), NOW, "ann"), NOW, CONFIG)

    assert attempt(circuit, NOW + 10**7)[1] > 0
    assert circuit.last_error == "held by ann"


def test_numbers_under_their_floor_are_raised() -> None:
    config = IngestLoopGuardrailConfig(0, 0.0, -1.0, -1.0, 400.0, 1.0, -1.0, -1.0)

    assert config == IngestLoopGuardrailConfig(1, 1.0, 0.0, 0.0, 400.0, 400.0, 0.0, 0.0)


def test_a_guardrail_that_is_off_counts_nothing_and_waits_2_s() -> None:
    """Row 39 of `ingest.md` D9: what the guardrail says."""
    off = IngestLoopGuardrail(CONFIG, clock=lambda: NOW, enabled=False)

    assert [off.on_failure("x") for _ in range(9)] == [2.0] * 9
    assert (off.before_attempt(), off.peek()) == (0.0, 0.0)
    shown = off.snapshot()
    assert (shown["enabled"], shown["state"], shown["window_failures"]) == (False, CLOSED, 0)


def test_a_snapshot_shows_what_the_protocol_names() -> None:
    now = [NOW]
    rail = IngestLoopGuardrail(CONFIG, clock=lambda: now[0])
    for _ in range(5):
        rail.on_failure(OSError("refused"))
    now[0] += 12

    shown = rail.snapshot()

    assert {key: shown[key] for key in list(shown)[:9]} == {
        "enabled": True,
        "state": "open",
        "window_failures": 5,
        "consecutive_failures": 5,
        "last_failure_at": NOW,
        "last_error": "refused",
        "last_backoff_s": 30.0,
        "next_retry_in_s": 18.0,
        "config": {
            "crash_budget": 5,
            "budget_window_s": 60.0,
            "backoff_initial_s": 1.0,
            "backoff_max_s": 15.0,
            "open_cooldown_s": 30.0,
        },
    }


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["attempt", "failure", "success", "restart", "rotation", "config", "hold"]),
        st.sampled_from(["one", "two"]),
        st.floats(0, 400),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_what_always_holds_of_a_circuit(events: list[tuple[str, str, float]]) -> None:
    """Row 48 of `ingest.md` D9."""
    circuit, now = Circuit(), NOW
    for event, owner, later in events:
        now += later
        before, wait = circuit, 0.0
        if event == "attempt":
            circuit, wait = guardrail.admitted(circuit, now, CONFIG, owner)
        elif event == "success":
            circuit = guardrail.succeeded(circuit, now)
        elif event == "restart":
            circuit = guardrail.loaded(circuit, now, CONFIG)
            assert circuit == before
        elif event == "hold" and later > 390:
            circuit = guardrail.held(circuit, now, owner)
        elif event != "hold":
            kind = "connect" if event == "failure" else event
            circuit, wait = guardrail.failed(circuit, now, CONFIG, Failure(kind))

        is_held = (
            circuit.last_error_kind == guardrail.HELD or circuit.open_until == before.open_until
        )
        assert 0 <= wait <= CONFIG.longest_wait or is_held
        assert (circuit.open_until is not None) == (circuit.state == OPEN)
        assert bool(circuit.probe_owner) <= (circuit.state == HALF_OPEN)
        if event == "attempt" and before.state == HALF_OPEN and before.probe_at is not None:
            expired = now >= before.probe_at + CONFIG.probe_timeout_s
            assert (circuit.probe_owner == before.probe_owner) or expired
