"""The client for programs: every closed candle once, in order, whatever happens to the server."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from market.client import Closed, Forming, Heard, Lost, Missing, Rebuilt, RefusedError, watch
from tests.e2e.live_server import LiveServer, flat

SERIES = "binance:futures:CLIENT/USDT:1m"
START = 1_700_000_040


def minute(number: int) -> dict[str, float]:
    return flat(START + 60 * number, 100 + number)


@pytest.fixture
def server(tmp_path: Path) -> LiveServer:
    """Return a server with five candles, which the test ends."""
    running = LiveServer(tmp_path)
    running.start()
    running.fill(SERIES, [minute(n) for n in range(5)])
    return running


async def heard_until(server: LiveServer, closed: int, since: int, **how: bool) -> list[Heard]:
    """Return what is heard until so many candles have closed; the server is killed half way."""
    found: list[Heard] = []
    count, was_killed = 0, False
    async with aclosing(watch(server.url, SERIES, since=since, **how)) as watching:
        async for heard in watching:
            found.append(heard)
            count += isinstance(heard, Closed)
            if count == 4 and not was_killed:
                was_killed = True
                await asyncio.to_thread(restarted, server)
            if count == 7:
                await asyncio.to_thread(server.close_candle, SERIES, minute(10))
            if count == closed:
                return found
    raise AssertionError


def restarted(server: LiveServer) -> None:
    """Kill the server, start it again, and send it three candles."""
    server.kill()
    server.start()
    for number in (5, 6, 7):
        server.close_candle(SERIES, minute(number))


def test_each_candle_comes_once_in_order_though_the_server_is_killed(server: LiveServer) -> None:
    found = asyncio.run(asyncio.wait_for(heard_until(server, 8, START), 60))
    server.stop()

    closed = [heard.candle.candle_time for heard in found if isinstance(heard, Closed)]
    assert closed == [START + 60 * n for n in (1, 2, 3, 4, 5, 6, 7, 10)]
    assert any(isinstance(heard, Lost) for heard in found)
    (gap,) = [heard for heard in found if isinstance(heard, Missing)]
    assert (gap.first, gap.before) == (START + 60 * 8, START + 60 * 10)


def test_what_forms_and_what_changed_is_heard(server: LiveServer) -> None:
    async def main() -> list[Heard]:
        found: list[Heard] = []
        opened = watch(server.url, SERIES, since=START + 240, forming=True)
        async with aclosing(opened) as watching:
            async for heard in watching:
                found.append(heard)
                if isinstance(heard, Forming):
                    await asyncio.to_thread(server.close_candle, SERIES, minute(5))
                elif isinstance(heard, Closed):
                    changed = flat(START + 120, 7)
                    await asyncio.to_thread(server.close_candle, SERIES, changed)
                else:
                    return found
        raise AssertionError

    async def shown() -> list[Heard]:
        path = "/api/market/ingest/candle_forming"
        watching = asyncio.create_task(main())
        while not watching.done():
            body = {"series_id": SERIES, "candle": minute(5)}
            await asyncio.to_thread(server.client.post, server.url + path, json=body)
            await asyncio.sleep(0.3)
        return await watching

    found = asyncio.run(asyncio.wait_for(shown(), 60))
    server.stop()

    kinds = [type(heard) for heard in found]
    assert kinds[0] is Forming
    assert kinds[-1] is Rebuilt
    assert [h.candle.candle_time for h in found if isinstance(h, Closed)] == [START + 300]


def test_a_series_that_is_none_is_refused(server: LiveServer) -> None:
    async def main() -> None:
        async for heard in watch(server.url, "nonsense"):
            raise AssertionError(heard)

    with pytest.raises(RefusedError, match="invalid series_id"):
        asyncio.run(asyncio.wait_for(main(), 20))
    server.stop()
