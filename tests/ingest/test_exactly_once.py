"""P4: each program that watches gets each closed candle once, in order, whatever happens between.

Two servers share a database and nothing else: the second hears of no candle but by looking. Sockets
are cut at random, and one server is killed and started again in the middle.
"""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from market.client import Closed, watch
from tests.e2e.live_server import LiveServer, flat

SERIES = "binance:futures:ONCE/USDT:1m"
START = 1_700_000_040
PATIENCE = 240.0


class SecondServer(LiveServer):
    """Another server on the database of the first."""

    @property
    def log(self) -> Path:
        """What it wrote."""
        return self.folder / "second.log"


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[LiveServer, LiveServer]]:
    """Return two servers on one database with one candle."""
    first, second = LiveServer(tmp_path), SecondServer(tmp_path)
    first.start()
    first.close_candle(SERIES, flat(START, 1))
    second.start()
    yield first, second
    second.stop()
    first.stop()


async def program(server: LiveServer, seed: int, last: int) -> list[int]:
    """Watch until the last candle came; now and then cut the socket and watch again."""
    dice = random.Random(seed)  # noqa: S311 (a test's own sequence)
    got: list[int] = []
    while not got or got[-1] < last:
        cut_after = dice.choice([3, 20, 1000])
        watching = watch(server.url, SERIES, since=got[-1] if got else START)
        async for heard in watching:
            if isinstance(heard, Closed):
                got.append(heard.candle.candle_time)
                cut_after -= 1
                if got[-1] >= last or not cut_after:
                    break
        await watching.aclose()
    return got


def restarted(server: LiveServer) -> None:
    server.kill()
    server.start()


async def everybody_hears(
    servers: tuple[LiveServer, LiveServer], sockets: int, candles: int
) -> None:
    """Let so many programs watch both servers while so many candles close."""
    first, second = servers
    times = [START + 60 * n for n in range(1, candles + 1)]
    programs = [asyncio.create_task(program(servers[n % 2], n, times[-1])) for n in range(sockets)]
    await asyncio.sleep(1 + sockets / 200)
    for number, time in enumerate(times):
        await asyncio.to_thread(first.close_candle, SERIES, flat(time, 1 + number))
        if number == candles // 2:
            restarting = asyncio.create_task(asyncio.to_thread(restarted, second))
    await restarting
    for got in await asyncio.gather(*programs):
        assert got == times


def test_every_program_gets_every_candle_once_in_order(
    servers: tuple[LiveServer, LiveServer],
) -> None:
    asyncio.run(asyncio.wait_for(everybody_hears(servers, 60, 120), PATIENCE))


@pytest.mark.long
def test_a_thousand_programs_get_every_candle_once_in_order(
    servers: tuple[LiveServer, LiveServer],
) -> None:
    asyncio.run(asyncio.wait_for(everybody_hears(servers, 1000, 500), 540))
