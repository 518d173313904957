"""`manage.py backfill` as a program, and readers whose wishes become requests."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from ingest import pipeline
from market import after_read
from market.models import BackfillProgress
from tests.exchange.clock import START
from tests.exchange.faults import RestStatus
from tests.exchange.running import ROOT, exchange_process
from tests.ingest.test_run_ingest import BTC, CHECKED, environment, rows, verified
from tests.ledger.reading import flat

NOW = int(START)


@pytest.fixture(scope="module")
def exchange() -> Iterator[Any]:
    """Return an exchange whose clock stands still at its start."""
    with exchange_process("--speed", "0", "--seed", "5", "--history", "6000") as running:
        yield running


def backfill(folder: Path, exchange: Any, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "manage.py", "backfill", *arguments]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(folder, exchange),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def migrated(folder: Path, exchange: Any) -> None:
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(command, cwd=ROOT, env=environment(folder, exchange), check=True)


def test_stopped_half_way_it_goes_on_where_it_stopped(tmp_path: Path, exchange: Any) -> None:
    migrated(tmp_path, exchange)
    whole = (BTC, "--from", str(NOW - 5900 * 60))
    half = backfill(tmp_path, exchange, *whole, "--to", str(NOW - 3000 * 60))
    output, _ = half.communicate(timeout=60)
    assert half.returncode == 0, output

    exchange.inject(RestStatus(path="klines", status=429, retry_after=5, times=1))
    stopped = backfill(tmp_path, exchange, *whole)
    wait_for(tmp_path, "running")
    stopped.send_signal(signal.SIGINT)
    output, _ = stopped.communicate(timeout=20)
    assert stopped.returncode == 130, output
    assert "the same command goes on from here" in output
    wait_for(tmp_path, "failed")

    again = backfill(tmp_path, exchange, *whole)
    output, _ = again.communicate(timeout=60)
    assert again.returncode == 0, output
    assert "2999 candles filled" in output
    ((count, times),) = rows(tmp_path, CHECKED, BTC)
    assert count == times == 5900
    verified(tmp_path)


def wait_for(folder: Path, state: str) -> None:
    """Wait until the row of the fill says this."""
    deadline = time.monotonic() + 30
    while rows(folder, "SELECT state FROM backfill_progress") != [(state,)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nonsense", "--from", "2025-01-01"), "series_id"),
        (("nowhere:spot:BTC/USDT:1m", "--from", "2025-01-01"), "nowhere|only Binance is built in"),
        ((BTC, "--from", "2025-01-02", "--to", "2025-01-01"), "--to lies before --from"),
        ((BTC, "--from", "soon"), "'soon' is no date"),
    ],
)
def test_what_cannot_be_filled_is_said_in_words(arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        call_command("backfill", *arguments)


@pytest.mark.django_db(transaction=True, databases=["default", "reader"])
def test_an_exchange_that_is_away_is_said_in_words(settings: Any) -> None:
    settings.TRADE_CANVAS_BINANCE_FUTURES_REST_BASE = "http://127.0.0.1:9"

    with (
        patch("ingest.backfill.PAUSES", ()),
        pytest.raises(CommandError, match="the exchange cannot be asked: ConnectError"),
    ):
        call_command("backfill", BTC, "--from", "2025-01-01")


# Readers


@pytest.fixture
def at_once(settings: Any) -> Iterator[None]:
    """Let what happens after a read happen before the answer; fills are switched on."""
    settings.TRADE_CANVAS_ENABLE_CCXT_BACKFILL = True
    settings.TRADE_CANVAS_ENABLE_MARKET_AUTO_TAIL_BACKFILL = True
    settings.TRADE_CANVAS_ENABLE_CCXT_BACKFILL_ON_READ = True

    class Inline:
        def submit(self, _: Any, *given: Any) -> None:
            after_read._act(*given)

    with patch.object(after_read._Registered, "executor", Inline()):
        yield


def read(**query: Any) -> None:
    assert Client().get("/api/market/candles", {"series_id": BTC, **query}).status_code == 200


@pytest.mark.django_db
@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("off", "query"),
    [
        ("TRADE_CANVAS_ENABLE_CCXT_BACKFILL", {}),
        ("TRADE_CANVAS_ENABLE_MARKET_AUTO_TAIL_BACKFILL", {}),
        ("TRADE_CANVAS_ENABLE_CCXT_BACKFILL_ON_READ", {}),
        ("", {"since": 1}),
        ("", {}),
    ],
)
def test_a_read_of_the_newest_wants_the_tail(off: str, query: Any, settings: Any) -> None:
    pipeline.run_sync({BTC: flat(1, 2)})
    if off:
        setattr(settings, off, False)

    read(limit=100, **query)

    wanted = BackfillProgress.objects.filter(requested_at__isnull=False)
    expected = [] if off or query else [(BTC, "tail_coverage", 99 * 60)]
    assert [
        (row.series_id, row.wanted_reason, (row.wanted_end or 0) - (row.wanted_start or 0))
        for row in wanted
    ] == expected


@pytest.mark.django_db
@pytest.mark.usefixtures("at_once")
def test_a_series_without_candles_wants_nothing() -> None:
    read(limit=100)

    assert not BackfillProgress.objects.exists()
