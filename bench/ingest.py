"""Closed candles through the whole pipeline: stored, factors, drawings, announced.

    ./dev bench ingest --quick
    ./dev bench ingest
    ./dev bench ingest --postgres postgres://postgres@127.0.0.1:5432/postgres

Three ways in, on SQLite, and on PostgreSQL where `--postgres` or `DATABASE_URL` names a server.
Each database is made for the run and thrown away.

one by one   a POST of each closed candle to a server in a process of its own, 1 client and 16 of
             series of their own
bulk         20,000 candles in one run, with derived timeframes off and on
a minute     1,000 series that close in the same second, in one run: until the last one is readable,
             and until the last of five sockets with 200 series each has heard

Beside each, in the same rounds: the rows that came of it (candles, events, checkpoints, drawings,
heads), inserted again for other series in transactions of the same size, without any of our code;
one by one also without waiting for the disk. A number is the median of the rounds, which take all
histories in turn, with the least and greatest behind it.
"""

import argparse
import gc
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench._candles import continued
from bench._numbers import Numbers
from market.candles import Candles

HISTORIES, QUICK_HISTORIES = (0, 5_000, 50_000, 1_000_000), (0, 5_000)
BULK, MINUTE_SERIES, MINUTE_HISTORY, AT_ONCE = 20_000, 1_000, 500, 50
CLIENTS, LONGEST_OF_MANY = 16, 50_000
WARM_SECONDS, PLAIN_COMMITS, PREPARED_AT_ONCE = 4, 100, 200_000
SWITCHES = (
    "DERIVED_TIMEFRAMES",
    "WHITELIST_INGEST",
    "ONDEMAND_INGEST",
    "STARTUP_KLINE_SYNC",
    "DEBUG_API",
    "RUNTIME_METRICS",
)


def main() -> None:
    """Measure each database in a process of its own."""
    options = asked()
    if options.here:
        measure(options)
        return
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"load {load()}; {options.rounds} rounds: median (least to greatest)"
    )
    with tempfile.TemporaryDirectory() as folder:
        measure_on(f"sqlite:///{folder}/bench.sqlite3")
    if not options.postgres:
        print("PostgreSQL: not measured, neither --postgres nor DATABASE_URL names a server")
        return
    with postgres_database(options.postgres) as url:
        measure_on(url)


def asked() -> argparse.Namespace:
    """Return what the command line asks for."""
    named = os.environ.get("DATABASE_URL", "")
    server = named if named.startswith("postgres") else ""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds, short histories")
    parser.add_argument("--histories", type=int, nargs="+", help="candles stored before")
    parser.add_argument("--posts", type=int, help="by each client in each round")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--postgres", default=server, help="a server to make a database on")
    parser.add_argument("--here", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.histories = options.histories or (QUICK_HISTORIES if options.quick else HISTORIES)
    options.posts = options.posts or (100 if options.quick else 300)
    options.rounds = options.rounds or (3 if options.quick else 5)
    return options


def load() -> str:
    """Return how many processes wanted a processor during the last minute."""
    return f"{os.getloadavg()[0]:.1f}"


def say(text: str) -> None:
    """Show how far a long part has come."""
    print(f"  {text}", file=sys.stderr, flush=True)


def measure_on(url: str) -> None:
    """Measure one database, in a process that knows only that one."""
    switched_off = {f"TRADE_CANVAS_ENABLE_{name}": "0" for name in SWITCHES}
    about = {
        "DATABASE_URL": url,
        "REDIS_URL": "",
        "DJANGO_SETTINGS_MODULE": "tradecanvas.settings",
        "LOG_LEVEL": "warning",
    }
    command = [sys.executable, __file__, *sys.argv[1:], "--here", url]
    subprocess.run(command, check=True, env=os.environ | switched_off | about)


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


class Series:
    """A series that takes the same candles as every other, as far as it has come."""

    def __init__(self, name: str, candles: Candles) -> None:
        self.name, self.at, self._candles = f"bench:spot:{name}/USDT:1m", 0, candles

    def next(self, count: int) -> Candles:
        """Return the candles that come next."""
        self.at += count
        return self._candles.take(slice(self.at - count, self.at))

    def next_time(self) -> int:
        """Return the time of the candle that comes next."""
        return int(self._candles.time[self.at])

    def take_in(self, count: int) -> float:
        """Take the next candles in; return the seconds that it took."""
        from ingest import pipeline

        candles, began = self.next(count), time.perf_counter()
        pipeline.run_sync({self.name: candles})
        return time.perf_counter() - began

    def prepare(self, count: int) -> None:
        """Take candles in before anything is measured."""
        for done in range(0, count, PREPARED_AT_ONCE):
            if done:
                say(f"{self.name}: {done:,} of {count:,}")
            self.take_in(min(PREPARED_AT_ONCE, count - done))


def measure(options: argparse.Namespace) -> None:
    """Prepare one database, measure and print."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from factors.services import engine_warm

    call_command("migrate", verbosity=0)
    engine_warm()
    gc.collect()
    gc.freeze()  # as `serve` does
    needed = max(options.histories) + options.rounds * (options.posts + 2 * BULK) + 10_000
    candles = continued(needed)
    print(f"\n{connection.vendor} {server_version()}", flush=True)
    long = {size: Series(f"H{size}", candles) for size in options.histories}
    for size, series in long.items():
        say(f"{size:,} candles before")
        series.prepare(size)
    one_by_one(long, candles, options)
    bulk(long, options.rounds)
    minutes(candles, options.rounds)
    print(f"  load {load()} at the end", flush=True)


def server_version() -> str:
    """Return the version of the database."""
    from django.db import connection

    sql = "SELECT sqlite_version()" if connection.vendor == "sqlite" else "SHOW server_version"
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return str(cursor.fetchone()[0])


def one_by_one(long: dict[int, Series], candles: Candles, options: argparse.Namespace) -> None:
    """Post closed candles by one client and by 16; insert their rows again beside it."""
    from bench._posts import posted, serving

    many = {
        size: [Series(f"H{size}N{number}", candles) for number in range(CLIENTS)]
        for size in long
        if size <= LONGEST_OF_MANY
    }
    for size, group in many.items():
        say(f"{size:,} candles before, {CLIENTS} times")
        for series in group:
            series.prepare(size)
    found, other = Numbers(), Series("WARM", candles)
    with serving() as port:
        began = time.monotonic()
        while time.monotonic() < began + WARM_SECONDS:  # it makes its rules fast meanwhile
            posted(port, [(other.name, other.next(10))])
        for number in range(options.rounds):
            for size, series in long.items():
                say(f"round {number + 1} of {options.rounds}: one by one, {size:,} before")
                batch = series.next(options.posts)
                alone = posted(port, [(series.name, batch)])
                plain = plain_singles(series.name, batch, f"raw{number}")
                alone["x plain commit"] = alone["p50 ms"] / plain["p50 ms"]
                found.add(f"1 client, {size:,} before", alone)
                found.add(f"  plain commit of its rows, {size:,} before", plain)
                if size in many:
                    batches = [(s.name, s.next(options.posts)) for s in many[size]]
                    found.add(f"{CLIENTS} clients, {size:,} before", posted(port, batches))
    columns = {"posts/s": 0, "p50 ms": 2, "p99 ms": 2, "x plain commit": 1, "no disk p50 ms": 2}
    found.show("one by one over HTTP", columns)


def plain_singles(name: str, candles: Candles, prefix: str) -> dict[str, float]:
    """Insert the rows of the newest of these candles again, a commit each; return milliseconds."""
    from bench._plain import commits_by_candle, insert_all, not_waiting_for_the_disk

    since = int(candles.time[-min(2 * PLAIN_COMMITS, len(candles))])
    commits = commits_by_candle(name, since, prefix)
    half = len(commits) // 2
    waiting = sorted(insert_all(commits[:half]))
    with not_waiting_for_the_disk():
        not_waiting = insert_all(commits[half:])
    return {
        "posts/s": 1000 * half / sum(waiting),
        "p50 ms": statistics.median(waiting),
        "p99 ms": waiting[int(half * 0.99) - 1],
        "no disk p50 ms": statistics.median(not_waiting),
    }


def bulk(long: dict[int, Series], rounds: int) -> None:
    """Take 20,000 candles in at once; insert the rows of each such run again beside it."""
    from django.conf import settings

    from bench._plain import commits_of, insert_all

    found = Numbers()
    for number in range(rounds):
        for size, series in long.items():
            say(f"round {number + 1} of {rounds}: bulk, {size:,} before")
            first, spent = series.next_time(), series.take_in(BULK)
            plain = sum(insert_all(commits_of([series.name], first, f"bulk{number}", 1))) / 1000
            values = {"candles/s": BULK / spent, "x plain inserts": spent / plain}
            found.add(f"bulk, {size:,} before", values)
            settings.TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES = True
            spent = series.take_in(BULK)
            settings.TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES = False
            found.add(f"bulk with derived, {size:,} before", {"candles/s": BULK / spent})
    found.show(f"{BULK:,} candles in one run", {"candles/s": 0, "x plain inserts": 2})


def minutes(candles: Candles, rounds: int) -> None:
    """Let 1,000 series close in the same second, again and again."""
    from bench._minute import minute
    from bench._plain import commits_of, insert_all
    from ingest import pipeline

    names = [f"bench:spot:M{number:04}/USDT:1m" for number in range(MINUTE_SERIES)]
    say(f"{MINUTE_HISTORY:,} candles before, {MINUTE_SERIES:,} times")
    for start in range(0, MINUTE_SERIES, AT_ONCE):
        part = names[start : start + AT_ONCE]
        pipeline.run_sync(dict.fromkeys(part, candles.take(slice(0, MINUTE_HISTORY))))
    found = Numbers()
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}: {MINUTE_SERIES:,} series")
        closed = candles.take(slice(MINUTE_HISTORY + number, MINUTE_HISTORY + number + 1))
        values = minute(names, closed)
        commits = commits_of(names, int(closed.time[0]), f"minute{number}", AT_ONCE)
        plain = sum(insert_all(commits)) / 1000
        ratio = {"x plain inserts": values["readable s"] / plain}
        found.add(f"{MINUTE_SERIES:,} series", values | ratio)
    columns = {"readable s": 3, "announced s": 3, "series/s": 0, "x plain inserts": 2}
    found.show("series that close in the same second", columns)


if __name__ == "__main__":
    main()
