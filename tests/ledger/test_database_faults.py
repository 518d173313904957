"""A database that is lost, held or in a deadlock: an error in words, never half a batch."""

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection, connections
from django.test import Client

from ingest import pipeline
from ledger.advance import IngestPipelineError, overlay_redraw, refresh_series_sync
from ledger.rebuild import series_rebuild
from market import database
from market.candles import Candles
from tests.goldens import candles_of, golden
from tests.ledger.reading import SERIES, START, flat, use_golden_windows
from tests.ledger.stored import ledger, require_invariants, reset, straight
from tests.tables import tables_state

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])
OTHER = "test:spot:OTHER/USDT:1m"


def needs(vendor: str) -> None:
    if connection.vendor != vendor:
        pytest.skip(f"about {vendor} alone")


@pytest.fixture
def case() -> Iterator[Candles]:
    """Return the candles of a golden case whose windows are in use."""
    with use_golden_windows(golden("doji61_2_2")):
        yield candles_of(golden("doji61_2_2"))


def lose_connection() -> None:
    """Let the server end the connection that writes."""
    assert connection.connection is not None
    other = connection.copy()
    with contextlib.closing(other), other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid])


def losing(number: int, lost: list[str]) -> Callable[..., Any]:
    """Return a wrapper that lets the connection be lost before the statement of this number."""
    left = iter(range(number))

    def execute(run: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if not lost and next(left, None) is None:
            lost.append(sql)
            lose_connection()
        return run(sql, *rest)

    return execute


@pytest.mark.postgres
def test_a_connection_lost_in_a_run_keeps_nothing_and_the_sender_tries_again(
    case: Candles,
) -> None:
    """Row 24 of the ledger's faults: lost before each statement in turn."""
    needs("postgresql")
    expected = straight(case)
    reset()
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create(username="researcher", is_staff=True))
    pipeline.run_sync({SERIES: case.take(slice(0, -1))})
    before, last = tables_state(), case.rows()[-1]
    body = {"series_id": SERIES, "candle": last._asdict()}

    for number in range(100):
        lost: list[str] = []
        with connection.execute_wrapper(losing(number, lost)):
            answer = client.post("/api/market/ingest/candle_closed", body, "application/json")
        if not lost:
            break
        assert answer.status_code == 500, lost
        connection.close_if_unusable_or_obsolete()
        assert tables_state() == before

    assert number > 7
    assert (answer.status_code, ledger()) == (200, expected)


@pytest.mark.postgres
def test_a_run_whose_connection_is_lost_is_a_step_error(case: Candles) -> None:
    """Row 24 of the ledger's faults: the feed's buffer takes the candles again."""
    needs("postgresql")
    pipeline.run_sync({SERIES: case.take(slice(0, -1))})

    lost: list[str] = []
    with (
        connection.execute_wrapper(losing(8, lost)),
        pytest.raises(IngestPipelineError) as caught,
    ):
        pipeline.run_sync({SERIES: case.take(slice(-1, None)), OTHER: case})

    assert lost
    assert (caught.value.step, caught.value.series_id) == ("store.upsert_many_closed", OTHER)
    pipeline.run_sync({SERIES: case.take(slice(-1, None)), OTHER: case})
    assert ledger(OTHER)[1] == ledger(SERIES)[1]
    require_invariants(SERIES, OTHER)


@pytest.mark.postgres
def test_writers_in_a_real_deadlock_both_come_through() -> None:
    """Row 25 of the ledger's faults: PostgreSQL gives one of them up, which is tried again."""
    needs("postgresql")
    pipeline.run_sync({SERIES: flat(1), OTHER: flat(1)})
    both_hold, tries = Barrier(2, timeout=10), []

    def write(first: str, second: str) -> None:
        def transaction() -> None:
            tries.append(first)
            with database.writing():
                lock(first)
                if len(tries) <= 2:
                    both_hold.wait()
                lock(second)

        try:
            database.retrying(transaction)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(write, (SERIES, OTHER), (OTHER, SERIES), timeout=30))

    assert len(tries) == 3


class DeadlockError(Exception):
    sqlstate = "40P01"


@pytest.mark.parametrize(
    "act",
    [
        lambda: pipeline.run_sync({SERIES: flat(2, start=START + 60)}),
        lambda: refresh_series_sync({SERIES: START}),
        lambda: overlay_redraw(SERIES),
        lambda: series_rebuild(SERIES),
    ],
    ids=["ingest", "refresh", "redraw", "rebuild"],
)
def test_every_writer_tries_three_times_more(
    act: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 25 of the ledger's faults."""
    pipeline.run_sync({SERIES: flat(1)})
    real, pauses, left = database.writing, list[float](), [3]

    def deadlocked(*wait: float, **how: bool) -> Any:
        if left[0]:
            left[0] -= 1
            raise OperationalError("deadlock detected") from DeadlockError()
        return real(*wait, **how)

    monkeypatch.setattr(database, "writing", deadlocked)
    monkeypatch.setattr("market.database.time.sleep", pauses.append)

    act()
    assert pauses == [0.05, 0.1, 0.2]
    left[0] = 4
    with pytest.raises((OperationalError, IngestPipelineError), match="deadlock detected"):
        act()


def lock(series_id: str) -> None:
    database.execute("SELECT 1 FROM ledger_heads WHERE series_id = %s FOR UPDATE", [series_id])


@pytest.mark.sqlite
def test_a_database_that_another_process_holds_is_a_step_error_and_no_half_batch(
    case: Candles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 26 of the ledger's faults: after 10 s, here sooner."""
    needs("sqlite")
    assert database.WRITE_WAIT == 10
    monkeypatch.setattr(database, "writing", partial(database.writing, 0.05))
    expected = straight(case)
    reset()
    pipeline.run_sync({SERIES: case.take(slice(0, 40))})
    before, began = tables_state(), time.monotonic()

    holder = connection.copy()
    with contextlib.closing(holder), holder.cursor() as cursor:
        cursor.execute("BEGIN IMMEDIATE")
        with pytest.raises(IngestPipelineError, match="database is locked") as caught:
            pipeline.run_sync({SERIES: case, OTHER: case})
        cursor.execute("ROLLBACK")

    assert time.monotonic() - began < 5
    assert (caught.value.step, caught.value.series_id) == ("store.upsert_many_closed", OTHER)
    assert tables_state() == before
    pipeline.run_sync({SERIES: case, OTHER: case})
    assert ledger() == expected
