"""Each path of the simulator, asked by plain clients."""

import asyncio
import json

import pytest
from websockets.asyncio.client import connect

from market.candle_file import read_candles
from market.candles import Candle
from tests.exchange.clock import START, Clock
from tests.exchange.market import Listing, Market
from tests.exchange.server import Exchange
from tests.exchange.stories import (
    STREAM,
    closes,
    get,
    heard,
    listening,
    next_event,
    nothing_comes,
    play,
    played,
)
from tests.goldens import REAL


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
        async with connect(exchange.url(door) + path, max_queue=None) as socket:
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
            await nothing_comes(socket)

    played(story)


def test_the_old_futures_path_acknowledges_and_stays_silent() -> None:
    async def story(exchange: Exchange) -> None:
        async with connect(exchange.url("futures") + f"/ws/{STREAM}") as socket:
            await socket.send(json.dumps({"method": "SUBSCRIBE", "params": [STREAM], "id": 1}))
            assert await next_event(socket) == {"result": None, "id": 1}
            await exchange.advance(130)
            await nothing_comes(socket)
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


def test_a_page_is_full_though_the_exchange_lacks_candles() -> None:
    async def story(exchange: Exchange) -> None:
        first = int(START) - 3600
        rows = [Candle(first + k * 60, 1.0, 1.0, 1.0, 1.0, 1.0) for k in range(60) if k % 3]
        exchange.market.listings["futures", "GAPUSDT"] = Listing("futures", "GAPUSDT", rows)
        query = {"symbol": "GAPUSDT", "interval": "1m", "limit": 10}
        ascending = await get(exchange, "/fapi/v1/klines", **query, startTime=first * 1000)
        assert [row[0] // 1000 for row in ascending.json()] == [r.candle_time for r in rows[:10]]
        newest = await get(exchange, "/fapi/v1/klines", **query, endTime=int(START) * 1000 - 1)
        assert [row[0] // 1000 for row in newest.json()] == [r.candle_time for r in rows[-10:]]

    played(story)


def test_a_candle_file_is_played_with_its_own_values() -> None:
    name = "binance_futures_XRPUSDT_5m_20211115_20211121.csv.gz"
    rows = read_candles(REAL[name] / name).candles.rows()
    exchange = Exchange(
        Market(Listing("futures", "XRPUSDT", rows, "5m")), Clock(rows[100].candle_time)
    )

    async def story(exchange: Exchange) -> None:
        query = {"symbol": "XRPUSDT", "interval": "5m", "limit": 100}
        page = (await get(exchange, "/fapi/v1/klines", **query, endTime=0)).json()
        assert page == []
        page = (await get(exchange, "/fapi/v1/klines", **query, startTime=0)).json()
        assert [tuple(map(float, row[1:6])) for row in page] == [row[1:] for row in rows[:100]]
        async with listening(exchange, "xrpusdt@kline_5m") as socket:
            await exchange.advance(305)
            events = await heard(socket)
        assert closes(events) == [rows[99].candle_time, rows[100].candle_time]
        assert exchange.candles("futures", "XRPUSDT", "5m") == rows[:101]

    play(story, exchange)
