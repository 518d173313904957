"""GET /api/market/top_markets/stream: server-sent events, and when they end."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client

from market import hub, top_markets
from market.top_markets import UpstreamError, Wish
from market.top_markets_stream import error_event, events
from tests.market.test_top_markets import Exchange

URL = "/api/market/top_markets/stream"
ONE = Wish("spot", "USDT", 1)


@pytest.fixture
def exchange(monkeypatch: pytest.MonkeyPatch) -> Exchange:
    """Return the exchange that the route asks."""
    made = Exchange()
    monkeypatch.setattr(top_markets, "TOP", made.top)
    return made


def heard(exchange: Exchange, rounds: int, most: int = 0, change: Any = None) -> list[str]:
    """Return the parts of a stream that goes on for so many rounds."""
    left = iter(range(rounds - 1))

    async def pause(seconds: float) -> bool:
        assert seconds == 0.5
        if change is not None:
            change()
        return next(left, None) is not None

    async def listen() -> list[str]:
        stream = events(exchange.top, ONE, interval=0.5, most=most, pause=pause)
        return [part.decode() async for part in stream]

    return asyncio.run(listen())


def kinds(parts: list[str]) -> list[str]:
    found = [re.search(r"^event: (\w+)$|^: (ping) \d+\n\n$", part, re.MULTILINE) for part in parts]
    return [match[1] or match[2] for match in found if match]


def test_a_change_is_one_event_and_each_round_ends_with_a_ping(exchange: Exchange) -> None:
    parts = heard(exchange, 3)

    assert kinds(parts) == ["top_markets", "ping", "ping", "ping"]
    assert parts[0] == (
        "id: 1000000\nevent: top_markets\n"
        'data: {"cached":false,"exchange":"binance","generated_at_ms":1000000,"items":['
        '{"base_asset":"ETH","exchange":"binance","last_price":10.0,"market":"spot",'
        '"price_change_percent":-2.0,"quote_asset":"USDT","quote_volume":2000.0,'
        '"symbol":"ETH/USDT","symbol_id":"ETHUSDT"}],"limit":1,"market":"spot",'
        '"quote_asset":"USDT"}\n\n'
    )


def test_other_numbers_are_another_event(exchange: Exchange) -> None:
    def change() -> None:
        exchange.now += 20
        exchange.tickers[1]["lastPrice"] = str(exchange.now)

    assert kinds(heard(exchange, 2, change=change)) == ["top_markets", "ping"] * 2


def test_the_stream_ends_right_after_its_last_event(exchange: Exchange) -> None:
    assert kinds(heard(exchange, 9, most=1)) == ["top_markets"]


def test_failures_are_events_and_count(exchange: Exchange) -> None:
    exchange.answer = exchange.fails

    parts = heard(exchange, 9, most=2)

    assert kinds(parts) == ["error", "ping", "error"]
    data = json.loads(parts[0].split("data: ")[1])
    assert list(data) == ["at_ms", "message", "type"]
    assert (data["message"], data["type"]) == ("upstream_error:away", "error")
    assert "id:" not in parts[0]


def test_an_error_stays_on_one_line() -> None:
    text = error_event(UpstreamError("two\nlines")).decode()

    assert text.count("\n") == 3


def test_odd_queries_are_refused_before_the_stream(client: Client) -> None:
    for query, status in (
        ({"market": "spot", "exchange": "okx"}, 400),
        ({"market": "odd"}, 422),
        ({"market": "spot", "interval_s": "0.1"}, 422),
        ({"market": "spot", "interval_s": "31"}, 422),
        ({"market": "spot", "max_events": "1001"}, 422),
    ):
        assert client.get(URL, query).status_code == status


def test_the_route_says_that_it_streams(exchange: Exchange) -> None:
    async def ask() -> None:
        response: Any = await AsyncClient().get(f"{URL}?market=spot&max_events=1")
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-cache"
        assert response.headers["X-Accel-Buffering"] == "no"
        stream: AsyncIterator[bytes] = aiter(response)
        parts = [part.decode() async for part in stream]
        assert kinds(parts) == ["top_markets"]

    async_to_sync(ask)()


def test_a_pause_ends_at_once_when_the_process_stops() -> None:
    async def stop() -> None:
        assert await hub.pause(0.01) is True
        waiting = asyncio.ensure_future(hub.pause(60))
        await asyncio.sleep(0)
        await hub.close()
        assert await asyncio.wait_for(waiting, 5) is False

    async_to_sync(stop)()
