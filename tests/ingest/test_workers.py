"""Workers that die, freeze and take over, as processes."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.exchange.running import exchange_process
from tests.ingest.workers import BTC, ETH, Workers, until, workers

SOL, XRP = "binance:futures:SOL/USDT:1m", "binance:futures:XRP/USDT:1m"
ALL = (BTC, ETH, SOL, XRP)
SERVER = os.environ.get("DATABASE_URL", "")
MOMENTS = 200
# Seconds of feed time until a series is live again; on PostgreSQL the lease of the dead ends first.
LIVE_AGAIN = {"sqlite": 5.0, "postgresql": 35.0}
# A process of ours starts in one to five seconds on a busy machine; that is not feed time.
START_UP = 30.0


@pytest.fixture(scope="module")
def exchange() -> Iterator[Any]:
    """Return an exchange whose clock is that of this machine."""
    symbols = "BTCUSDT,ETHUSDT,SOLUSDT,XRPUSDT"
    with exchange_process("--start", "now", "--seed", "7", "--symbols", symbols) as running:
        yield running


def needs(vendor: str) -> None:
    """Skip a story about another database than this run is about."""
    if SERVER.startswith("postgres") != (vendor == "postgresql"):
        pytest.skip(f"about {vendor} alone")


def owners(found: Workers) -> dict[str, str]:
    return {name: found.job(name)["lease_owner"] for name in ALL}


@pytest.mark.postgres
def test_workers_share_die_and_freeze_and_each_series_goes_on_with_one(
    tmp_path: Path, exchange: Any
) -> None:
    """Row 25 of the feeds' faults: two workers, one for each series, together one reference run.

    Row 26 of the feeds' faults: one is killed, the other takes over when the leases end.
    Row 27 of the feeds' faults: that one is frozen for 60 s, a third takes over; awake again, the
    frozen one writes nothing.
    """
    needs("postgresql")
    with workers("postgresql", SERVER, tmp_path, exchange) as found:
        first = found.start(*ALL, TRADE_CANVAS_INGEST_MAX_SERIES_PER_WORKER="2")
        until(lambda: sum(found.is_live(name) for name in ALL) == 2, 40)
        second = found.start(*ALL)
        until(lambda: all(map(found.is_live, ALL)), 40)
        assert sorted(Counter(owners(found).values()).values()) == [2, 2]
        for name in ALL:
            found.require_true(name)

        first.kill()
        until(lambda: len(set(owners(found).values())) == 1, LIVE_AGAIN["postgresql"])
        until(lambda: all(map(found.is_live, ALL)), 10)
        for name in ALL:
            found.require_true(name)

        frozen_at = time.monotonic()
        second.send(signal.SIGSTOP)
        third = found.start(*ALL)
        (frozen,) = set(owners(found).values())
        until(lambda: frozen not in owners(found).values(), LIVE_AGAIN["postgresql"] + START_UP)
        until(lambda: all(map(found.is_live, ALL)), 10)
        time.sleep(max(0.0, 60 - (time.monotonic() - frozen_at)))
        tokens = [found.job(name)["lease_token"] for name in ALL]
        second.send(signal.SIGCONT)
        until(lambda: all(f"lease_lost {name}" in second.said() for name in ALL), 30)
        time.sleep(2)
        assert [found.job(name)["lease_token"] for name in ALL] == tokens
        assert frozen not in owners(found).values()

        second.stop()
        third.stop()
        for name in ALL:
            found.require_true(name)
        found.verify()


def killed(seed: int, vendor: str, folder: Path, exchange: Any) -> float:
    """Kill a worker at a moment of this seed; return how long until its series are live again."""
    dice = random.Random(seed)  # noqa: S311 (a test's own sequence)
    folder.mkdir(exist_ok=True)
    with workers(vendor, SERVER, folder, exchange) as found:
        first = found.start(BTC, ETH)
        time.sleep(dice.uniform(0.8, 6.0))
        first.kill()
        before = {name: found.candles(name) for name in (BTC, ETH)}

        second = found.start(BTC, ETH)
        until(lambda: "ingest.started" in second.said(), START_UP)
        spent = until(lambda: found.is_live(BTC) and found.is_live(ETH), LIVE_AGAIN[vendor])
        second.stop()
        for name, stored in before.items():
            assert found.candles(name)[: len(stored)] == stored, "an acknowledged candle is lost"
            found.require_true(name)
        found.verify()
    return spent


@pytest.mark.sqlite
@pytest.mark.parametrize("seed", range(2))
def test_a_kill_at_any_moment_loses_nothing_on_sqlite(
    seed: int, tmp_path: Path, exchange: Any
) -> None:
    """Row 26 of the feeds' faults: on SQLite the next worker inherits at once."""
    needs("sqlite")
    killed(seed, "sqlite", tmp_path, exchange)


@pytest.mark.postgres
def test_a_kill_at_any_moment_loses_nothing_on_postgresql(tmp_path: Path, exchange: Any) -> None:
    """Row 26 of the feeds' faults: three moments at once."""
    many("postgresql", range(3), 3, tmp_path, exchange)


def many(vendor: str, seeds: range, at_once: int, folder: Path, exchange: Any) -> None:
    """Kill at many moments, a few at once; print how long it took until feeds were live again."""
    needs(vendor)
    with ThreadPoolExecutor(at_once) as threads:
        tasks = [
            threads.submit(killed, seed, vendor, folder / str(seed), exchange) for seed in seeds
        ]
        spent = sorted(task.result() for task in tasks)
    print(f"live again: median {spent[len(spent) // 2]:.1f} s, longest {spent[-1]:.1f} s")  # noqa: T201


@pytest.mark.long
@pytest.mark.sqlite
@pytest.mark.parametrize("first", range(0, MOMENTS, 20))
def test_many_kills_lose_nothing_on_sqlite(first: int, tmp_path: Path, exchange: Any) -> None:
    many("sqlite", range(first, first + 20), 2, tmp_path, exchange)


@pytest.mark.long
@pytest.mark.postgres
@pytest.mark.parametrize("first", range(0, MOMENTS, 20))
def test_many_kills_lose_nothing_on_postgresql(first: int, tmp_path: Path, exchange: Any) -> None:
    many("postgresql", range(first, first + 20), 10, tmp_path, exchange)
