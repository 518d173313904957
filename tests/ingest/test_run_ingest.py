"""`manage.py run_ingest` as a program, with the exchange of the tests in a process of its own."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from tests.exchange.running import ROOT, exchange_process

BTC, ETH = "binance:futures:BTC/USDT:1m", "binance:futures:ETH/USDT:1m"
CHECKED = "SELECT count(*), count(DISTINCT candle_time) FROM candles WHERE series_id = ?"


@pytest.fixture(scope="module")
def exchange() -> Iterator[Any]:
    """Return an exchange whose clock is that of this machine."""
    with exchange_process("--start", "now", "--speed", "1", "--seed", "3") as running:
        yield running


def environment(folder: Path, exchange: Any) -> dict[str, str]:
    settings: dict[str, str] = exchange.settings
    return dict(os.environ) | settings | {
        "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
        "TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL": "1",
        "SECRET_KEY": "of-a-test",
        "REDIS_URL": "",
    }  # fmt: skip


def started(folder: Path, exchange: Any, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", "run_ingest", *arguments],
        cwd=ROOT,
        env=environment(folder, exchange),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def rows(folder: Path, sql: str, *values: Any) -> list[Any]:
    with closing(sqlite3.connect(folder / "db.sqlite3", timeout=10)) as database:
        return database.execute(sql, values).fetchall()


def verified(folder: Path) -> str:
    """Return what `verify_ledger` says of the database."""
    done = subprocess.run(
        [sys.executable, "manage.py", "verify_ledger", "--all"],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": f"sqlite:///{folder}/db.sqlite3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_once_catches_up_and_ends(tmp_path: Path, exchange: Any) -> None:
    process = started(tmp_path, exchange, "--once", "--series", BTC, "--series", ETH)
    output, _ = process.communicate(timeout=60)

    assert process.returncode == 0, output
    for series_id in (BTC, ETH):
        ((count, times),) = rows(tmp_path, CHECKED, series_id)
        assert count == times >= 2000
    assert rows(tmp_path, "SELECT lease_owner, state FROM ingest_jobs") == [("", "idle")] * 2
    verified(tmp_path)


def test_a_second_one_on_the_same_database_ends_with_status_3(
    tmp_path: Path, exchange: Any
) -> None:
    """Row 28 of the feeds' faults. Row 45 of the feeds' faults: SIGTERM ends the first one well."""
    first = started(tmp_path, exchange, "--series", BTC)
    wait_for(tmp_path, 2000, first)
    second = started(tmp_path, exchange, "--series", BTC)
    output, _ = second.communicate(timeout=30)

    assert second.returncode == 3
    assert "another process follows the feeds" in output
    first.send_signal(signal.SIGTERM)
    output, _ = first.communicate(timeout=20)
    assert first.returncode == 0, output
    assert rows(tmp_path, "SELECT lease_owner FROM ingest_jobs") == [("",)]


def test_a_stop_ends_the_fill_at_the_start(tmp_path: Path, exchange: Any) -> None:
    """Row 45 of the feeds' faults: while two series wait for an exchange that is away."""
    away = {
        "TRADE_CANVAS_BINANCE_FUTURES_REST_BASE": "http://127.0.0.1:9",
        "TRADE_CANVAS_ENABLE_STARTUP_KLINE_SYNC": "1",
        "TRADE_CANVAS_ENABLE_CCXT_BACKFILL": "1",
    }
    with patch.dict(exchange.settings, away):
        process = started(tmp_path, exchange, "--series", BTC, "--series", ETH)
    assert process.stdout is not None
    while "ingest.started" not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(1)  # now it asks for the first time
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=10)

    assert process.returncode == 0, output
    assert "ingest.startup_sync_stopped" in output


def wait_for(folder: Path, candles: int, process: subprocess.Popen[str]) -> None:
    """Wait until so many candles of BTC are stored."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None
        try:
            if rows(folder, CHECKED, BTC)[0][0] >= candles:
                return
        except sqlite3.OperationalError:
            pass  # not migrated yet
        time.sleep(0.1)
    raise AssertionError("no candles came")
