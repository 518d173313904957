"""Several writers of one series at once: they take turns, and nothing is lost or doubled."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connections
from django.test import Client

from ingest import pipeline
from ingest.startup_sync import StartupSync, run_startup_kline_sync
from ledger.repair import ReadRepairService
from ledger.warmup import MarketLedgerWarmupService
from market import selectors
from market.candles import Candles
from market.series import SeriesId
from tests.goldens import candles_of, golden
from tests.ledger.reading import SERIES, use_golden_windows
from tests.ledger.stored import generation, ledger, require_invariants, reset, straight

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])
CLOSED = "/api/market/ingest/candle_closed"


@pytest.fixture
def case() -> Iterator[Candles]:
    """Return the candles of a golden case whose windows are in use."""
    with use_golden_windows(golden("doji61_2_2")):
        yield candles_of(golden("doji61_2_2"))


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """Begin all of these together, each in a thread with connections of its own."""
    start = Barrier(len(works))

    def run(work: Callable[[], Any]) -> Any:
        start.wait(timeout=10)
        try:
            return work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(works)) as threads:
        return list(threads.map(run, works, timeout=120))


def test_two_http_ingests_of_a_series_are_taken_in_turns(case: Candles) -> None:
    """Row 17 of the ledger's faults."""
    expected = straight(case)
    reset()
    staff = User.objects.create(username="researcher", is_staff=True)

    def sender(first: int) -> Callable[[], set[int]]:
        client = Client()
        client.force_login(staff)
        candles = case.rows()[first::2] + case.rows()[:10]
        bodies = [{"series_id": SERIES, "candle": candle._asdict()} for candle in candles]
        return lambda: {
            client.post(CLOSED, body, content_type="application/json").status_code
            for body in bodies
        }

    answers = at_once(sender(0), sender(1))

    assert answers == [{200}, {200}]
    assert ledger() == expected
    require_invariants(SERIES)


def test_ingest_and_warm_up_and_repair_at_once_leave_the_straight_ledger(
    case: Candles, settings: Any
) -> None:
    """Row 18 of the ledger's faults."""
    settings.TRADE_CANVAS_ENABLE_READ_LEDGER_WARMUP = True
    expected = straight(case)
    reset()
    pipeline.run_sync({SERIES: case.take(slice(0, 40))})

    def ingest() -> None:
        for row in range(40, len(case)):
            pipeline.run_sync({SERIES: case.take(slice(row, row + 1))})

    def warm_up() -> None:
        service = MarketLedgerWarmupService(cooldown=0.1)
        for _ in range(60):
            service.ensure_ledgers_warm(SERIES, selectors.head_time(SERIES))

    def repair() -> None:
        for _ in range(30):
            ReadRepairService().repair_overlay(series_id=SERIES)

    at_once(ingest, warm_up, repair)

    assert ledger() == expected
    assert generation() == 0
    require_invariants(SERIES)


def sync(case: Candles) -> StartupSync:
    """Sync the series as one process at its start does, its exchange having all candles."""

    def backfill(series: SeriesId, candles: int, _: int) -> int:
        pipeline.run_sync({str(series): case.take(slice(-candles, None))})
        return candles

    return run_startup_kline_sync(
        backfill=backfill,
        series_ids=[SERIES],
        enabled=True,
        target_candles=100,
        now_time=int(case.time[-1]) + 61,
    )


def test_two_start_up_syncs_at_once_find_one_set_of_events(case: Candles) -> None:
    """Row 12 of the ledger's faults: one waits for the other."""
    expected = straight(case.take(slice(-100, None)))
    reset()

    for done in at_once(lambda: sync(case), lambda: sync(case)):
        assert (done.series_synced, done.series_errors) == (1, 0)

    assert ledger() == expected
    assert generation() == 0


def test_a_start_up_sync_that_waits_too_long_says_busy(case: Candles) -> None:
    """Row 12 of the ledger's faults."""
    with patch.object(pipeline, "run_sync", side_effect=OperationalError("held")):
        done = sync(case)

    assert done.series_results[0].error == "busy"
