"""`manage.py run_ingest` as processes on one database, and looks at that database from outside."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg

from tests.exchange.running import ROOT, InProcess

BTC, ETH = "binance:futures:BTC/USDT:1m", "binance:futures:ETH/USDT:1m"


@dataclass(slots=True)
class Worker:
    """One process and what it printed."""

    process: subprocess.Popen[bytes]
    log: Path

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it without a word."""
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        """End it as an operator would, and expect it to end well."""
        self.process.terminate()
        assert self.process.wait(20) == 0, self.said()

    def said(self) -> str:
        """Return what it printed."""
        return self.log.read_text()


@dataclass(slots=True)
class Workers:
    """Workers on one database that follow one exchange."""

    url: str
    folder: Path
    exchange: InProcess
    started: list[Worker] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        """Return the environment of a process on this database."""
        return dict(os.environ) | self.exchange.settings | {
            "DATABASE_URL": self.url,
            "TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL": "1",
            "SECRET_KEY": "of-a-test",
            "REDIS_URL": "",
        }  # fmt: skip

    def start(self, *series: str, **settings: str) -> Worker:
        """Start a worker that follows these series."""
        named = [word for name in series for word in ("--series", name)]
        log = self.folder / f"worker-{len(self.started)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "run_ingest", *named],
                cwd=ROOT,
                env=self.environment() | settings,
                stdout=out,
                stderr=out,
            )
        self.started.append(Worker(process, log))
        return self.started[-1]

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query, none while the tables are not made."""
        try:
            if self.url.startswith("sqlite"):
                path = self.url.removeprefix("sqlite:///")
                with contextlib.closing(sqlite3.connect(path, timeout=10)) as database:
                    return database.execute(sql.replace("%s", "?"), values).fetchall()
            with psycopg.connect(self.url) as connection:
                return connection.execute(sql, values).fetchall()
        except (sqlite3.OperationalError, psycopg.errors.UndefinedTable):
            return []

    def candles(self, series_id: str) -> list[tuple[Any, ...]]:
        """Return what is stored of a series, ascending."""
        return self.rows(
            "SELECT candle_time, open, high, low, close, volume FROM candles"
            " WHERE series_id = %s ORDER BY candle_time",
            series_id,
        )

    def job(self, series_id: str) -> dict[str, Any]:
        """Return state, owner, token and head of a job."""
        names = ("state", "lease_owner", "lease_token", "last_closed_time")
        found = self.rows(
            f"SELECT {', '.join(names)} FROM ingest_jobs WHERE series_id = %s",  # noqa: S608 (names)
            series_id,
        )
        return dict(zip(names, found[0], strict=True)) if found else dict.fromkeys(names)

    def is_live(self, series_id: str) -> bool:
        """Say whether a series streams, and all that closed a while ago is stored."""
        newest = self.rows("SELECT max(candle_time) FROM candles WHERE series_id = %s", series_id)
        due = (time.time() - 4) // 60 * 60 - 60
        is_current = bool(newest) and (newest[0][0] or 0) >= due
        return self.job(series_id)["state"] == "streaming" and is_current

    def require_true(self, series_id: str) -> None:
        """Fail unless what is stored is what the exchange closed, from the first one on."""
        stored = self.candles(series_id)
        query = {
            "symbol": series_id.split(":")[2].replace("/", ""),
            "interval": "1m",
            "startTime": stored[0][0] * 1000,
            "limit": 1500,
        }
        true: list[tuple[Any, ...]] = []
        while len(true) < len(stored):
            answer = httpx.get(f"{self.rest}/fapi/v1/klines", params=query, timeout=20)
            true += [(row[0] // 1000, *map(float, row[1:6])) for row in answer.json()]
            query["startTime"] = (true[-1][0] + 60) * 1000
        assert stored == true[: len(stored)], series_id

    @property
    def rest(self) -> str:
        """The REST base of the exchange."""
        return self.exchange.settings["TRADE_CANVAS_BINANCE_FUTURES_REST_BASE"]

    def verify(self) -> None:
        """Fail unless every ledger is what its candles give, no event missing and none twice."""
        command = [sys.executable, "manage.py", "verify_ledger", "--all"]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def until(what: Callable[[], bool], seconds: float) -> float:
    """Wait until something holds; return how many seconds that took."""
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < seconds, f"not within {seconds} s"
        time.sleep(0.05)
    return time.monotonic() - began


@contextlib.contextmanager
def workers(vendor: str, server: str, folder: Path, exchange: InProcess) -> Iterator[Workers]:
    """Give workers a database of their own for the block; `server` is where PostgreSQL is."""
    name = f"workers_{uuid4().hex[:12]}"
    base = server.rpartition("/")[0]
    is_sqlite = vendor == "sqlite"
    if not is_sqlite:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
    url = f"sqlite:///{folder}/db.sqlite3" if is_sqlite else f"{base}/{name}"
    found = Workers(url, folder, exchange)
    try:
        yield found
    finally:
        for worker in found.started:
            worker.process.send_signal(signal.SIGCONT)
            worker.process.kill()
            worker.process.wait(10)
        if not is_sqlite:
            with psycopg.connect(server, autocommit=True) as connection:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
