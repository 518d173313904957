"""A socket that looks first at a derived series gets its candles, made from the base."""

import asyncio
import threading
from typing import Any
from unittest.mock import patch

import pytest
from asgiref.sync import sync_to_async
from django.test import Client, override_settings

from ingest import pipeline
from ingest.catch_up import first_window as fill
from market import first_window, selectors
from tests.ingest.test_derived import BASE, DAY, minutes, of
from tests.market.sockets import connected, kinds, play, times
from tests.tables import tables_state

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])
take = sync_to_async(pipeline.run_sync)


@pytest.fixture(autouse=True)
def minutes_that_nobody_looked_at(settings: Any) -> None:
    """Store an hour and a half of minutes before derived timeframes are switched on."""
    pipeline.run_sync({BASE: minutes(90)})
    settings.TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES = True


def stored(timeframe: str) -> list[int]:
    return [int(time) - DAY for time in selectors.candles_latest(of(timeframe), 100).time]


def test_a_derived_series_is_filled_before_the_subscribe_goes_on() -> None:
    """Shows 9.subscribe.1."""

    async def scenario() -> None:
        async with connected() as socket:
            frames = await socket.subscribe(of("15m"), supports_batch=True)
            assert kinds(frames) == ["candles_batch"]
            assert times(frames) == [DAY + 900 * n for n in range(6)]
            await take({BASE: minutes(15, first=90)})
            assert (await socket.hear())["candle"]["candle_time"] == DAY + 5400

    play(scenario)

    assert stored("5m") == [5400, 5700, 6000]


def test_sockets_that_come_together_have_it_filled_once() -> None:
    calls: list[str] = []
    asked: list[str] = []
    both_asked = threading.Event()
    begin = first_window._begin

    def noted(series_id: str) -> Any:
        found = begin(series_id)
        asked.append(series_id)
        if len(asked) == 2:
            both_asked.set()
        return found

    def counted(series_id: str) -> None:
        both_asked.wait(10)
        calls.append(series_id)
        fill(series_id)

    async def scenario() -> None:
        async with connected() as one, connected() as two:
            wishes = [each.subscribe(of("15m"), supports_batch=True) for each in (one, two)]
            for frames in await asyncio.gather(*wishes):
                assert times(frames) == [DAY + 900 * n for n in range(6)]

    with (
        patch.object(first_window._Registered, "action", counted),
        patch.object(first_window, "_begin", noted),
    ):
        play(scenario)

    assert calls == [of("15m")]


def test_what_takes_too_long_goes_on_and_arrives_later(monkeypatch: pytest.MonkeyPatch) -> None:
    may_go_on = threading.Event()

    def slow(series_id: str) -> None:
        may_go_on.wait(10)
        fill(series_id)

    async def scenario() -> None:
        async with connected() as socket:
            assert await socket.subscribe(of("1h"), since=DAY - 3600) == []
            may_go_on.set()
            assert (await socket.hear())["candle"]["candle_time"] == DAY

    monkeypatch.setattr(first_window, "PATIENCE", 0.05)
    with patch.object(first_window._Registered, "action", slow):
        play(scenario)


def test_a_filling_that_fails_does_not_stop_the_subscribe() -> None:
    def failing(_: str) -> None:
        raise ValueError("odd")

    async def scenario() -> None:
        async with connected() as socket:
            assert await socket.subscribe(of("1h")) == []
            await take({BASE: minutes(30, first=90)})
            assert (await socket.hear())["candle"]["candle_time"] == DAY + 3600

    with patch.object(first_window._Registered, "action", failing):
        play(scenario)


@pytest.mark.parametrize("series_id", [BASE, of("7m"), of("5m", "test:spot:NONE/USDT:1m")])
def test_a_series_that_cannot_be_filled_is_left_as_it_is(series_id: str) -> None:
    before = tables_state()

    async def scenario() -> None:
        async with connected() as socket:
            await socket.subscribe(series_id, since=DAY + 60 * 89)

    play(scenario)

    assert tables_state() == before


def test_switched_off_a_subscribe_fills_nothing() -> None:
    """Shows 9.subscribe.1."""
    before = tables_state()

    async def scenario() -> None:
        async with connected() as socket:
            assert await socket.subscribe(of("5m")) == []

    with override_settings(TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES=False):
        play(scenario)

    assert tables_state() == before


def test_a_read_of_a_derived_series_without_candles_stays_empty(client: Client) -> None:
    before = tables_state()

    answer = client.get("/api/market/candles", {"series_id": of("5m")})

    assert answer.json()["candles"] == []
    assert tables_state() == before
