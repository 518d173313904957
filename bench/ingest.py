"""Closed candles through the whole pipeline: stored, factors, drawings, announced.

    ./dev bench ingest
    ./dev bench ingest --histories 0 5000 --rounds 2
    ./dev bench ingest --postgres postgres://postgres@127.0.0.1:5432/postgres

Three ways in, on a database of its own, on SQLite and where `--postgres` names a server also there:

one by one   a POST of each closed candle to a server in a process of its own, 1 client and 16
bulk         20,000 candles in one run, with derived timeframes off and on
a minute     1,000 series that close in the same second, in one run: until the last one is readable
             and until the last of five sockets with 200 series each has heard

Beside bulk and minute, in the same rounds: the very rows that came of them, inserted again for
other series, in transactions of the same size, by plain statements. A number is the median of the
rounds, with the least and greatest behind it.
"""

import argparse
import asyncio
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import orjson

from bench._candles import continued
from bench._load import Connection, free_port
from market.candles import Candles

BULK, MINUTE_SERIES, MINUTE_HISTORY, SOCKETS = 20_000, 1000, 500, 5
PATH = "/api/market/ingest/candle_closed"
PLAIN = ("candles", "factor_events", "factor_head_snapshots", "overlay_instruction_versions")


class Table:
    """Numbers by row, over the rounds."""

    def __init__(self) -> None:
        self.values: dict[str, list[float]] = {}

    def add(self, row: str, value: float) -> None:
        """Keep a number of this round."""
        self.values.setdefault(row, []).append(value)

    def show(self, row: str, unit: str) -> None:
        """Print median, least and greatest."""
        found = self.values[row]
        middle = statistics.median(found)
        print(f"    {row:<44}{middle:12,.2f} {unit} ({min(found):,.2f} to {max(found):,.2f})")


def main() -> None:
    """Run each database in a process of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--histories", type=int, nargs="+", default=[0, 5_000, 50_000, 1_000_000])
    parser.add_argument("--posts", type=int, default=300, help="by each client in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--postgres", default="", help="address of a server, for a database there")
    parser.add_argument("--here", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        measured(options)
        return
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory() as folder:
        run_on(f"sqlite:///{folder}/bench.sqlite3")
    if options.postgres:
        with postgres_database(options.postgres) as url:
            run_on(url)
    else:
        print("PostgreSQL: not measured, --postgres names no server")


def run_on(url: str) -> None:
    """Measure on one database, in a process that knows only that one."""
    command = [sys.executable, __file__, *sys.argv[1:], "--here", url]
    subprocess.run(command, check=True)


@contextmanager
def postgres_database(server: str) -> Iterator[str]:
    """Make a database on this server for the block."""
    import psycopg

    name = f"bench_{uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    try:
        yield f"{server.rpartition('/')[0]}/{name}"
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def measured(options: argparse.Namespace) -> None:
    """Prepare one database, measure and print."""
    os.environ["DATABASE_URL"] = options.here
    os.environ["DJANGO_SETTINGS_MODULE"] = "tradecanvas.settings"
    os.environ["LOG_LEVEL"] = "WARNING"
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from factors.services import engine_warm

    call_command("migrate", verbosity=0)
    engine_warm()
    print(f"{connection.vendor} {server_version()}", flush=True)
    candles = continued(max(options.histories) + options.rounds * BULK)
    for size in options.histories:
        print(f"  history of {size:,} candles", flush=True)
        for line in one_by_one(size, candles, options):
            print(line, flush=True)
        bulk(size, candles, options.rounds)
    minute(candles, options.rounds)


def server_version() -> str:
    """Return the version of the database."""
    from django.db import connection

    sql = "SELECT sqlite_version()" if connection.vendor == "sqlite" else "SHOW server_version"
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return str(cursor.fetchone()[0])


def take_in(series_id: str, candles: Candles) -> None:
    """Run the pipeline."""
    from ingest import pipeline

    pipeline.run_sync({series_id: candles})


# One by one over HTTP


def one_by_one(size: int, candles: Candles, options: argparse.Namespace) -> Iterator[str]:
    """Post closed candles to a server, by one client and by 16 of series of their own."""
    from django.db import connections

    for clients in (1, 16):
        names = [f"bench:spot:H{size}C{clients}N{n}/USDT:1m" for n in range(clients)]
        history = min(size, 5_000) if clients > 1 else size
        for name in names:
            take_in(name, candles.take(slice(0, history)))
        connections.close_all()
        after = candles.take(slice(history, history + options.rounds * options.posts))
        port, table = free_port(), Table()
        with serving(port):
            for spent, seconds in asyncio.run(posted(port, names, after, options)):
                ordered = sorted(spent)
                table.add("p50", statistics.median(ordered))
                table.add("p99", ordered[int(len(ordered) * 0.99) - 1])
                table.add("rate", len(ordered) / seconds)
        p50, p99, rate = (table.values[name] for name in ("p50", "p99", "rate"))
        yield (
            f"    one by one, {clients:>2} clients, {history:>9,} before"
            f"{statistics.median(rate):10,.0f}/s, p50 {statistics.median(p50):.2f} ms "
            f"({min(p50):.2f} to {max(p50):.2f}), p99 {statistics.median(p99):.2f} ms"
        )


@contextmanager
def serving(port: int) -> Iterator[None]:
    """Serve until the block ends."""
    command = [sys.executable, "manage.py", "serve", "--port", str(port)]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        server.terminate()
        server.wait()


async def posted(
    port: int, names: list[str], candles: Candles, options: argparse.Namespace
) -> list[tuple[list[float], float]]:
    """Post the same candles to each series; return milliseconds and seconds of each round."""
    (await Connection.open(port, patience=30)).close()
    await asyncio.sleep(2)  # the server makes its rules fast meanwhile
    found = []
    for number in range(options.rounds):
        part = candles.take(slice(number * options.posts, (number + 1) * options.posts)).records()
        began = time.perf_counter()
        spent = await asyncio.gather(*(client(port, name, part) for name in names))
        found.append(([ms for one in spent for ms in one], time.perf_counter() - began))
    return found


async def client(port: int, series_id: str, records: list[dict[str, Any]]) -> list[float]:
    """Post one candle after another; return the milliseconds of each."""
    connection, spent = await Connection.open(port), []
    for candle in records:
        body = orjson.dumps({"series_id": series_id, "candle": candle})
        answer = await connection.post(PATH, body)
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {answer.body[:200]!r}")
        spent.append(answer.ms)
    connection.close()
    return spent


# Bulk


def bulk(size: int, candles: Candles, rounds: int) -> None:
    """Take 20,000 candles in at once, and insert the rows that came of them again."""
    from django.conf import settings

    table = Table()
    for is_derived in (False, True):
        settings.TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES = is_derived
        name = f"bench:spot:B{size}D{int(is_derived)}/USDT:1m"
        take_in(name, candles.take(slice(0, size)))
        for number in range(rounds):
            start = size + number * BULK
            part = candles.take(slice(start, start + BULK))
            took = timed(lambda n=name, p=part: take_in(n, p))  # type: ignore[misc]
            kind = "bulk, derived on" if is_derived else "bulk"
            table.add(f"{kind}", BULK / took)
            if not is_derived:
                raw = timed(inserting([name], f"raw{number}", int(part.time[0])))
                table.add("bulk, time beside plain inserts of its rows", took / raw)
    settings.TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES = False
    table.show("bulk", "candles/s")
    table.show("bulk, derived on", "candles/s")
    table.show("bulk, time beside plain inserts of its rows", "x")


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def inserting(names: list[str], other: str, since: int, at_once: int = 50) -> Callable[[], None]:
    """Read the rows of these series since a time; return what inserts them for other series."""
    from django.db import connection, transaction

    parts = []
    for start in range(0, len(names), at_once):
        part = names[start : start + at_once]
        statements = [rows_of(connection, table, part, other, since) for table in PLAIN]
        parts.append([found for found in statements if found[1]])

    def insert() -> None:
        for statements in parts:
            with transaction.atomic(), connection.cursor() as cursor:
                for sql, rows in statements:
                    cursor.executemany(sql, rows)

    return insert


def rows_of(
    connection: Any, table: str, names: list[str], other: str, since: int
) -> tuple[str, list[tuple[Any, ...]]]:
    """Return an insert and its rows: those of these series since a time, for other series."""
    with connection.cursor() as cursor:
        columns = [c.name for c in connection.introspection.get_table_description(cursor, table)]
        columns = [name for name in columns if name != "id"]
        time_column = next(name for name in ("visible_time", "candle_time") if name in columns)
        marks = ", ".join(["%s"] * len(names))
        cursor.execute(
            f"SELECT {', '.join(columns)} FROM {table}"  # noqa: S608 (our names)
            f" WHERE series_id IN ({marks}) AND {time_column} >= %s",
            [*names, since],
        )
        found = cursor.fetchall()
    place = columns.index("series_id")
    rows = [(*row[:place], f"{other}:{row[place]}", *row[place + 1 :]) for row in found]
    values = ", ".join(["%s"] * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})", rows  # noqa: S608


# A minute that ends


def minute(candles: Candles, rounds: int) -> None:
    """Let 1,000 series close in the same second."""
    from ingest import pipeline

    names = [f"bench:spot:M{n}/USDT:1m" for n in range(MINUTE_SERIES)]
    history = candles.take(slice(0, MINUTE_HISTORY))
    for start in range(0, MINUTE_SERIES, 50):
        pipeline.run_sync(dict.fromkeys(names[start : start + 50], history))
    table = Table()
    for number in range(rounds):
        closed = candles.take(slice(MINUTE_HISTORY + number, MINUTE_HISTORY + number + 1))
        readable, announced = asyncio.run(minute_heard(names, closed))
        table.add("1,000 series at once, readable", readable)
        table.add("1,000 series at once, announced", announced)
        raw = timed(inserting(names, f"raw{number}", int(closed.time[0])))
        table.add("readable, time beside plain inserts of its rows", readable / raw)
    table.show("1,000 series at once, readable", "s")
    table.show("1,000 series at once, announced", "s")
    table.show("readable, time beside plain inserts of its rows", "x")


async def minute_heard(names: list[str], closed: Candles) -> tuple[float, float]:
    """Take one candle of each series in; return when all were stored, and heard by sockets."""
    from ingest import pipeline
    from market import hub
    from market.messages import Subscribe
    from market.series import SeriesId
    from market.sessions import Session

    heard, all_heard = 0, asyncio.Event()

    async def send(frame: str) -> None:
        nonlocal heard
        heard += '"candle_closed"' in frame
        if heard == len(names):
            all_heard.set()

    async def close(code: int, reason: str) -> None:
        raise RuntimeError(reason)

    sessions = [Session(hub.current(), send, close) for _ in range(SOCKETS)]
    running = [asyncio.create_task(session.run()) for session in sessions]
    before = int(closed.time[0]) - 60
    for place, name in enumerate(names):
        wish = Subscribe(SeriesId.parse(name), before, supports_batch=False)
        await sessions[place % SOCKETS].subscribe(wish)
    began = time.perf_counter()
    await asyncio.to_thread(pipeline.run_sync, dict.fromkeys(names, closed))
    readable = time.perf_counter() - began
    await asyncio.wait_for(all_heard.wait(), 30)
    announced = time.perf_counter() - began
    for session in sessions:
        await session.leave()
    for task in running:
        task.cancel()
    await hub.close()
    return readable, announced


if __name__ == "__main__":
    main()
