"""Reads over HTTP beside a hello-world of the same size, on one server in one run.

    ./dev bench read
    ./dev bench read --sizes 5000 50000 --requests 200

Three series end with the same candles and differ in the history before them. Each read looks at
the newest 2,000 candles, asked by one client and by 16 at once, several rounds of all in turn; a
number is the median of the rounds, with the least and greatest behind it. `frame/live, first` is
the first read after each closed candle, which nobody asked for before. Server and clients are
processes of their own on one machine.
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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import orjson

from bench._candles import continued
from bench._load import Connection, free_port, repeated
from market.candles import Candles

CLIENTS = (1, 16)
WINDOW = 2000
WARM_READS, FIRST_READS = 40, 100
READS = {
    "frame/live": "/api/frame/live?series_id={series}&window_candles=2000",
    "slices": "/api/factor/slices?series_id={series}&window_candles=2000&at_time={time}",
    "candles": "/api/market/candles?series_id={series}&limit=2000",
}
Numbers = dict[tuple[str, int, int], list[Mapping[str, float]]]


def series_of(size: int) -> str:
    """Return the series of so many candles, as in a query."""
    return f"bench%3Aspot%3AS{size}%2FUSDT%3A1m"


def prepared(folder: str, sizes: list[int]) -> Candles:
    """Fill a database with one series per size; return the candles that come after."""
    os.environ["DATABASE_URL"] = f"sqlite:///{folder}/bench.sqlite3"
    os.environ["DJANGO_SETTINGS_MODULE"] = "bench._settings"
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connections

    from ingest import pipeline

    call_command("migrate", verbosity=0)
    longest = max(sizes)
    whole = continued(longest + WARM_READS + FIRST_READS)
    for size in sizes:
        began = time.perf_counter()
        candles = whole.take(slice(longest - size, longest)).at_ordinal(0)
        pipeline.run_sync({series_of(size).replace("%3A", ":").replace("%2F", "/"): candles})
        spent = time.perf_counter() - began
        print(f"  {size:>9,} candles taken in, {spent:.1f} s", flush=True)
    connections.close_all()
    return whole.take(slice(longest, None))


@contextmanager
def serving(port: int) -> Iterator[None]:
    """Serve until the block ends."""
    command = [sys.executable, "manage.py", "serve", "--port", str(port)]
    server = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"LOG_LEVEL": "WARNING"}, stdout=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        server.terminate()
        server.wait()


async def measured(
    port: int, sizes: list[int], after: Candles, options: argparse.Namespace
) -> None:
    """Wait for the server, then ask."""
    (await Connection.open(port, patience=30)).close()
    for size in sizes:  # the server compiles its rules meanwhile
        await first_reads(port, size, after.take(slice(0, WARM_READS)))
    found: Numbers = {}
    for round_number in range(options.rounds):
        for size in sizes:
            await one_round(port, size, int(after.time[WARM_READS - 1]), options.requests, found)
        print(f"  round {round_number + 1} of {options.rounds} done", flush=True)
    report(found, sizes)
    print("frame/live, first (nobody asked before), one client:")
    base = None
    for size in sizes:
        spent = await first_reads(port, size, after.take(slice(WARM_READS, None)))
        p50, p90 = statistics.median(spent), statistics.quantiles(spent, n=10)[-1]
        base = base or p50
        print(
            f"  {size:>9,} candles: p50 {p50:6.2f} ms, p90 {p90:6.2f} ms, growth {p50 / base:.2f} x"
        )


async def first_reads(port: int, size: int, candles: Candles) -> list[float]:
    """Send candles one by one; return the milliseconds of the first frame after each."""
    connection, series, spent = await Connection.open(port), series_of(size), []
    name = series.replace("%3A", ":").replace("%2F", "/")
    for candle in candles.records():
        body = orjson.dumps({"series_id": name, "candle": candle})
        await connection.post("/api/market/ingest/candle_closed", body)
        answer = await connection.get(READS["frame/live"].format(series=series))
        spent.append(answer.ms)
    connection.close()
    return spent


async def one_round(port: int, size: int, at: int, count: int, found: Numbers) -> None:
    """Ask every read of a series, each beside a hello-world of its size."""
    for read, path in READS.items():
        path = path.format(series=series_of(size), time=at)
        connection = await Connection.open(port)
        length = len((await connection.get(path)).body)
        connection.close()
        for clients in CLIENTS:
            hello, _ = await repeated(port, f"/hello/{length}", clients, count)
            spent, rate = await repeated(port, path, clients, count)
            ordered = sorted(spent)
            found.setdefault((read, size, clients), []).append(
                {
                    "p50": statistics.median(spent),
                    "p99": ordered[int(len(ordered) * 0.99) - 1],
                    "rate": rate,
                    "hello": statistics.median(hello),
                    "ratio": statistics.median(spent) / statistics.median(hello),
                    "kB": length / 1000,
                }
            )


def report(found: Numbers, sizes: list[int]) -> None:
    """Print a line for each read, series and number of clients."""

    def over_rounds(key: tuple[str, int, int], name: str) -> str:
        values = [numbers[name] for numbers in found[key]]
        return f"{statistics.median(values):7.2f} ({min(values):.2f} to {max(values):.2f})"

    for read in READS:
        for clients in CLIENTS:
            print(f"{read}, {clients} at once: p50 ms, p99 ms, requests/s, times hello-world's p50")
            base = statistics.median(n["p50"] for n in found[read, sizes[0], clients])
            for size in sizes:
                key = (read, size, clients)
                growth = statistics.median(n["p50"] for n in found[key]) / base
                shown = "  ".join(
                    over_rounds(key, name) for name in ("p50", "p99", "rate", "ratio")
                )
                print(
                    f"  {size:>9,} ({found[key][0]['kB']:.0f} kB): {shown}; growth {growth:.2f} x"
                )


def main() -> None:
    """Prepare, serve, ask."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[5_000, 50_000, 1_000_000])
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"load {os.getloadavg()[0]:.1f}; window of {WINDOW} candles"
    )
    with tempfile.TemporaryDirectory() as folder:
        after = prepared(folder, options.sizes)
        port = free_port()
        with serving(port):
            asyncio.run(measured(port, options.sizes, after, options))


if __name__ == "__main__":
    main()
