"""Each program gets each closed candle once, in order, while everything between goes wrong at once.

Two servers share a database and a Redis. 30 % of the hints are lost; Redis freezes in the middle
while candles close; meanwhile one server is killed and started again; and the programs cut their
sockets at random, to go on at any of the servers.
"""

import asyncio
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from market.client import Closed, watch
from tests.e2e.live_server import LiveServer, flat
from tests.ingest import redis_server
from tests.ingest.lossy_layer import LOST
from tests.ingest.redis_server import RedisServer

SERIES = "binance:futures:ONCE/USDT:1m"
START = 1_700_000_040
AT_ONCE = 100

pytestmark = pytest.mark.skipif(redis_server.PROGRAM is None, reason="no redis-server")


class Server(LiveServer):
    """One of several servers on one database and one Redis; by these settings hints get lost."""

    def __init__(self, folder: Path, redis: RedisServer, number: int, settings: str) -> None:
        super().__init__(folder, DJANGO_SETTINGS_MODULE=settings)
        self.environment |= {"REDIS_URL": redis.url, "LOSSY_SEED": str(number)}
        self.number = number

    @property
    def log(self) -> Path:
        """What it wrote."""
        return self.folder / f"server{self.number}.log"

    def restart(self) -> None:
        """Kill it, and start it on the same port."""
        self.kill()
        self.start()


@dataclass(frozen=True)
class Stage:
    """All that runs."""

    redis: RedisServer
    servers: Sequence[Server]


@contextmanager
def staged(folder: Path, settings: str) -> Iterator[Stage]:
    """Run two servers on one Redis and one database with one candle."""
    redis = RedisServer(folder)
    servers = [Server(folder, redis, number, settings) for number in range(2)]
    servers[0].start()
    servers[0].close_candle(SERIES, flat(START, 1))
    servers[1].start()
    yield Stage(redis, servers)
    for server in servers:
        server.stop()
    redis.stop()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Return servers that lose hints."""
    with staged(tmp_path, "tests.ingest.lossy_settings") as found:
        yield found


@dataclass(frozen=True)
class Play:
    """How many programs watch how many candles, and for how long Redis is frozen meanwhile."""

    programs: int
    candles: int
    frozen: float


class Program:
    """What one program heard, and how often it cut its socket."""

    def __init__(self, servers: Sequence[Server], seed: int) -> None:
        self.servers = servers
        self.dice = random.Random(seed)  # noqa: S311 (a test's own sequence)
        self.times: list[int] = []
        self.began = asyncio.Event()
        self.cuts = -1

    async def run(self, last: int) -> None:
        """Watch until the last candle came; now and then cut the socket and watch elsewhere."""
        since = START - 1
        while since < last:
            server, cut_after = self.dice.choice(self.servers), self.dice.choice([3, 20, 200])
            watching = watch(server.url, SERIES, since=since)
            async for heard in watching:
                if isinstance(heard, Closed):
                    self.began.set()
                    self.times.append(since := heard.candle.candle_time)
                    cut_after -= 1
                    if since >= last or not cut_after:
                        break
            await watching.aclose()
            self.cuts += 1


async def play(stage: Stage, wanted: Play) -> list[Program]:
    """Close the candles while Redis freezes and a server is killed; return what was heard."""
    times = [START + 60 * number for number in range(wanted.candles)]
    programs = [Program(stage.servers, seed) for seed in range(wanted.programs)]
    watching = []
    for first in range(0, len(programs), AT_ONCE):
        some = programs[first : first + AT_ONCE]
        watching += [asyncio.create_task(program.run(times[-1])) for program in some]
        await asyncio.gather(*(program.began.wait() for program in some))
    third = wanted.candles // 3

    await close(stage, times[1:third])
    stage.redis.freeze()
    restarting = asyncio.create_task(asyncio.to_thread(stage.servers[1].restart))
    await close(stage, times[third : 2 * third], over=wanted.frozen)
    await restarting
    stage.redis.thaw()
    await close(stage, times[2 * third :])

    await asyncio.gather(*watching)
    await asyncio.to_thread(stage.redis.wait_for_listeners, len(stage.servers))
    return programs


async def close(stage: Stage, times: Sequence[int], over: float = 0) -> None:
    """Close candles at the first server, one after the other, spread over so many seconds."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number, time in enumerate(times, 1):
        candle = flat(time, 1 + (time - START) // 60)
        await asyncio.to_thread(stage.servers[0].close_candle, SERIES, candle)
        await asyncio.sleep(began + over * number / len(times) - loop.time())


def everybody_hears_each_candle_once(stage: Stage, wanted: Play, patience: float) -> None:
    programs = asyncio.run(asyncio.wait_for(play(stage, wanted), patience))

    expected = [START + 60 * number for number in range(wanted.candles)]
    assert [program.times for program in programs] == [expected] * wanted.programs
    assert sum(program.cuts for program in programs) > wanted.programs
    said = stage.servers[0].log.read_text()
    assert said.count(LOST) > wanted.candles // 10  # of those that were tried: 30 %
    assert "hints not sent" in said  # while Redis was frozen


def test_every_program_gets_every_candle_once_in_order_whatever_fails(stage: Stage) -> None:
    """Shows 9.order.once and 9.processes.last_sent."""
    everybody_hears_each_candle_once(stage, Play(20, 60, frozen=8), 240)


@pytest.mark.long
def test_a_thousand_programs_get_every_candle_once_in_order_whatever_fails(stage: Stage) -> None:
    everybody_hears_each_candle_once(stage, Play(1000, 500, frozen=30), 580)


def test_what_one_server_takes_the_sockets_of_both_hear_once(tmp_path: Path) -> None:
    """Shows 9.processes.relayed and 9.processes.echo: by hints alone, the sweep knows no forming.

    Each kind of message comes once, in order, before the forming candle that ends the story.
    """
    times = [START + 60 * number for number in range(1, 6)]

    def heard(socket: ClientConnection) -> list[dict[str, Any]]:
        frames = [json.loads(socket.recv(timeout=20))]
        while frames[-1].get("candle", {}).get("candle_time") != times[-1]:
            frames.append(json.loads(socket.recv(timeout=20)))
        return frames

    with staged(tmp_path, "tradecanvas.settings") as stage, ExitStack() as opened:
        stage.redis.wait_for_listeners(2)
        first, _ = stage.servers
        sockets = [
            opened.enter_context(connect(server.url.replace("http", "ws") + "/ws/market"))
            for server in stage.servers
        ]
        for socket in sockets:
            wish = {"series_id": SERIES, "since": START, "supports_batch": True}
            socket.send(json.dumps({"type": "subscribe"} | wish))
            socket.send(json.dumps({"type": "ping"}))  # its answer: the subscribe is done
            assert "unknown message type" in str(socket.recv(timeout=20))

        first.close_candle(SERIES, flat(times[0], 2))
        first.fill(SERIES, [flat(time, 3) for time in times[1:3]], tell=True)
        first.close_candle(SERIES, flat(times[1], 4))  # corrected
        first.close_candle(SERIES, flat(times[3], 5))
        path = "/api/market/ingest/candle_forming"
        first.post(path, series_id=SERIES, candle=flat(times[4], 6))

        for frames in map(heard, sockets):
            assert [frame["type"] for frame in frames] == [
                "candle_closed",
                "candles_batch",
                "system",
                "candle_closed",
                "candle_forming",
            ]
