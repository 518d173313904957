"""Frames to many sockets beside `websockets.broadcast` of the same bytes, in one run.

    ./dev bench ws
    ./dev bench ws --sockets 1 100 1000 --rounds 3 --messages 20

Servers and clients are processes of their own. A message is a candle that forms: our server takes
it by HTTP POST and stores nothing; the other one takes the very frame on a socket. From then to
the receipt at each socket: p50 and p99 over all sockets and messages of a round. Rounds of both
take turns; a number is the median of the rounds, with the least and greatest behind it. Then 200
sockets that follow 20 series each, a closed candle from the POST to the last socket with the share
of each stage, 1,000 sockets that connect at once, and one that never reads.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import httpx
import orjson
from websockets.sync.client import ClientConnection, connect

from bench._load import free_port
from bench._sockets import Sockets, framed

SERIES = "bench:spot:WS/USDT:1m"
OTHERS = [f"bench:spot:WS{n}/USDT:1m" for n in range(20)]
START = 1_700_000_040
PATIENCE = 30.0
MANY, STORM, FEWER = 1000, 1000, 200
STAGES = ("HTTP and validation", "store", "factors", "drawings", "commit", "announce and send")


@dataclass(slots=True)
class Numbers:
    """What the rounds of one server and one number of sockets gave."""

    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    lost: int = 0
    kb_each: float = 0.0


def candle(time_: int, price: float) -> dict[str, float]:
    """Return a candle."""
    prices = dict.fromkeys(("open", "high", "low", "close"), price)
    return {"candle_time": time_, **prices, "volume": 1.0}


def wish(series_id: str) -> bytes:
    """Return a wish to follow a series."""
    return orjson.dumps({"type": "subscribe", "series_id": series_id, "since": START})


class Ours:
    """`manage.py serve`."""

    path = "/ws/market"
    hello: tuple[bytes, ...] = (wish(SERIES),)
    series: tuple[str, ...] = (SERIES,)

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port, self.process = port, process
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)

    def say(self, number: int) -> bytes:
        """Show a candle that forms; return what tells it from others."""
        series_id = self.series[number % len(self.series)]
        body = {"series_id": series_id, "candle": candle(START + 600_000, 1000.5 + number)}
        self.client.post("/api/market/ingest/candle_forming", json=body).raise_for_status()
        return f'"close":{1000.5 + number}'.encode()

    def close_candle(self, time_: int) -> bytes:
        """Close a candle."""
        body = {"series_id": SERIES, "candle": candle(time_, 1.0)}
        self.client.post("/api/market/ingest/candle_closed", json=body).raise_for_status()
        return f'"candle_time":{time_}'.encode()


class OursWithTwenty(Ours):
    """The same server, for sockets that follow 20 series; candles form in one after the other."""

    hello = tuple(map(wish, OTHERS))
    series = tuple(OTHERS)


class Raw:
    """`bench/_raw_ws.py`."""

    path = "/"
    hello: tuple[bytes, ...] = ()

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port, self.process = port, process
        self.speaker = Sockets(port, "/speak")
        (self.fd,) = self.speaker.open(1)

    def say(self, number: int) -> bytes:
        """Broadcast the frame that ours sends for the same candle."""
        shown = candle(START + 600_000, 1000.5 + number)
        frame = {"type": "candle_forming", "series_id": SERIES, "candle": shown}
        self.speaker.by_fd[self.fd].sendall(framed(orjson.dumps(frame)))
        return f'"close":{1000.5 + number}'.encode()


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server for the block."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def wait_for(port: int) -> None:
    """Wait until somebody answers."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            httpx.get(f"http://127.0.0.1:{port}/about")
        except httpx.ConnectError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"nobody answers at {port}")


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def settle(pid: int) -> None:
    """Wait until a process rests: what was asked of it is done."""
    deadline = time.monotonic() + PATIENCE
    before, now = -1.0, cpu_seconds(pid)
    while now - before > 0.02 and time.monotonic() < deadline:
        time.sleep(1.0)
        before, now = now, cpu_seconds(pid)


def memory_kb(pid: int) -> float:
    """Return the memory of a process."""
    return (
        int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024
    )


def one_round(
    server: Ours | Raw, sockets: Sockets, count: int, first: int, messages: int
) -> tuple[list[float], float, int]:
    """Send messages one after another; return milliseconds, seconds of processor, and losses."""
    spent: list[float] = []
    lost, before = 0, cpu_seconds(server.process.pid)
    for number in range(first, first + messages):
        began = time.monotonic()
        mark = server.say(number)
        times = sockets.hear(mark, count, PATIENCE)
        lost += count - len(times)
        spent += [(at - began) * 1000 for at in times]
        time.sleep(0.3)  # as many as the throttle of forming candles lets through
    return spent, cpu_seconds(server.process.pid) - before, lost


def beside(
    ours: Ours, raw: Raw, count: int, options: argparse.Namespace
) -> tuple[Numbers, Numbers]:
    """Measure both with so many sockets, in turns."""
    found = Numbers(), Numbers()
    servers: tuple[Ours | Raw, ...] = (ours, raw)
    clients = []
    for server, numbers in zip(servers, found, strict=True):
        before = memory_kb(server.process.pid)
        sockets = Sockets(server.port, server.path)
        sockets.open(count, *server.hello)
        settle(server.process.pid)
        numbers.kb_each = (memory_kb(server.process.pid) - before) / count
        clients.append(sockets)
    for number in range(options.rounds):
        for server, sockets, numbers in zip(servers, clients, found, strict=True):
            first = number * options.messages
            spent, cpu, lost = one_round(server, sockets, count, first, options.messages)
            ordered = sorted(spent)
            numbers.p50.append(statistics.median(ordered))
            numbers.p99.append(ordered[int(len(ordered) * 0.99) - 1])
            numbers.cpu_us.append(cpu * 1e6 / (count * options.messages))
            numbers.lost += lost
    for sockets in clients:
        sockets.close()
    return found


def shown(values: list[float]) -> str:
    """Return median, least and greatest."""
    return f"{statistics.median(values):8.2f} ({min(values):.2f} to {max(values):.2f})"


def report(count: int, ours: Numbers, raw: Numbers) -> None:
    """Print both, and the ratios of the medians."""
    for name, numbers in (("ours", ours), ("raw", raw)):
        print(
            f"  {count:>5} sockets, {name:<4}: p50 {shown(numbers.p50)} ms, "
            f"p99 {shown(numbers.p99)} ms, CPU {shown(numbers.cpu_us)} us a delivery, "
            f"{numbers.kb_each:.0f} kB a socket, {numbers.lost} lost"
        )
    pairs = {
        "p50": (ours.p50, raw.p50),
        "p99": (ours.p99, raw.p99),
        "CPU": (ours.cpu_us, raw.cpu_us),
    }
    ratios = {
        name: statistics.median(mine) / statistics.median(other)
        for name, (mine, other) in pairs.items()
        if statistics.median(other)
    }
    told = ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
    print(f"  {count:>5} sockets, ours / raw: {told}", flush=True)


def end_to_end(ours: Ours, messages: int) -> None:
    """Close candles for 1,000 sockets; print the time from the POST to the last one, by stages."""
    sockets = Sockets(ours.port, ours.path)
    sockets.open(MANY, *ours.hello)
    time.sleep(2)
    spent, stages = [], []
    with connect(f"ws://127.0.0.1:{ours.port}/ws/debug") as events:
        for number in range(1, messages + 1):
            began = time.monotonic()
            mark = ours.close_candle(START + 60 * number)
            answered = time.monotonic()
            times = sockets.hear(mark, MANY, PATIENCE)
            assert len(times) == MANY, len(times)
            last = (max(times) - began) * 1000
            spent.append(last)
            stages.append(shares(done_event(events), last, (answered - began) * 1000))
    ordered = sorted(spent)
    p50, p99 = statistics.median(ordered), ordered[int(len(ordered) * 0.99) - 1]
    print(
        f"closed candle, POST to the last of {MANY} sockets: p50 {p50:.1f} ms, p99 {p99:.1f} ms "
        f"over {messages}; medians of the stages:"
    )
    for name, values in zip(STAGES, zip(*stages, strict=True), strict=True):
        print(f"  {name:<20} {statistics.median(values):7.2f} ms")
    sockets.close()


def done_event(events: ClientConnection) -> dict[str, Any]:
    """Return what the server says of the candle that it took last."""
    while True:
        event = orjson.loads(events.recv(timeout=PATIENCE)).get("event", {})
        if event.get("event") == "write.http.ingest_candle_closed_done":
            found: dict[str, Any] = event["data"]
            return found


def shares(done: dict[str, Any], last: float, answered: float) -> list[float]:
    """Return the milliseconds of each stage, in the order of `STAGES`.

    What HTTP costs is the round trip without the taking, all of it counted before; what is left
    after the pipeline is announcing and sending.
    """
    took = {step["name"].partition(":")[0]: step["duration_ms"] for step in done["steps"]}
    steps = [
        took[name]
        for name in (
            "store.upsert_many_closed",
            "factor.ingest_closed",
            "overlay.ingest_closed",
        )
    ]
    pipeline = done["pipeline_duration_ms"]
    before = answered - done["duration_ms"]
    return [before, *steps, pipeline - sum(steps), last - before - pipeline]


def storm(ours: Ours, newest: int) -> None:
    """Let 1,000 sockets connect at once and catch up."""
    began = time.monotonic()
    sockets = Sockets(ours.port, ours.path)
    sockets.open(STORM, *ours.hello)
    times = sockets.hear(f'"candle_time":{newest}'.encode(), STORM, PATIENCE)
    took = max(times) - began
    print(f"storm: {len(times)} of {STORM} sockets connected and caught up in {took:.2f} s")
    sockets.close()


def slow_one(ours: Ours, options: argparse.Namespace) -> None:
    """Measure 200 sockets with and without one that never reads."""
    sockets = Sockets(ours.port, ours.path)
    sockets.open(200, *ours.hello)
    time.sleep(1)
    ratios = []
    for number in range(options.rounds):
        without, _, _ = one_round(ours, sockets, 200, 10_000 + number * 1000, options.messages)
        slow = Sockets(ours.port, ours.path)
        (fd,) = slow.open(1, *ours.hello, small=True)
        slow.mute(fd)
        beside_it, _, _ = one_round(ours, sockets, 200, 10_500 + number * 1000, options.messages)
        slow.by_fd[fd].close()
        p99 = [sorted(v)[int(len(v) * 0.99) - 1] for v in (without, beside_it)]
        ratios.append(p99[1] / p99[0])
    print(f"one socket that never reads changes the others' p99 by {shown(ratios)} times")
    sockets.close()


def main() -> None:
    """Serve, connect, send."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sockets", type=int, nargs="+", default=[1, 100, 1000, 5000])
    parser.add_argument("--messages", type=int, default=20, help="in each round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "DATABASE_URL": f"sqlite:///{folder}/bench.sqlite3",
            "TRADE_CANVAS_ENABLE_DEBUG_API": "1",
            "LOG_LEVEL": "WARNING",
        }
        mine, other = free_port(), free_port()
        serve = [sys.executable, "manage.py", "serve", "--port", str(mine)]
        raw_server = [sys.executable, str(ROOT / "bench" / "_raw_ws.py"), str(other)]
        with running(serve) as first, running(raw_server) as second:
            wait_for(mine)
            wait_for(other)
            ours, raw = Ours(mine, first), Raw(other, second)
            ours.close_candle(START)
            time.sleep(3)
            for count in options.sockets:
                report(count, *beside(ours, raw, count, options))
            print(f"{FEWER} sockets that follow {len(OTHERS)} series each:")
            report(FEWER, *beside(OursWithTwenty(mine, first), raw, FEWER, options))
            end_to_end(ours, 100)
            storm(ours, START + 60 * 100)
            slow_one(ours, options)


if __name__ == "__main__":
    main()
