"""How tests of the simulator talk to it: a story with an exchange, told by plain clients."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.exchange.clock import START, Clock
from tests.exchange.market import Listing, Market, walk
from tests.exchange.server import Exchange

Story = Callable[[Exchange], Coroutine[Any, Any, None]]
STREAM = "btcusdt@kline_1m"
BUSY = "BUSYUSDT"
BUSY_STREAM = "busyusdt@kline_1m"


def played(story: Story, *symbols: str, **how: Any) -> Exchange:
    """Play a story with an exchange; return the exchange, for its log."""
    return play(story, Exchange.walking(*symbols, **{"history": 100, **how}))


def play(story: Story, exchange: Exchange) -> Exchange:
    """Play a story with this exchange; return it, for its log."""

    async def main() -> None:
        async with exchange, asyncio.timeout(30):
            await story(exchange)

    asyncio.run(main())
    return exchange


def busy_exchange(*, history: int = 100, speed: float | None = None) -> Exchange:
    """Return an exchange of one symbol, on both markets, that trades in every minute."""
    first = int(START) - history * 60
    markets = ("futures", "spot")
    walks = (Listing(m, BUSY, walk(m, first, idle=0), zero_frames=m == "spot") for m in markets)
    return Exchange(Market(*walks), Clock(START, speed))


async def next_event(socket: ClientConnection) -> dict[str, Any]:
    """Return the next message of a stream."""
    event: dict[str, Any] = json.loads(await asyncio.wait_for(socket.recv(), 5))
    return event


async def get(exchange: Exchange, path: str, **query: Any) -> httpx.Response:
    """Ask REST."""
    url = exchange.url("rest")
    async with httpx.AsyncClient(base_url=url, verify=False) as client:  # noqa: S501 (loopback)
        return await client.get(path, params=query)


@asynccontextmanager
async def listening(exchange: Exchange, *streams: str) -> AsyncIterator[ClientConnection]:
    """Listen to raw futures streams, once the exchange knows it."""
    path = "/market/ws/" + "/".join(streams or (STREAM,))
    before = exchange.log.count("subscribe", "futures")
    address = exchange.url("futures") + path
    async with connect(address, max_queue=None, max_size=None, close_timeout=1) as socket:
        await exchange.until("subscribe", before + 1, venue="futures")
        yield socket


async def heard(socket: ClientConnection, *, pause: float = 0.15) -> list[dict[str, Any]]:
    """Return all that has come and still comes, until nothing does for a while."""
    found = []
    try:
        while True:
            found.append(json.loads(await asyncio.wait_for(socket.recv(), pause)))
    except TimeoutError:
        return found


def closes(events: list[dict[str, Any]]) -> list[int]:
    """Return the open times of the candles that these events close, in order."""
    return [event["k"]["t"] // 1000 for event in events if event["k"]["x"]]


async def nothing_comes(socket: ClientConnection) -> None:
    """Assert that no frame comes."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(socket.recv(), 0.05)
