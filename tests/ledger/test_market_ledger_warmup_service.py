"""Warm-up: a read of candles brings their ledger up, at most once in a while."""

from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import pytest
from django.db import OperationalError
from django.test import Client, override_settings

from factors.engine.plugins.pivot import Pivot
from ingest import pipeline
from ledger.models import LedgerHead
from ledger.sync import LedgerSyncService
from ledger.warmup import MarketLedgerWarmupService
from market import after_read
from tests.ledger.reading import SERIES, START, flat
from tests.tables import tables_state

pytestmark = pytest.mark.django_db
HEAD = START + 120


@pytest.fixture(autouse=True)
def switched_on(settings: Any) -> None:
    settings.TRADE_CANVAS_ENABLE_READ_LEDGER_WARMUP = True


@pytest.fixture
def at_once() -> Iterator[None]:
    """Let what happens after a read happen before the answer."""

    class Inline:
        def submit(self, _: Callable[..., None], *given: Any) -> None:
            after_read._act(*given)

    with patch.object(after_read._Registered, "executor", Inline()):
        yield


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def behind(*prices: float) -> None:
    with override_settings(TRADE_CANVAS_ENABLE_FACTOR_INGEST=False):
        pipeline.run_sync({SERIES: flat(*(prices or (1, 2, 3)))})


def service(clock: Clock) -> MarketLedgerWarmupService:
    return MarketLedgerWarmupService(clock=clock)


def test_a_ledger_behind_is_warmed() -> None:
    behind()

    assert service(Clock()).ensure_ledgers_warm(SERIES, HEAD)

    assert LedgerHead.objects.get(series_id=SERIES).overlay_head == HEAD


@pytest.mark.parametrize("head", [None, 0])
def test_without_a_head_nothing_is_done(head: int | None) -> None:
    assert not service(Clock()).ensure_ledgers_warm(SERIES, head)


def test_switched_off_nothing_is_done(settings: Any) -> None:
    settings.TRADE_CANVAS_ENABLE_READ_LEDGER_WARMUP = False
    behind()

    assert not service(Clock()).ensure_ledgers_warm(SERIES, HEAD)


def test_the_same_target_waits_for_the_cooldown_and_a_newer_one_does_not() -> None:
    behind()
    clock = Clock()
    warm = service(clock)

    tried = [warm.ensure_ledgers_warm(SERIES, HEAD), warm.ensure_ledgers_warm(SERIES, HEAD)]
    tried.append(warm.ensure_ledgers_warm(SERIES, HEAD + 60))
    clock.now += 2.0
    tried.append(warm.ensure_ledgers_warm(SERIES, HEAD + 60))

    assert tried == [True, False, True, True]


def test_one_series_is_warmed_by_one_at_a_time() -> None:
    behind()
    warm = service(Clock())
    seen = []

    def meanwhile(*_: Any) -> Any:
        seen.append(warm.ensure_ledgers_warm(SERIES, HEAD + 600))
        return LedgerSyncService().refresh(SERIES, HEAD)

    with patch.object(LedgerSyncService, "refresh_if_needed", meanwhile):
        warm.ensure_ledgers_warm(SERIES, HEAD)

    assert seen == [False]


def test_errors_stay_here_and_the_next_run_may_come() -> None:
    behind()
    clock = Clock()
    warm = service(clock)

    with patch.object(Pivot, "step", side_effect=ValueError("broken")):
        assert warm.ensure_ledgers_warm(SERIES, HEAD)
    clock.now += 5
    with patch("ledger.sync.refresh_series_sync", side_effect=OperationalError("busy")):
        assert warm.ensure_ledgers_warm(SERIES, HEAD)
    clock.now += 5
    warm.ensure_ledgers_warm(SERIES, HEAD)

    assert LedgerHead.objects.get(series_id=SERIES).factor_head == HEAD


@pytest.mark.usefixtures("at_once")
def test_a_read_of_candles_warms_and_answers_the_same(client: Client) -> None:
    behind()
    path = f"/api/market/candles?series_id={SERIES}"

    first = client.get(path).content

    assert LedgerHead.objects.get(series_id=SERIES).overlay_head == HEAD
    assert client.get(path).content == first


@pytest.mark.usefixtures("at_once")
def test_a_read_writes_nothing_while_it_is_switched_off(settings: Any, client: Client) -> None:
    settings.TRADE_CANVAS_ENABLE_READ_LEDGER_WARMUP = False
    behind()
    before = tables_state()

    client.get(f"/api/market/candles?series_id={SERIES}")

    assert tables_state() == before
