"""Debug events that go from process to process."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.conf import settings as configured
from pytest_django import Settings

from market import debug_relay, hub
from market.debug import RING, Ring
from market.debug_relay import Relay
from tests.market.sockets import play


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait between messages."""
    monkeypatch.setattr(debug_relay, "SEND_SECONDS", 0)
    monkeypatch.setattr(debug_relay, "RETRY_SECONDS", 0)


def names(ring: Ring) -> list[str]:
    return [event["event"] for event in ring.after(0)[1]]


def relayed(scenario: Callable[[Ring, Ring], Awaitable[None]], layer: Any = None) -> None:
    """Play a scenario on the rings of two processes that hear each other."""

    async def whole() -> None:
        rings = Ring(), Ring()
        relays = [Relay(layer or get_channel_layer(), ring) for ring in rings]
        tasks = [asyncio.ensure_future(each) for relay in relays for each in relay.work()]
        try:
            while layer is None and not all(relay._channel for relay in relays):
                await asyncio.sleep(0.01)
            await asyncio.wait_for(scenario(*rings), 10)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async_to_sync(whole)()


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.01)


def test_events_reach_the_other_process_and_do_not_come_back() -> None:
    async def scenario(mine: Ring, theirs: Ring) -> None:
        mine.add({"event": "one"})
        mine.add({"event": "two"})
        await until(lambda: names(theirs) == ["one", "two"])
        theirs.add({"event": "three"})
        await until(lambda: names(mine) == ["one", "two", "three"])
        await asyncio.sleep(0.05)
        assert names(theirs) == ["one", "two", "three"]
        assert [event["event"] for event in mine.own_after(0)[1]] == ["one", "two"]

    relayed(scenario)


def test_a_layer_that_is_away_costs_the_process_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Away:
        async def new_channel(self, _: str) -> str:
            raise ConnectionError("away")

        group_send = group_add = new_channel

    async def scenario(mine: Ring, theirs: Ring) -> None:
        mine.add({"event": "one"})
        await until(lambda: "debug events not sent to others" in caplog.text)
        assert names(theirs) == []

    relayed(scenario, Away())


def test_one_process_alone_relays_nothing(settings: Settings) -> None:
    settings.TRADE_CANVAS_ENABLE_DEBUG_API = True
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

    assert debug_relay.is_wanted() is False


@pytest.mark.redis
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(not configured.REDIS_URL, reason="no REDIS_URL")
def test_events_come_by_way_of_redis(settings: Settings) -> None:
    settings.TRADE_CANVAS_ENABLE_DEBUG_API = True
    RING.clear()

    async def scenario() -> None:
        hub.current()
        other = Relay(get_channel_layer(), Ring())
        sending = asyncio.ensure_future(other.send_for_ever())
        async with asyncio.timeout(10):
            while "elsewhere" not in names(RING):
                other._ring.add({"event": "elsewhere"})  # the first ones before anybody listens
                await asyncio.sleep(0.1)
        sending.cancel()

    play(scenario)
