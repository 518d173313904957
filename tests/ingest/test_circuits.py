"""The stored circuits: restarts, races and several series at once."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar
from unittest.mock import patch

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from ingest.circuit_rows import rows_read
from ingest.circuits import Attempt, Circuits
from ingest.guardrail import FailureKind, IngestLoopGuardrailConfig
from ingest.models import IngestGuardrail

pytestmark = pytest.mark.django_db
A, B, C = (f"binance:futures:{name}/USDT:1m" for name in "ABC")
NOW = 1_700_000_000.0
STREAM, CONNECT = FailureKind.STREAM, FailureKind.CONNECT
T = TypeVar("T")


@pytest.fixture(autouse=True)
def guardrail_on(settings: Any) -> None:
    settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL = True


def row(series_id: str = A) -> IngestGuardrail:
    return IngestGuardrail.objects.get(series_id=series_id)


def opened(series_id: str = A, *, seconds: float = 20, **more: Any) -> None:
    IngestGuardrail.objects.create(
        series_id=series_id, state="open", trips=1, open_until=NOW + seconds, **more
    )


def at_once(*actions: Callable[[], T]) -> list[T]:
    """Do all actions at the same moment, each in a thread with connections of its own."""
    together = Barrier(len(actions))

    def run(action: Callable[[], T]) -> T:
        together.wait(10)
        try:
            return action()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(run, actions))


def test_a_series_without_a_row_may_be_tried_and_asking_leaves_none() -> None:
    assert Circuits().peek([A], NOW) == {A: 0}
    assert Circuits().begin_attempt([B, A], "worker", NOW) == Attempt([A, B], 0)
    assert not IngestGuardrail.objects.exists()


def test_a_failure_of_a_socket_is_one_failure_of_each_of_its_series() -> None:
    Circuits().failed([A], STREAM, "alone", NOW - 10)

    waits = Circuits().failed([C, A, B], STREAM, "closed", NOW)

    assert waits == {A: 2, B: 1, C: 1}
    assert [row(name).consecutive_failures for name in (A, B, C)] == [2, 1, 1]
    assert (row().last_error, row().last_error_kind, row().revision) == ("closed", "stream", 2)


def test_two_hundred_series_fail_with_two_statements() -> None:
    names = [f"binance:spot:S{number}/USDT:1m" for number in range(200)]
    Circuits().failed(names[:100], CONNECT, "refused", NOW)

    with CaptureQueriesContext(
        connection,
    ) as queries:
        Circuits().failed(names, CONNECT, "refused", NOW + 1)

    tables = [query for query in queries if "ingest_guardrails" in query["sql"]]
    assert len(tables) == 2
    assert IngestGuardrail.objects.filter(consecutive_failures__gte=1).count() == 200


def test_a_thousand_series_may_fail_at_once() -> None:
    names = [f"binance:spot:S{number}/USDT:1m" for number in range(1001)]

    assert len(Circuits().failed(names, CONNECT, "refused", NOW)) == 1001
    assert IngestGuardrail.objects.count() == 1001


def test_an_attempt_takes_those_that_may_and_says_when_the_next_may() -> None:
    opened(A, seconds=20)
    opened(B, seconds=7)

    attempt = Circuits().begin_attempt([A, B, C], "worker", NOW)

    assert attempt == Attempt([C], 7)


def test_the_wait_of_a_failure_outlives_a_restart() -> None:
    for second in range(4):
        Circuits().failed([A], CONNECT, "refused", NOW + second)

    assert Circuits().peek([A], NOW + 4) == {A: 7}


def test_a_new_process_waits_for_what_is_left_and_then_probes() -> None:
    """Row 35 of the feeds' faults."""
    opened(A, seconds=20)

    assert Circuits().begin_attempt([A], "new", NOW) == Attempt([], 20)
    assert Circuits().begin_attempt([A], "new", NOW + 20) == Attempt([A], 0)
    assert (row().state, row().probe_owner, row().probe_at) == ("half_open", "new", NOW + 20)


@pytest.mark.django_db(transaction=True, databases=["default", "reader"])
@pytest.mark.parametrize("time", range(5))
def test_of_workers_that_find_the_time_over_one_probes(time: int) -> None:
    """Row 36 of the feeds' faults."""
    opened(A, seconds=0)
    opened(B, seconds=0)

    def begin(owner: str) -> Callable[[], Attempt]:
        return lambda: Circuits().begin_attempt([A, B], owner, NOW)

    attempts = at_once(*(begin(f"worker-{number}") for number in range(4)))

    admitted = [name for done in attempts for name in done.admitted]
    assert sorted(admitted) == [A, B]
    assert {done.wait for done in attempts} == {0, 60}


def test_a_worker_that_reads_before_the_other_one_writes_is_no_second_probe() -> None:
    """Row 36 of the feeds' faults."""
    opened(A, seconds=0)
    stale = rows_read([A, B])
    assert Circuits().begin_attempt([A], "first", NOW) == Attempt([A], 0)
    reads = [stale, rows_read([A])]

    with patch("ingest.circuits.rows_read", lambda names: reads.pop(0)):
        late = Circuits().begin_attempt([A, B], "second", NOW + 1)

    assert (late, reads) == (Attempt([B], 59), [])
    assert row().probe_owner == "first"


@pytest.mark.django_db(transaction=True, databases=["default", "reader"])
def test_no_failure_is_lost_when_workers_report_at_once() -> None:
    config = IngestLoopGuardrailConfig(crash_budget=100)

    def fail() -> dict[str, float]:
        return Circuits(config).failed([A, B], STREAM, "closed", NOW)

    at_once(*[fail] * 8)

    assert [row(name).consecutive_failures for name in (A, B)] == [8, 8]
    assert row().revision == 8


def test_the_place_of_a_worker_that_died_probing_is_free_after_a_minute() -> None:
    """Row 37 of the feeds' faults."""
    opened(A, seconds=0)
    Circuits().begin_attempt([A], "dies", NOW)

    assert Circuits().begin_attempt([A], "next", NOW + 59) == Attempt([], 1)
    assert Circuits().begin_attempt([A], "next", NOW + 60) == Attempt([A], 0)
    assert row().probe_owner == "next"


def test_a_probe_that_fails_waits_twice_as_long_and_one_that_succeeds_closes() -> None:
    opened(A, seconds=0)
    Circuits().begin_attempt([A], "worker", NOW)
    assert Circuits().failed([A], CONNECT, "refused", NOW + 1) == {A: 60}

    Circuits().begin_attempt([A], "worker", NOW + 61)
    Circuits().succeeded([A], NOW + 91)

    assert (row().state, row().trips, row().last_success_at) == ("closed", 0, NOW + 91)
    assert row().last_error == "refused"


def test_switched_off_it_waits_two_seconds_and_the_row_says_so(settings: Any) -> None:
    """Row 39 of the feeds' faults."""
    opened(A)
    settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL = False

    assert Circuits().begin_attempt([A, B], "worker", NOW) == Attempt([A, B], 0)
    assert Circuits().failed([A, B], CONNECT, "refused", NOW) == {A: 2, B: 2}

    assert [(row(name).state, row(name).enabled) for name in (A, B)] == [("closed", False)] * 2


def test_switched_on_again_the_row_says_so(settings: Any) -> None:
    settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL = False
    Circuits().failed([A], CONNECT, "refused", NOW)
    settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL = True

    assert Circuits().failed([A], CONNECT, "refused", NOW) == {A: 1}
    assert row().enabled


def test_what_a_clock_that_jumped_back_keeps_far_off_is_cut_once() -> None:
    """Row 38 of the feeds' faults."""
    opened(A, seconds=86400)

    assert Circuits().peek([A], NOW) == {A: 3600}
    assert Circuits().peek([A], NOW + 600) == {A: 3000}


def test_no_circuit_is_held_where_circuits_are_off(settings: Any) -> None:
    assert Circuits().hold([A], "ann", NOW) == [A]
    settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL = False

    assert Circuits().hold([A], "ann", NOW) == []
    assert row().state == "closed"


def test_a_held_series_waits_until_it_is_reset(caplog: pytest.LogCaptureFixture) -> None:
    Circuits().hold([A], "ann", NOW)
    Circuits().succeeded([A], NOW + 1)

    assert Circuits().begin_attempt([A], "worker", NOW + 86400).admitted == []
    assert (row().state, row().last_error) == ("open", "held by ann")

    Circuits().reset([A], "bob", NOW + 86401)

    assert Circuits().begin_attempt([A], "worker", NOW + 86402).admitted == [A]
    assert f"ingest.circuit_held series_id={A} user='ann'" in caplog.messages
    assert f"ingest.circuit_reset series_id={A} user='bob'" in caplog.messages


def test_each_change_of_state_is_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    Circuits().failed([A], FailureKind.CONFIG, "Invalid\nsymbol", NOW)
    Circuits().begin_attempt([A], "worker", NOW + 300)
    Circuits().succeeded([A], NOW + 301)

    assert caplog.messages == [
        f"ingest.circuit_opened {A}  {{'kind': 'config', 'wait_s': 300.0, 'trips': 1}}",
        f"ingest.failed series_id={A} kind=config wait=300.0 error='Invalid\\nsymbol'",
        f"ingest.circuit_probed {A}  {{'owner': 'worker'}}",
        f"ingest.circuit_closed {A}  None",
    ]


def test_jitter_is_drawn_for_each_series() -> None:
    drawn = iter([0.2, -0.2])
    circuits = Circuits(IngestLoopGuardrailConfig(jitter_ratio=0.2), lambda low, high: next(drawn))

    assert circuits.failed([A, B], STREAM, "closed", NOW) == pytest.approx({A: 1.2, B: 0.8})


def test_snapshots_show_every_series_and_write_nothing() -> None:
    opened(A, seconds=20)

    said = Circuits().snapshots([A, B], NOW)

    assert (said[A]["state"], said[A]["next_retry_in_s"]) == ("open", 20)
    assert (said[B]["state"], said[B]["enabled"]) == ("closed", True)
    assert IngestGuardrail.objects.count() == 1
