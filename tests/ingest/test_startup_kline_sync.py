"""Start-up sync: each followed series is filled, then its ledger is brought up."""

from concurrent.futures import CancelledError
from typing import Any
from unittest.mock import patch

import pytest
from django.db import OperationalError
from django.test import override_settings

from ingest import pipeline
from ingest.startup_sync import StartupSync, run_startup_kline_sync
from ledger.models import LedgerHead
from market.series import SeriesId
from tests.ledger.reading import flat

pytestmark = pytest.mark.django_db
MINUTES, FIVE = "test:spot:SYNC/USDT:1m", "test:spot:SYNC/USDT:5m"


class Exchange:
    """Has flat candles up to a time, and takes them in when it is asked to fill a series."""

    def __init__(self, until: int) -> None:
        self.until = until
        self.asked: list[tuple[str, int, int]] = []

    def __call__(self, series: SeriesId, candles: int, to_time: int) -> int:
        self.asked.append((str(series), candles, to_time))
        last = min(self.until, to_time) // series.seconds * series.seconds
        first = max(series.seconds, last - (candles - 1) * series.seconds)
        count = (last - first) // series.seconds + 1
        found = flat(*range(1, count + 1), start=first, step=series.seconds)
        pipeline.run_sync({str(series): found})
        return count


def sync(exchange: Any, *series_ids: str, now: float = 3601, enabled: bool = True) -> StartupSync:
    return run_startup_kline_sync(
        backfill=exchange,
        series_ids=series_ids,
        enabled=enabled,
        target_candles=10,
        now_time=now,
    )


def test_every_series_is_filled_to_its_newest_closed_candle() -> None:
    exchange = Exchange(until=10**6)

    done = sync(exchange, FIVE, MINUTES, " ", MINUTES)

    assert exchange.asked == [(MINUTES, 10, 3540), (FIVE, 10, 3300)]
    assert (done.series_total, done.series_synced, done.series_lagging) == (2, 2, 0)
    assert [(r.before_head_time, r.after_head_time) for r in done.series_results] == [
        (None, 3540),
        (None, 3300),
    ]


def test_an_exchange_that_lags_one_candle_is_said_and_nothing_is_skipped() -> None:
    """Row 11 of the ledger's faults: the candle that comes later is computed."""
    done = sync(Exchange(until=3480), MINUTES)

    assert (done.series_synced, done.series_lagging, done.series_errors) == (0, 1, 0)
    assert LedgerHead.objects.get(series_id=MINUTES).factor_head == 3480
    pipeline.run_sync({MINUTES: flat(9, start=3540)})
    assert LedgerHead.objects.get(series_id=MINUTES).factor_head == 3540


def test_one_series_that_fails_does_not_stop_the_next() -> None:
    exchange = Exchange(until=10**6)

    def failing(series: SeriesId, candles: int, to_time: int) -> int:
        if series.timeframe == "1m":
            raise ConnectionError("away")
        return exchange(series, candles, to_time)

    done = sync(failing, MINUTES, FIVE, "no series")

    assert [result.error for result in done.series_results] == [
        "invalid_series_timeframe",
        "ConnectionError: away",
        "",
    ]
    assert (done.series_synced, done.series_errors) == (1, 2)


def test_a_fill_that_is_cancelled_asks_for_no_other_series() -> None:
    asked = []

    def cancelled(series: SeriesId, candles: int, to_time: int) -> int:
        asked.append(str(series))
        raise CancelledError

    with pytest.raises(CancelledError):
        sync(cancelled, MINUTES, FIVE)

    assert asked == [MINUTES]


def test_a_series_that_is_held_for_too_long_is_busy() -> None:
    """Row 12 of the ledger's faults."""
    with patch("ledger.sync.refresh_series_sync", side_effect=OperationalError("held")):
        LedgerHead.objects.create(series_id=MINUTES)
        done = sync(lambda *_: 0, MINUTES)

    assert done.series_results[0].error == "busy"


def test_switched_off_nobody_is_asked() -> None:
    exchange = Exchange(until=10**6)

    done = sync(exchange, MINUTES, enabled=False)

    assert (done.enabled, done.series_results, exchange.asked) == (False, [], [])


def test_before_the_first_candle_could_close_nothing_is_done() -> None:
    exchange = Exchange(until=10**6)

    done = sync(exchange, MINUTES, now=30)

    assert (exchange.asked, done.series_results[0].target_time) == ([], 0)


def test_a_ledger_behind_is_refreshed_without_a_new_candle() -> None:
    with override_settings(TRADE_CANVAS_ENABLE_FACTOR_INGEST=False):
        sync(Exchange(until=10**6), MINUTES)

    (result,) = sync(lambda *_: 10, MINUTES).series_results

    assert (result.refreshed, result.lagging) == (True, False)
    assert LedgerHead.objects.get(series_id=MINUTES).factor_head == 3540
