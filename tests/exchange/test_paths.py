"""Each path of the simulator, asked by plain clients."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage

from tests.exchange.faults import CloseAtOnce, Refuse, Silence
from tests.exchange.server import Exchange

Story = Callable[[Exchange], Coroutine[Any, Any, None]]
STREAM = "btcusdt@kline_1m"


def played(story: Story, *symbols: str, **how: Any) -> Exchange:
    """Play a story with an exchange; return the exchange, for its log."""
    exchange = Exchange.walking(*symbols, **how)

    async def main() -> None:
        async with exchange, asyncio.timeout(30):
            await story(exchange)

    asyncio.run(main())
    return exchange


async def next_event(socket: ClientConnection) -> dict[str, Any]:
    """Return the next message of a stream."""
    event: dict[str, Any] = json.loads(await asyncio.wait_for(socket.recv(), 5))
    return event


async def get(exchange: Exchange, path: str, **query: Any) -> httpx.Response:
    """Ask REST."""
    async with httpx.AsyncClient(base_url=exchange.url("rest")) as client:
        return await client.get(path, params=query)


@pytest.mark.parametrize(
    ("door", "path", "combined"),
    [
        ("futures", f"/market/ws/{STREAM}", False),
        ("futures", f"/market/stream?streams={STREAM}/ethusdt@kline_5m", True),
        ("spot", f"/ws/{STREAM}", False),
        ("spot", f"/stream?streams={STREAM}", True),
    ],
)
def test_a_stream_named_in_the_path_flows(door: str, path: str, combined: bool) -> None:
    async def story(exchange: Exchange) -> None:
        async with connect(exchange.url(door) + path) as socket:
            await exchange.until("subscribe")
            await exchange.advance(130)
            heard = [await next_event(socket) for _ in range(8)]

        assert all(("stream" in message) == combined for message in heard)
        events = [message["data"] if combined else message for message in heard]
        assert {event["e"] for event in events} == {"kline"}
        assert any(event["k"]["x"] for event in events)

    played(story)


def test_a_client_subscribes_lists_and_unsubscribes_by_messages() -> None:
    async def story(exchange: Exchange) -> None:
        async with connect(exchange.url("futures") + "/market/ws") as socket:
            for number, method in enumerate(("SUBSCRIBE", "LIST_SUBSCRIPTIONS", "UNSUBSCRIBE")):
                message = {"method": method, "params": [STREAM], "id": number}
                await socket.send(json.dumps(message))
            assert await next_event(socket) == {"result": None, "id": 0}
            assert await next_event(socket) == {"result": [STREAM], "id": 1}
            assert await next_event(socket) == {"result": None, "id": 2}
            await exchange.advance(130)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(socket.recv(), 0.05)

    played(story)


def test_the_old_futures_path_acknowledges_and_stays_silent() -> None:
    async def story(exchange: Exchange) -> None:
        async with connect(exchange.url("futures") + f"/ws/{STREAM}") as socket:
            await socket.send(json.dumps({"method": "SUBSCRIBE", "params": [STREAM], "id": 1}))
            assert await next_event(socket) == {"result": None, "id": 1}
            await exchange.advance(130)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(socket.recv(), 0.05)
            await asyncio.wait_for(await socket.ping(), 5)

    played(story)


@pytest.mark.parametrize("path", ["/fapi/v1", "/api/v3"])
def test_rest_gives_a_page_that_ends_with_the_forming_bar(path: str) -> None:
    async def story(exchange: Exchange) -> None:
        await exchange.advance(30)
        query = {"symbol": "BTCUSDT", "interval": "1m", "limit": 10}
        answer = await get(exchange, f"{path}/klines", **query)

        rows = answer.json()
        assert [row[0] for row in rows] == [rows[0][0] + 60_000 * k for k in range(10)]
        assert all(len(row) == 12 and row[6] == row[0] + 59_999 for row in rows)
        assert rows[-1][0] <= exchange.clock.now() * 1000 < rows[-1][6]
        assert int(answer.headers["X-MBX-USED-WEIGHT-1M"]) > 0

    played(story)


def test_rest_begins_and_ends_where_it_is_asked() -> None:
    async def story(exchange: Exchange) -> None:
        now = int(exchange.clock.now()) * 1000
        start, end = now - 600_000 + 1, now - 300_000
        query = {"symbol": "BTCUSDT", "interval": "1m", "startTime": start, "endTime": end}
        rows = (await get(exchange, "/fapi/v1/klines", **query)).json()
        assert [row[0] for row in rows] == list(range(now - 540_000, end + 1, 60_000))

    played(story)


def test_an_unknown_symbol_is_refused_as_the_exchange_does() -> None:
    async def story(exchange: Exchange) -> None:
        answer = await get(exchange, "/fapi/v1/klines", symbol="NOUSDT", interval="1m")
        assert answer.status_code == 400
        assert answer.json() == {"code": -1121, "msg": "Invalid symbol."}

    played(story)


def test_the_time_is_the_exchanges_and_exchange_info_is_stale() -> None:
    async def story(exchange: Exchange) -> None:
        now = int(exchange.clock.now() * 1000)
        assert (await get(exchange, "/api/v3/time")).json() == {"serverTime": now}
        info = (await get(exchange, "/fapi/v1/exchangeInfo")).json()
        assert now - info["serverTime"] == 37 * 3600 * 1000
        assert [symbol["symbol"] for symbol in info["symbols"]] == ["BTCUSDT", "ETHUSDT"]
        assert info["rateLimits"][0]["limit"] == 2400

    played(story)


def test_refused_connections_are_counted() -> None:
    async def story(exchange: Exchange) -> None:
        exchange.inject(Refuse(times=2))
        for _ in range(2):
            with pytest.raises((OSError, InvalidMessage)):
                await connect(exchange.url("futures") + f"/market/ws/{STREAM}")
        async with connect(exchange.url("futures") + f"/market/ws/{STREAM}"):
            pass

    log = played(story).log
    assert (log.count("attempt"), log.count("refused"), log.count("opened")) == (3, 2, 1)


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012])
def test_a_connection_is_closed_at_once_with_a_code(code: int) -> None:
    async def story(exchange: Exchange) -> None:
        exchange.inject(CloseAtOnce(code=code))
        async with connect(exchange.url("spot") + f"/ws/{STREAM}") as socket:
            with pytest.raises(ConnectionClosed) as closed:
                await next_event(socket)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == code

    played(story)


@pytest.mark.parametrize("acknowledge", [True, False])
def test_a_silent_connection_brings_no_candle(acknowledge: bool) -> None:
    async def story(exchange: Exchange) -> None:
        exchange.inject(Silence(acknowledge=acknowledge))
        async with connect(exchange.url("futures") + "/market/ws") as socket:
            await socket.send(json.dumps({"method": "SUBSCRIBE", "params": [STREAM], "id": 1}))
            if acknowledge:
                assert await next_event(socket) == {"result": None, "id": 1}
            await exchange.advance(130)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(socket.recv(), 0.05)

    played(story)
